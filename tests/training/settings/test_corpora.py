"""The corpora of a run, as a recipe names them."""

import pytest

from speech_affect_training.settings.corpora import read_corpora


FACTS = {"labels": "Ours.", "terms": "Ask us."}
COLUMN = {"corpus_column": "of"}


def test_paths_start_in_the_data_dir_of_the_run():
    entry = {"corpus": "table", "data_dir": "a/clips.csv", "corpus_options": {"audio_dir": "audio", "seed": 1}}
    found = read_corpora({"a": entry}, "/data")["a"]
    assert found.data_dir == "/data/a/clips.csv" and found.corpus_options == {"audio_dir": "/data/audio", "seed": 1}
    assert read_corpora({"a": {**entry, "data_dir": "/data/b/../c"}}, "/data/")["a"].data_dir == "/data/c"
    found = read_corpora({"a": entry}, None)["a"]
    assert found.data_dir == "a/clips.csv" and found.corpus_options["audio_dir"] == "audio"
    assert read_corpora({"a": {"corpus": "demo"}}, "/data")["a"].data_dir is None


def test_what_differs_in_a_table_of_several():
    of = {"x": {"share": 2, "facts": {"license": "mine", "labels": "Mine."}}, "y": {"facts": {"license": "yours"}}}
    entry = {"corpus": "table", "data_dir": "t", "corpus_options": COLUMN, "share": 1, "facts": FACTS, "of": of}
    found = read_corpora({"a": entry}, None)["a"]
    assert [found.share_of(name) for name in "xyz"] == [2, 1, 1]
    facts = [found.facts_of(name) for name in "xy"]
    assert [(one.license, one.labels, one.terms) for one in facts] == [
        ("mine", "Mine.", "Ask us."),
        ("yours", "Ours.", "Ask us."),
    ]
    with pytest.raises(ValueError, match="corpus_facts lacks license"):
        found.facts_of("z")


TABLE = {"corpus": "table", "data_dir": "t"}


@pytest.mark.parametrize(
    ("name", "entry", "message"),
    [
        (
            "a/b",
            TABLE,
            "a corpus is named 'a/b'; allowed are letters, digits, - and _, and not all or unlabelled or word",
        ),
        ("all", TABLE, "a corpus is named 'all'; allowed are"),
        ("unlabelled", TABLE, "a corpus is named 'unlabelled'; allowed are"),
        ("a", {"data_dir": "t"}, "corpora.a has corpus: None; give one of demo, msp_podcast, table"),
        ("a", "demo", "corpora.a is 'demo'; give a mapping with keys among corpus, data_dir"),
        ("a", {**TABLE, "dir": "t"}, "corpora.a has an unknown key 'dir'"),
        ("a", {"corpus": "table"}, "corpora.a: corpus table needs data_dir"),
        ("a", {**TABLE, "corpus": "demo"}, "corpora.a: corpus demo is generated and has no data_dir"),
        (
            "a",
            {**TABLE, "data_dir": "../t"},
            "corpora.a: '../t' leads out of the run's data_dir, /data; allowed is a pa",
        ),
        ("a", {**TABLE, "data_dir": "/database/t"}, "'/database/t' leads out of the run's data_dir"),
        ("a", {**TABLE, "corpus_options": {"audio_dir": "/etc"}}, "corpora.a: '/etc' leads out of the run's data_dir"),
        ("a", {**TABLE, "share": 0}, "corpora.a: share is 0; give a finite number above 0"),
        ("a", {**TABLE, "share": -1.5}, "share is -1.5; give a finite number above 0"),
        ("a", {**TABLE, "share": True}, "corpora.a has share: True; give a number"),
        ("a", {**TABLE, "language": "German"}, "language is 'German'; give an ISO 639 code such as en"),
        ("a", {**TABLE, "emotions": {"Q": "B"}}, "corpora.a: emotions has an unknown code 'Q'"),
        ("a", {**TABLE, "emotions": {"O": "bored"}}, "corpora.a: emotions has an unknown code 'bored'"),
        ("a", {**TABLE, "facts": FACTS}, "corpora.a: corpus_facts lacks license"),
        ("a", {**TABLE, "of": {"x": {}}}, "of is for a table that holds several corpora; give .* corpus_column"),
        ("a", {**TABLE, "corpus_options": COLUMN, "of": {"x": {"share": 0}}}, "corpora.a: share is 0; give a finite"),
        ("a", {**TABLE, "corpus_options": COLUMN, "of": {"x": {"lang": 0}}}, "of.x has an unknown key 'lang'"),
        ("a", {**TABLE, "corpus_options": COLUMN, "of": {"x y": {}}}, "a corpus is named 'x y'; allowed are"),
        (
            "a",
            {**TABLE, "corpus_options": {"ratings": "emotion"}, "facts": {**FACTS, "license": "b", "rated": True}},
            "corpora.a: corpus_facts has rated: true, but ratings: emotion are those of the emotion's word",
        ),
    ],
)
def test_entries_that_are_not_allowed(name, entry, message):
    with pytest.raises(ValueError, match=message):
        read_corpora({name: entry}, "/data")
