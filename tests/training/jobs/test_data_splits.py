"""What each system trains on and is tested on: splits, folds, copies, unlabelled speech, conditions."""

import numpy as np
import pytest

from speech_affect_training.corpora.corpus import CorpusError
from speech_affect_training.corpora.folds import speaker_folds
from speech_affect_training.corpora.unlabelled import unlabelled_pieces
from speech_affect_training.files import clip_fingerprint
from speech_affect_training.jobs import data_splits
from speech_affect_training.jobs.data_splits import make_data_splits
from speech_affect_training.settings.augmentation import AugmentationSettings
from speech_affect_training.settings.conditions import Condition
from speech_affect_training.settings.systems import SystemSpec


SETTINGS = AugmentationSettings(join_probability=1.0)
PLAIN = SystemSpec("plain", "student")
AUGMENTED = SystemSpec("augmented", "student", augmented=True)
BOTH = SystemSpec("both", "student", augmented=True, unlabelled=True)


@pytest.fixture
def corpus(make_corpus):
    rows = [{"file": name, "speaker": name[0], "activation": 1.0 + i} for i, name in enumerate(("a0", "a1", "b0"))]
    tests = [{"file": "d0", "speaker": "d"}, {"file": "d1", "speaker": "d"}]
    return make_corpus({"train": rows, "development": [{"file": "c0", "speaker": "c"}], "test1": tests})


def test_the_given_splits(corpus):
    (given,) = make_data_splits(corpus, None, 0, SETTINGS, [])
    assert given.name == "" and given.test_splits == ["test1"] and not given.copies and not given.conditions
    for split, rows in corpus.splits.items():
        assert given.tables[split].files == rows["file"][:]
        assert given.tables[split].fingerprints == [clip_fingerprint(audio) for audio in rows["audio"]]
        for fingerprint, audio in zip(given.tables[split].fingerprints, rows["audio"], strict=True):
            assert given.audio[fingerprint]["path"] == audio["path"]
    assert len(given.audio) == 6
    np.testing.assert_array_equal(given.tables["train"].labels[:, 0], [1, 2, 3])
    assert given.training_table(PLAIN, []).files == given.tables["train"].files


def test_folds_come_behind_the_given_splits(corpus):
    given, *folds = make_data_splits(corpus, 4, 2, SETTINGS, [])
    assert [fold.name for fold in folds] == ["fold0", "fold1", "fold2", "fold3"]
    made = speaker_folds(corpus, 4)
    for fold, expected in zip(folds, made, strict=True):
        assert {s: t.files for s, t in fold.tables.items()} == {s: r["file"][:] for s, r in expected.splits.items()}
        assert fold.audio.keys() == given.audio.keys()
        assert {copy.source.fingerprint for copy in fold.copies} == set(fold.tables["train"].fingerprints)
        assert len(fold.copies) == 2 * len(fold.tables["train"])
    # a speaker's copies are the same whoever else is trained on: frames are made once
    copies = {copy.fingerprint for fold in folds for copy in fold.copies}
    assert len(copies) == 2 * 6 and {copy.fingerprint for copy in given.copies} <= copies


def test_a_file_is_read_once(corpus, monkeypatch):
    read = []
    monkeypatch.setattr(data_splits, "clip_fingerprint", lambda audio: read.append(audio["path"]) or audio["path"])
    make_data_splits(corpus, 3, 0, SETTINGS, [])
    assert len(read) == len(set(read)) == 6


def test_clips_without_a_path_of_their_own(make_corpus):
    rows = [{"file": name, "audio": {"bytes": name.encode(), "path": None}} for name in "abc"]
    (given,) = make_data_splits(make_corpus({"train": rows[:2], "development": rows[2:]}), None, 0, SETTINGS, [])
    assert given.tables["train"].fingerprints == [clip_fingerprint({"bytes": b"a"}), clip_fingerprint({"bytes": b"b"})]


def test_copies_for_those_that_want_them(corpus):
    (given,) = make_data_splits(corpus, None, 2, SETTINGS, [])
    assert len(given.copies) == 6
    assert given.training_table(PLAIN, []).files == ["a0", "a1", "b0"]
    table = given.training_table(AUGMENTED, [])
    assert table.files == ["a0", "a1", "b0", "a0#1", "a1#1", "b0#1", "a0#2", "a1#2", "b0#2"]
    # a0 and a1 are joined with each other, b0 has no partner
    assert np.isnan(table.labels[:, 0]).tolist() == [False] * 3 + [True, True, False] * 2
    assert table.fingerprints[3:] == [copy.fingerprint for copy in given.copies]
    assert given.tables["development"].files == ["c0"] and given.tables["test1"].files == ["d0", "d1"]


def test_unlabelled_speech_for_those_that_want_it(corpus, write_clip, tmp_path):
    for name in ("a0", "c0", "d1", "u0", "u1"):
        write_clip(name, 0.5)
    (given,) = make_data_splits(corpus, None, 1, SETTINGS, [])
    pieces = unlabelled_pieces([tmp_path / "audio"])
    assert len(pieces) == 5
    assert given.training_table(PLAIN, pieces).files == ["a0", "a1", "b0"]
    table = given.training_table(BOTH, pieces)
    heard = [name.rsplit("/")[-1] for name in table.files[6:]]
    # what is developed or tested on is not heard in training, also where its folder is given
    assert heard == ["a0.wav", "u0.wav", "u1.wav"]
    assert np.isnan(table.labels[6:]).all() and not np.isnan(table.labels[:3]).any()


def test_a_fold_leaves_out_what_it_tests(corpus, write_clip, tmp_path):
    for rows in corpus.splits.values():
        for file in rows["file"]:
            write_clip(file, 0.5)
    pieces = unlabelled_pieces([tmp_path / "audio"])
    for part in make_data_splits(corpus, 4, 0, SETTINGS, []):
        heard = part.training_table(BOTH, pieces).files[len(part.tables["train"]) :]
        assert sorted(name.rsplit("/")[-1][:2] for name in heard) == sorted(part.tables["train"].files)


def test_conditions_are_of_the_given_test_splits(corpus):
    conditions = [Condition("white", 10.0), Condition("babble", 5.0)]
    given, *folds = make_data_splits(corpus, 3, 0, SETTINGS, conditions)
    assert list(given.conditions) == ["test1@white_10db", "test1@babble_5db"]
    tables = given.condition_tables()
    assert list(tables) == list(given.conditions)
    for name, table in tables.items():
        assert table.files == given.tables["test1"].files
        assert table.fingerprints == [clip.fingerprint for clip in given.conditions[name]]
        assert not set(table.fingerprints) & set(given.audio)
    assert not any(fold.conditions for fold in folds) and given.test_splits == ["test1"]


def test_folds_that_cannot_be(corpus):
    with pytest.raises(CorpusError, match="5 folds need at least as many speakers; there are 4"):
        make_data_splits(corpus, 5, 0, SETTINGS, [])
    with pytest.raises(ValueError, match="copies is -1; give 0 or more"):
        make_data_splits(corpus, None, -1, SETTINGS, [])
