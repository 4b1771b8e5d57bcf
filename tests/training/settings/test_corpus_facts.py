"""Facts about a corpus: of known corpora, of a recipe, and errors."""

import pytest

from speech_affect_training.settings.corpus_facts import KNOWN, CorpusFacts, corpus_facts, joined_facts


OWN = "{labels: rated by two of us, license: own, terms: ask us, language: [de, gsw]}"


def test_a_recipe_s_own():
    facts = corpus_facts(OWN, "table")
    assert facts == CorpusFacts("rated by two of us", "own", "ask us", language=["de", "gsw"])
    assert facts.rated and facts.languages == ["de", "gsw"] and facts.weights_license is None
    assert corpus_facts({"labels": "a", "license": "b", "terms": "c", "language": "fi"}, "table").languages == ["fi"]
    assert corpus_facts("{labels: a, license: b, terms: c, dataset: lab/speech}", "table").languages == []


def test_known_corpora():
    assert corpus_facts("msp_podcast", "msp_podcast") is KNOWN["msp_podcast"]
    assert corpus_facts("{}", "demo") is KNOWN["demo"] and not KNOWN["demo"].rated
    assert corpus_facts("{}", "msp_podcast") is None  # the layout is also others'
    assert corpus_facts("", "table") is None


def test_labels_by_word_were_not_rated():
    given = {"labels": "a", "license": "b", "terms": "c"}
    assert corpus_facts(given, "table").rated and not corpus_facts(given, "table", by_word=True).rated
    assert not corpus_facts({**given, "rated": False}, "table", by_word=True).rated
    with pytest.raises(ValueError, match="has rated: true, but ratings: emotion are those of the emotion's word"):
        corpus_facts({**given, "rated": True}, "table", by_word=True)
    with pytest.raises(ValueError, match="corpus_facts is 'msp_podcast'; give a mapping$"):
        corpus_facts("msp_podcast", "table", by_word=True)
    assert corpus_facts("", "table", by_word=True) is None


def test_facts_about_several_corpora():
    a = CorpusFacts("Rated.", "own", "Ask.", language="de", weights_license="mit", citation="@a{}")
    b = CorpusFacts("By word.", "cc0", "Ask.", rated=False, language=["pl", "de"], weights_license="mit")
    c = CorpusFacts("By word.", "cc0", "Ask.", rated=False, citation="@c{}", license_link="there")
    joined = joined_facts({"a": a, "b": b, "c": c})
    assert joined.labels == "a: Rated. b, c: By word." and joined.terms == "Ask." and joined.license == "own and cc0"
    assert joined.languages == ["de", "pl"] and joined.rated and joined.citation == "@a{}\n\n@c{}"
    assert joined.weights_license is joined.license_link is None  # of c nobody said
    assert joined_facts({"a": a, "b": b}).weights_license == "mit" and not joined_facts({"b": b, "c": c}).rated
    assert joined_facts({}) is None


@pytest.mark.parametrize(
    "given, message",
    [
        ("{labels: [", "neither YAML nor JSON"),
        ("iemocap", "corpus_facts is 'iemocap'; give a mapping or one of demo, msp_podcast"),
        ("[demo]", "give a mapping with keys among labels, license, terms"),
        ("{labels: a, licence: b}", "corpus_facts has an unknown key 'licence'; did you mean 'license'"),
        ("{labels: a}", "corpus_facts lacks license, terms"),
        ("{labels: ' ', license: b, terms: c}", "has labels: ' '; give a text"),
        ("{labels: a, license: 4, terms: c}", "has license: 4; give a text"),
        ("{labels: a, license: b, terms: c, language: English}", "language 'English'; give ISO 639 codes"),
        (
            "{labels: a, license: b, terms: c, language: no}",
            "language: False; give a text or a list of texts; YAML reads no",
        ),
        ("{labels: a, license: b, terms: c, word_labelled: [power]}", "unknown dimension 'power'; allowed are act"),
        (
            "{labels: a, license: b, terms: c, word_labelled: [valence, activation, dominance]}",
            "every dimension; give rated: false",
        ),
        ("{labels: a, license: b, terms: c, dataset: speech}", "has dataset: 'speech'; give a Hub id"),
        ("{labels: a, license: b, terms: c, dataset: a/b/c}", "has dataset: 'a/b/c'; give a Hub id"),
    ],
)
def test_facts_that_are_not_facts(given, message):
    with pytest.raises(ValueError, match=message):
        corpus_facts(given, "table")
