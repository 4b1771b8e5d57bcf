"""Several corpora of one run: where each is, what its codes mean, its share in training batches, facts about it."""

from __future__ import annotations

import math
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal, get_type_hints

from .checks import check_mapping, check_names, check_type
from .corpus_facts import LANGUAGE, CorpusFacts, corpus_facts
from .finished import named
from .labels import EMOTIONS, UNLABELLED, WORD_SCALE


# what else is called by the names of corpora: all of them, speech of no corpus, labels of no listeners
RESERVED = ("all", UNLABELLED, WORD_SCALE)
CORPUS_NAMES = "letters, digits, - and _, and not " + " or ".join(RESERVED)


@dataclass(frozen=True)
class CorpusEntry:
    """An entry of a recipe's `corpora`: one corpus, or a table that holds several.

    Args:
        corpus: Kind of the corpus.
        data_dir: Its folder or table. In a recipe it is relative to the run's `data_dir`, and inside it.
        corpus_options: Further arguments of its loader.
        language: ISO 639 code of what is spoken, where no column says it.
        emotions: Code of a class -> its code in this run, for a code that means something of its own in this corpus.
        share: Share of the corpus in training batches; shares are divided by their sum.
        facts: Arguments of `CorpusFacts`, or the name of a known corpus.
        of: Of a table that holds several corpora: name -> `share` and `facts` where they differ from those above.

    Raises:
        ValueError: A value is not allowed.
    """

    corpus: Literal["demo", "msp_podcast", "table"]
    data_dir: str | None = None
    corpus_options: dict = field(default_factory=dict)
    language: str | None = None
    emotions: dict = field(default_factory=dict)
    share: float | None = None
    facts: dict | str | None = None
    of: dict = field(default_factory=dict)

    def __post_init__(self):
        if (self.corpus == "demo") is not (self.data_dir is None):
            needs = "is generated and has no data_dir" if self.corpus == "demo" else "needs data_dir"
            raise ValueError(f"corpus {self.corpus} {needs}")
        if self.language is not None and not LANGUAGE.fullmatch(self.language):
            raise ValueError(f"language is {self.language!r}; give an ISO 639 code such as en")
        for code in (*self.emotions, *self.emotions.values()):
            check_names("emotions", [code], EMOTIONS, "code")
        if self.of and "corpus_column" not in self.corpus_options:
            raise ValueError("of is for a table that holds several corpora; give corpus_options its corpus_column")
        for name, part in self.of.items():
            _check_corpus_name(name)
            check_mapping(f"of.{name}", part, {"share": float | None, "facts": dict | str | None})
        for name in self.of or [""]:
            share = self.share_of(name)
            if share is not None and not 0 < share < math.inf:
                raise ValueError(f"share is {share:g}; give a finite number above 0")
            self.facts_of(name)

    def share_of(self, name: str) -> float | None:
        """Return the share of one of its corpora."""
        share = self.of.get(name, {}).get("share")
        return self.share if share is None else share

    def facts_of(self, name: str) -> CorpusFacts | None:
        """Return the facts about one of its corpora; None where there are none."""
        own, shared = self.of.get(name, {}).get("facts"), self.facts
        if isinstance(own, dict) and isinstance(shared, dict):
            own = {**shared, **own}
        return corpus_facts(own or shared or {}, self.corpus, self.corpus_options.get("ratings") == "emotion")


def corpora_of_paths(paths: Sequence[str], corpus: str | None, options: dict) -> dict[str, dict]:
    """Return the entries of several corpora, given by their folders and tables alone.

    Args:
        paths: Folders in MSP-Podcast layout, or tables.
        corpus: Kind of all of them; None for that of [`kind_of`].
        options: Further arguments of each loader.
    """
    return {
        name: {
            "corpus": corpus or kind_of(path, options),
            "data_dir": path,
            "corpus_options": options,
        }
        for name, path in named(paths).items()
    }


def kind_of(path: str, options: dict) -> str:
    """Return the kind of a corpus that no other is said of: a table is a file, or has a label range."""
    return "table" if os.path.isfile(path) or "label_range" in options else "msp_podcast"


def is_corpus_name(name: str) -> bool:
    """Return whether a corpus may have this name in files, settings and results."""
    return re.fullmatch(r"[\w-]+", name) is not None and name not in RESERVED


def read_corpora(corpora: dict[str, Any], data_dir: str | None) -> dict[str, CorpusEntry]:
    """Read the entries of a recipe's `corpora`.

    Args:
        corpora: Name -> arguments of [`CorpusEntry`].
        data_dir: Of the run, where the paths of all entries start; None for the working directory.

    Raises:
        ValueError: An entry is not allowed, or leads out of `data_dir`.
    """
    entries = {}
    for name, given in corpora.items():
        _check_corpus_name(name)
        place = f"corpora.{name}"
        check_mapping(place, given, get_type_hints(CorpusEntry))
        check_type(place, "corpus", given.get("corpus"), get_type_hints(CorpusEntry)["corpus"])
        try:
            entry = CorpusEntry(**given)
            options = {**entry.corpus_options}
            if "audio_dir" in options:
                options["audio_dir"] = _inside(data_dir, options["audio_dir"])
            entries[name] = replace(entry, data_dir=_inside(data_dir, entry.data_dir), corpus_options=options)
        except ValueError as error:
            raise ValueError(f"{place}: {error}") from error
    return entries


def _check_corpus_name(name: str) -> None:
    if not is_corpus_name(name):
        raise ValueError(f"a corpus is named {name!r}; allowed are {CORPUS_NAMES}")


def _inside(folder: str | None, path: str | None) -> str | None:
    """Return a path that starts in a folder and stays there."""
    if folder is None or path is None:
        return path
    full = os.path.normpath(os.path.join(folder, str(path)))
    if not os.path.join(os.path.abspath(full), "").startswith(os.path.join(os.path.abspath(folder), "")):
        raise ValueError(f"{path!r} leads out of the run's data_dir, {folder}; allowed is a path inside it")
    return full
