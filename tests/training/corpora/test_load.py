"""The corpus of a run: by kind, labelled clips alone."""

import numpy as np
import pytest
import soundfile

from speech_affect_training.corpora.load import load_corpus
from speech_affect_training.corpora.several import load_run_corpus
from speech_affect_training.settings.recipe import parse_arguments


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


@pytest.fixture
def one_split(tmp_path):
    """A table in no splits without speakers, and its options but that."""
    (tmp_path / "t.csv").write_text("audio,activation\na.wav,1\nb.wav,\n")
    for name in "ab":
        soundfile.write(tmp_path / f"{name}.wav", np.full(3000, 0.1), 16000)
    return str(tmp_path / "t.csv"), {"label_range": [1, 7]}


def test_a_table_that_is_one_split(one_split, tmp_path):
    source, options = one_split
    corpus = load_corpus("table", source, {**options, "split": "test2"}, tmp_path, needed=())
    assert {split: rows["file"][:] for split, rows in corpus.splits.items()} == {"test2": ["a.wav"]}
    for split in ("train", "test2"):
        with pytest.raises(ValueError, match=f"t has no labelled clips in split '.*'; splits with labels: {split}"):
            load_corpus("table", source, {**options, "split": split}, tmp_path)
    with pytest.raises(ValueError, match="split is 'all'; allowed is one of train, development, test1, .* not split"):
        load_corpus("table", source, {**options, "split": "all"}, tmp_path)
    with pytest.raises(ValueError, match="split is 'test1'; allowed is one of .*, for a table that is not split"):
        load_corpus("table", source, {**options, "split": "test1", "split_column": "activation"}, tmp_path)
    (tmp_path / "t.csv").write_text("audio,activation\nb.wav,\n")
    with pytest.raises(ValueError, match="t has no labelled clips; give a corpus with some"):
        load_corpus("table", source, {**options, "split": "test1"}, tmp_path, needed=())


def test_what_nothing_is_tested_on(one_split, tmp_path):
    source, options = one_split
    argv = ["--evaluate", "lab/model", "--data_dir", source, "--corpus_options", str({**options, "split": "train"})]
    with pytest.raises(ValueError, match="t has no split to test on; give --test_on all to test on every clip"):
        load_run_corpus(parse_arguments(argv)[0], tmp_path)
    corpus, _ = load_run_corpus(parse_arguments([*argv, "--test_on", "all"])[0], tmp_path)
    assert {split: rows["file"][:] for split, rows in corpus.splits.items()} == {"test1": ["a.wav"]}


def test_nothing_to_develop_on(tmp_path):
    table = tmp_path / "t.csv"
    (tmp_path / "a.wav").write_bytes(b"RIFF")
    table.write_text("audio,activation,valence,dominance,split\na.wav,1,2,3,train\n")
    options = {"label_range": [1, 7], "split_column": "split"}
    with pytest.raises(ValueError, match="no labelled clips in split 'development'; splits with labels: train"):
        load_corpus("table", str(table), options, tmp_path)
