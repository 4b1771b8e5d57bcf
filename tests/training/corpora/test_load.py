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


def test_clips_with_one_rating_are_kept(tmp_path, caplog):
    table = tmp_path / "t.csv"
    (tmp_path / "a.wav").write_bytes(b"RIFF")
    for name in "bcd":
        (tmp_path / f"{name}.wav").write_bytes(b"RIFF")
    table.write_text("audio,activation,valence,split\na.wav,1,,train\nb.wav,,NA,train\nc.wav,,3,dev\nd.wav,2,4,test\n")
    with caplog.at_level("INFO"):
        corpus = load_corpus("table", str(table), {"label_range": [1, 7], "split_column": "split"}, tmp_path)
    rows = {
        row["file"]: [row[d] for d in ("activation", "valence", "dominance")]
        for s in corpus.splits.values()
        for row in s
    }
    assert rows == {"a.wav": [1, None, None], "c.wav": [None, 3, None], "d.wav": [2, 4, None]}
    assert "t: 1 clips have no rating and are left out" in caplog.text


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
