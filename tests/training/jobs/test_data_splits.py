"""What each system trains on and is tested on: splits, folds, copies, unlabelled speech, conditions."""

from dataclasses import replace

import numpy as np
import pytest

from speech_affect_training.corpora import segments
from speech_affect_training.corpora.folds import speaker_folds
from speech_affect_training.corpora.unlabelled import unlabelled_pieces
from speech_affect_training.files import clip_fingerprint
from speech_affect_training.jobs.data_splits import DEVELOPMENT, TRAIN, make_data_splits
from speech_affect_training.settings.augmentation import AugmentationSettings
from speech_affect_training.settings.conditions import Condition
from speech_affect_training.settings.split_key import SplitKey
from speech_affect_training.settings.systems import SystemSpec


TEST = SplitKey("test1")
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
    assert given.name == "" and not given.copies and not given.conditions
    for split, rows in corpus.splits.items():
        table = given.tables[SplitKey(split)]
        assert table.files == rows["file"][:]
        assert table.fingerprints == [clip_fingerprint(audio) for audio in rows["audio"]]
        assert [given.audio[f]["path"] for f in table.fingerprints] == [audio["path"] for audio in rows["audio"]]
    assert len(given.audio) == 6
    np.testing.assert_array_equal(given.tables[TRAIN].labels[:, 0], [1, 2, 3])
    assert given.training_table(PLAIN, []).files == given.tables[TRAIN].files


def test_a_system_learns_chosen_labels_of_a_corpus(corpus, of_corpora):
    grades = [{"worker": "w", **dict.fromkeys(("activation", "valence", "dominance"), 3.0), "emotion_secondary": None}]
    rows = corpus.splits["train"].map(lambda row: {"emotion": "A", "graders": [{**grades[0], "emotion": "Angry"}]})
    corpus.splits["train"] = rows
    (given,) = make_data_splits(of_corpora(corpus, lambda file: file[0]), None, 1, SETTINGS, [])
    spec = SystemSpec(
        "few", "student", augmented=True, labels={"a": ["valence"], "d": [], "b": ["dominance", "emotion"]}
    )
    seen = given.seen_by(spec)
    table = seen.training_table(spec, [])  # the clips, and a copy of each
    expected = [[False, True, False], [False, True, False], [False, False, True]]
    np.testing.assert_array_equal(~np.isnan(table.labels[:3]), expected)
    np.testing.assert_array_equal(np.nan_to_num(table.labels[:3]), np.where(expected, given.tables[TRAIN].labels, 0.0))
    assert table.emotions[:3] == [None, None, "A"] and table.votes[:3] == [(), (), ("A",)]
    assert not np.isnan(given.tables[TRAIN].labels).any() and np.isnan(table.labels[3:, 0]).all()
    for key in (DEVELOPMENT, TEST):  # nothing is hidden there
        assert seen.tables[key] is given.tables[key]
    message = "labels of system 'few' has an unknown corpus 'e'; allowed are a, b, c, d"
    with pytest.raises(ValueError, match=message):
        given.seen_by(SystemSpec("few", "student", labels={"e": []}))
    with pytest.raises(ValueError, match="unknown corpus 'e'; allowed are none in a run of one corpus"):
        make_data_splits(corpus, None, 0, SETTINGS, [])[0].seen_by(SystemSpec("few", "student", labels={"e": []}))


def test_checkpoints_to_use_are_trained_on_the_test_splits_too(corpus):
    _, *folds = make_data_splits(corpus, 4, 2, SETTINGS, [])
    given, *same = make_data_splits(corpus, 4, 2, SETTINGS, [], hold_out_tests=False)
    assert list(given.tables) == [TRAIN, DEVELOPMENT]
    assert given.tables[TRAIN].files == ["a0", "a1", "b0", "d0", "d1"]
    assert len(given.copies) == 10
    assert [fold.tables[TEST].files for fold in same] == [fold.tables[TEST].files for fold in folds]


def test_folds_come_behind_the_given_splits(corpus):
    given, *folds = make_data_splits(corpus, 4, 2, SETTINGS, [])
    assert [fold.name for fold in folds] == ["fold0", "fold1", "fold2", "fold3"]
    for fold, expected in zip(folds, speaker_folds(corpus, 4), strict=True):
        files = {str(key): table.files for key, table in fold.tables.items()}
        assert files == {split: rows["file"][:] for split, rows in expected.splits.items()}
        assert fold.audio.keys() == given.audio.keys()
        assert {copy.source.fingerprint for copy in fold.copies} == set(fold.tables[TRAIN].fingerprints)
        assert len(fold.copies) == 2 * len(fold.tables[TRAIN])
    # a speaker's copies are the same whoever else is trained on: frames are made once
    copies = {copy.fingerprint for fold in folds for copy in fold.copies}
    assert len(copies) == 2 * 6 and {copy.fingerprint for copy in given.copies} <= copies


