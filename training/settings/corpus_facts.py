"""Facts about a corpus for model cards that no loader can read from it: language, labels, licence."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import get_type_hints

from huggingface_hub.utils import HFValidationError, validate_repo_id

from speech_affect import DIMENSIONS

from .checks import check_mapping, check_names
from .recipe_file import read_text


LANGUAGE = re.compile(r"[a-z]{2,3}")


@dataclass(frozen=True)
class CorpusFacts:
    """Facts about a corpus, for the cards of models trained on it.

    Args:
        labels: What the labels are: who rated what, on which scale.
        license: Short name of the terms that the speech and its labels come under.
        terms: What those terms mean for who has the corpus and who has a model trained on it.
        rated: Whether people rated these very clips.
        word_labelled: Dimensions that nobody rated although others were: their labels are those of the emotion's word.
            They are named so wherever they are shown, and no mean is over them.
        weights_license: The Hub's id of the licence that the terms let the weights go under, such as `apache-2.0`;
            None where they name none.
        license_link: Where the terms can be read.
        language: ISO 639 codes of the spoken languages; None where unknown.
        dataset: The corpus's Hub id (owner/name), if it is there.
        citation: BibTeX entry.

    Raises:
        ValueError: A text is blank, or a language or the Hub id has another form.
    """

    labels: str
    license: str
    terms: str
    rated: bool = True
    word_labelled: list[str] = field(default_factory=list)
    weights_license: str | None = None
    license_link: str | None = None
    language: str | list[str] | None = None
    dataset: str | None = None
    citation: str | None = None

    def __post_init__(self):
        for name, value in vars(self).items():
            if isinstance(value, str) and not value.strip():
                raise ValueError(f"corpus_facts has {name}: {value!r}; give a text")
        for code in self.languages:
            if not LANGUAGE.fullmatch(code):
                raise ValueError(f"corpus_facts has language {code!r}; give ISO 639 codes such as en")
        check_names("word_labelled of corpus_facts", self.word_labelled, DIMENSIONS, "dimension")
        if set(self.word_labelled) == set(DIMENSIONS):
            raise ValueError("corpus_facts has word_labelled with every dimension; give rated: false")
        if self.dataset is not None and not _is_hub_id(self.dataset):
            raise ValueError(f"corpus_facts has dataset: {self.dataset!r}; give a Hub id (owner/name)")

    @property
    def languages(self) -> list[str]:
        """ISO 639 codes, none where unknown."""
        return [self.language] if isinstance(self.language, str) else list(self.language or [])


KNOWN = {
    "demo": CorpusFacts(
        labels="Each clip was constructed to have a certain activation, valence and dominance; the labels are "
        "simulated grades of these.",
        rated=False,
        license="apache-2.0",
        terms="This package makes the corpus itself, with eSpeak NG and sentences of its own; it holds no recording "
        "of a person.",
        weights_license="apache-2.0",
        language="en",
    ),
    "msp_podcast": CorpusFacts(
        labels="Each turn was rated by several people (at least five) for how it sounds, each dimension from 1 to 7; "
        "the label is the mean of their ratings.",
        license="msp-podcast-agreement",
        terms="MSP-Podcast (The University of Texas at Dallas) is licensed to institutions, one by one. No audio, "
        "label or transcript of it is in this model or its repository. Whether, to whom and for what these weights "
        "may be passed on is for the agreement of the institution that trained them to say: read it before you "
        "publish or use them; others should ask that institution.",
        license_link="https://ecs.utdallas.edu/research/researchlabs/msp-lab/MSP-Podcast.html",
        language="en",
        citation="""@article{lotfian2019building,
  author  = {Lotfian, Reza and Busso, Carlos},
  title   = {Building Naturalistic Emotionally Balanced Speech Corpus by Retrieving Emotional Speech from Existing
             Podcast Recordings},
  journal = {IEEE Transactions on Affective Computing},
  volume  = {10},
  number  = {4},
  pages   = {471--483},
  year    = {2019},
  doi     = {10.1109/TAFFC.2017.2736999}
}""",
    ),
}


def corpus_facts(given: str | dict, kind: str | None, by_word: bool = False) -> CorpusFacts | None:
    """Return the facts of a run's corpus; None if they are not given and it is not the demo corpus.

    Args:
        given: A mapping with the arguments of `CorpusFacts`, or the name of a known corpus; also as YAML or JSON text.
        kind: Kind of the corpus.
        by_word: Whether its labels are those of the emotion's word, so that nobody rated it.

    Raises:
        ValueError: An unknown name, arguments that `CorpusFacts` does not take, or ratings where there are none.
    """
    if isinstance(given, str):
        given = read_text("corpus_facts", given)
    if not given:
        return KNOWN["demo"] if kind == "demo" else None
    if isinstance(given, str):
        if given not in KNOWN or by_word:
            known = "" if by_word else f" or one of {', '.join(KNOWN)}"
            raise ValueError(f"corpus_facts is {given!r}; give a mapping{known}")
        return KNOWN[given]
    check_mapping("corpus_facts", given, get_type_hints(CorpusFacts))
    if missing := [name for name in ("labels", "license", "terms") if name not in given]:
        raise ValueError(f"corpus_facts lacks {', '.join(missing)}")
    facts = CorpusFacts(**given)
    if by_word and "rated" in given and facts.rated:
        raise ValueError("corpus_facts has rated: true, but ratings: emotion are those of the emotion's word")
    return replace(facts, rated=False) if by_word else facts


def joined_facts(facts: Mapping[str, CorpusFacts]) -> CorpusFacts | None:
    """Return the facts about several corpora together; None without any.

    Where they differ, texts name the corpora that they are of, and a licence of the weights is none.

    Args:
        facts: Name of each corpus -> facts about it.
    """
    every = list(facts.values())
    if not every:
        return None

    def text(field: str) -> str:
        names: dict[str, list[str]] = {}
        for name, own in facts.items():
            names.setdefault(getattr(own, field), []).append(name)
        return " ".join(f"{', '.join(of)}: {text}" for text, of in names.items())

    def common(field: str) -> str | None:
        values = {getattr(own, field) for own in every}
        return values.pop() if len(values) == 1 else None

    return CorpusFacts(
        labels=common("labels") or text("labels"),
        license=common("license") or " and ".join(dict.fromkeys(own.license for own in every)),
        terms=common("terms") or text("terms"),
        rated=any(own.rated for own in every),
        weights_license=common("weights_license"),
        license_link=common("license_link"),
        language=sorted({code for own in every for code in own.languages}),
        dataset=common("dataset"),
        citation="\n\n".join(dict.fromkeys(own.citation for own in every if own.citation)) or None,
    )


def _is_hub_id(name: str) -> bool:
    try:
        validate_repo_id(name)
    except HFValidationError:
        return False
    return "/" in name
