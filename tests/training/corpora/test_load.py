"""The corpus of a run: by kind, labelled clips alone."""

import pytest

from speech_affect_training.corpora.load import load_corpus


def test_withheld_clips_are_left_out(make_release, tmp_path):
    corpus = load_corpus("msp_podcast", str(make_release("1.11").root), {}, tmp_path, "Not rated by people.")
    assert "test3" not in corpus.splits
    assert {"train", "development"} <= set(corpus.splits)
    assert corpus.note.endswith("Not rated by people.")
    for rows in corpus.splits.values():
        assert None not in rows["activation"] and len(rows)


def test_the_demo_says_what_it_is(tmp_path):
    corpus = load_corpus("demo", None, {"utterances_per_speaker": 1}, tmp_path)
    assert corpus.name == "demo" and "not rated by people" in corpus.note
    assert {name: len(rows) for name, rows in corpus.splits.items()} == {"train": 7, "development": 2, "test1": 3}


def test_an_option_the_loader_does_not_have(tmp_path):
    with pytest.raises(ValueError, match="corpus_options {'voices': 3} do not fit corpus 'demo'.*voices"):
        load_corpus("demo", None, {"voices": 3}, tmp_path)


def test_nothing_to_develop_on(tmp_path):
    table = tmp_path / "t.csv"
    (tmp_path / "a.wav").write_bytes(b"RIFF")
    table.write_text("audio,activation,valence,dominance,split\na.wav,1,2,3,train\n")
    options = {"label_range": [1, 7], "split_column": "split"}
    with pytest.raises(ValueError, match="no labelled clips in split 'development'; splits with labels: train"):
        load_corpus("table", str(table), options, tmp_path)