def test_what_data_splits_are_evaluated_as(corpus, of_corpora):
    several = of_corpora(corpus, lambda file: "x" if file[0] in "ac" else "y")
    given, *others = make_data_splits(several, 3, 0, SETTINGS, [], ["y"])
    assert given.evaluated_as is None
    assert [(part.name, part.evaluated_as) for part in others] == [
        *((f"fold{index}", SplitKey("cv", folds=3)) for index in range(3)),
        ("without_y", SplitKey("left_out")),
    ]
    files = {str(key): table.files for key, table in others[-1].tables.items()}
    assert files == {"train": ["a0", "a1"], "development": ["c0"], "test1": ["b0", "d0", "d1"]}
    assert others[-1].tables[TEST].corpora == ["y"] * 3


def test_a_file_is_read_once(corpus, make_corpus, monkeypatch):
    rows = [{"file": name, "audio": {"bytes": name.encode(), "path": None}} for name in "abc"]
    (given,) = make_data_splits(make_corpus({"train": rows[:2], "development": rows[2:]}), None, 0, SETTINGS, [])
    assert given.tables[TRAIN].fingerprints == [clip_fingerprint({"bytes": b"a"}), clip_fingerprint({"bytes": b"b"})]
    read = []
    monkeypatch.setattr(segments, "sha256_of_file", lambda path: read.append(path) or path)
    make_data_splits(corpus, 3, 0, SETTINGS, [])
    assert len(read) == len(set(read)) == 6


def test_copies_for_systems_that_ask_for_them(corpus):
    (given,) = make_data_splits(corpus, None, 2, SETTINGS, [])
    assert len(given.copies) == 6
    assert given.training_table(PLAIN, []).files == ["a0", "a1", "b0"]
    table = given.training_table(AUGMENTED, [])
    assert table.files == ["a0", "a1", "b0", "a0#1", "a1#1", "b0#1", "a0#2", "a1#2", "b0#2"]
    # a0 and a1 are joined with each other, b0 has no partner
    assert np.isnan(table.labels[:, 0]).tolist() == [False] * 3 + [True, True, False] * 2
    assert table.fingerprints[3:] == [copy.fingerprint for copy in given.copies]
    assert given.tables[DEVELOPMENT].files == ["c0"] and given.tables[TEST].files == ["d0", "d1"]


def test_unlabelled_speech_leaves_out_what_is_developed_or_tested_on(corpus, write_clip, tmp_path):
    for name in ("a0", "a1", "b0", "c0", "d0", "d1", "u0", "u1"):
        write_clip(name, 0.5)
    pieces = unlabelled_pieces([tmp_path / "audio"])
    assert len(pieces) == 8
    for part in make_data_splits(corpus, 4, 1, SETTINGS, []):
        train = part.tables[TRAIN]
        assert part.training_table(PLAIN, pieces).files == train.files
        table = part.training_table(BOTH, pieces)
        added = [name.rsplit("/")[-1].removesuffix(".wav") for name in table.files[2 * len(train) :]]
        assert sorted(added) == sorted([*train.files, "u0", "u1"])
        assert np.isnan(table.labels[2 * len(train) :]).all() and not np.isnan(table.labels[: len(train)]).any()


def test_conditions_are_of_the_given_test_splits(corpus):
    conditions = [Condition("white", 10.0), Condition("babble", 5.0)]
    given, *folds = make_data_splits(corpus, 3, 0, SETTINGS, conditions)
    assert list(given.conditions) == [SplitKey("test1", "white_10db"), SplitKey("test1", "babble_5db")]
    tables = given.condition_tables()
    assert list(tables) == list(given.conditions)
    for key, table in tables.items():
        assert table.files == given.tables[TEST].files
        assert table.fingerprints == [clip.fingerprint for clip in given.conditions[key]]
        assert not set(table.fingerprints) & set(given.audio)
    assert not any(fold.conditions for fold in folds)


def test_a_system_of_some_languages_sees_their_clips_alone(corpus):
    (given,) = make_data_splits(corpus, None, 1, SETTINGS, [])
    spoken = {TRAIN: ["de", "fi", None], DEVELOPMENT: ["fi"], TEST: ["de", "de"]}
    given = replace(given, tables={key: replace(table, languages=spoken[key]) for key, table in given.tables.items()})
    assert given.of_languages(PLAIN) is given
    finnish = given.of_languages(replace(AUGMENTED, languages=["fi"]))
    assert [len(finnish.tables[key]) for key in (TRAIN, DEVELOPMENT, TEST)] == [1, 1, 2]
    assert finnish.training_table(AUGMENTED, []).files == ["a1", "a1#1"]
    both = given.of_languages(replace(PLAIN, languages=["de", "fi"]))
    assert both.tables[TRAIN].files == ["a0", "a1"] and both.tables[DEVELOPMENT].files == ["c0"]
    with pytest.raises(
        ValueError, match="'plain' learns languages de, but of the corpus no development clip is in de;"
    ):
        given.of_languages(replace(PLAIN, languages=["de"]))
    with pytest.raises(
        ValueError, match="languages fi, sv, .* no train clip is in sv; the languages there are de, fi"
    ):
        given.of_languages(replace(PLAIN, languages=["fi", "sv"]))
