"""Predictions of jobs put together: seeds side by side, folds end to end, clips by their names."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

from speech_affect import DIMENSIONS
from speech_affect_training.corpora.clip_table import ClipTable
from speech_affect_training.jobs.prediction import Predictions, write_predictions
from speech_affect_training.reports.evaluation import read_evaluations
from speech_affect_training.settings.split_key import SplitKey


TEST, ROOM, FOLDS = SplitKey("test1"), SplitKey("test1", "room_0.6s"), SplitKey("cv", folds=3)
CORPUS = {"averaged": list(DIMENSIONS), "word_labelled": [], "corpora": {}, "label_range": [1.0, 7.0]}


@pytest.fixture
def finished(tmp_path):
    """Makes a finished job with random predictions of every split but train."""

    def make(name: str, tables: dict[str, ClipTable], seed: int = 0, uncertainty: bool = False, evaluated_as=None):
        folder = tmp_path / name / f"seed{seed}"
        folder.mkdir(parents=True)
        generator = np.random.default_rng([seed, *name.encode()])
        tables = {SplitKey.parse(split): table for split, table in tables.items()}
        paths = {key: folder / f"predictions_{key}.csv" for key in tables}
        predictions = {}
        for key, table in tables.items():
            std = generator.random((len(table), 3)) if uncertainty else None
            predictions[key] = Predictions(table.files, generator.random((len(table), 3)), table.labels, std)
            write_predictions(paths[key], predictions[key])
        return SimpleNamespace(
            tables=tables,
            predictions=predictions,
            predictions_path=paths.__getitem__,
            folder=folder,
            evaluated_as=evaluated_as,
        )

    return make


def names_of(evaluations) -> dict[str, list[str]]:
    return {str(key): list(systems) for key, systems in evaluations.items()}


def test_seeds_are_side_by_side(finished, make_table):
    tables = {
        "train": make_table(9),
        "development": make_table(2),
        "test1": make_table(4, speakers=["1", None, "2", "2"], genders=["Male", None, "Female", "Female"]),
        "test1@room_0.6s": make_table(4),
    }
    seeds = [finished("mfb", tables, seed) for seed in (0, 5)]
    other = [finished("other", {k: v for k, v in tables.items() if "@" not in k}, 0, uncertainty=True)]
    evaluations = read_evaluations({"": {"mfb": seeds, "other": other}}, CORPUS)
    assert names_of(evaluations) == {"test1": ["mfb", "other"], "test1@room_0.6s": ["mfb"]}
    for key in (TEST, ROOM):
        evaluation = evaluations[key]["mfb"]
        np.testing.assert_array_equal(evaluation.logits, [job.predictions[key].logits for job in seeds])
        np.testing.assert_array_equal(evaluation.labels, tables[str(key)].labels)
        assert evaluation.uncertainty is None
    assert evaluations[TEST]["mfb"].table.speakers == ["1", None, "2", "2"]
    assert evaluations[TEST]["mfb"].table.genders == ["Male", None, "Female", "Female"]
    np.testing.assert_array_equal(evaluations[TEST]["other"].uncertainty, [other[0].predictions[TEST].uncertainty])


def test_a_dimension_that_a_system_does_not_have_counts_as_not_rated(finished, make_table):
    job = finished("mfb", {"train": make_table(9), "test1": make_table(3)})
    logits = job.predictions[TEST].logits
    logits[:, 1] = np.nan
    write_predictions(job.predictions_path(TEST), job.predictions[TEST])
    evaluation = read_evaluations({"": {"mfb": [job]}}, {**CORPUS, "averaged": ["dominance"]})[TEST]["mfb"]
    np.testing.assert_array_equal(evaluation.labels, np.where([True, False, True], make_table(3).labels, np.nan))
    assert evaluation.averaged == (2,)


def test_folds_are_pooled_end_to_end(finished, make_table):
    sizes = (3, 1, 2)
    everything = make_table(6, speakers=list("aabccd"), genders=["m", "m", "f", "f", "f", "m"])
    starts = np.cumsum([0, *sizes])
    folds = {}
    for index in range(3):
        part = everything.take(range(starts[index], starts[index + 1]))
        tables = {"train": make_table(5), "development": make_table(2), "test1": part}
        folds[f"fold{index}"] = {"mfb": [finished(f"mfb/fold{index}", tables, seed, True, FOLDS) for seed in (0, 1)]}
    plain = {"train": make_table(1), "test1": make_table(2)}
    given = {name: [finished(name, plain, seed) for seed in (0, 1)] for name in ("mfb", "pupil")}
    evaluations = read_evaluations({"": given, **folds}, CORPUS)
    assert names_of(evaluations) == {"test1": ["mfb", "pupil"], "cv3": ["mfb"]}
    pooled = evaluations[FOLDS]["mfb"]
    for name in ("logits", "uncertainty"):
        for seed in (0, 1):
            by_hand = [row for fold in folds.values() for row in getattr(fold["mfb"][seed].predictions[TEST], name)]
            np.testing.assert_array_equal(getattr(pooled, name)[seed], by_hand)
    np.testing.assert_array_equal(pooled.labels, everything.labels)
    assert pooled.logits.shape == (2, 6, 3)
    assert pooled.table.speakers == everything.speakers and pooled.table.genders == everything.genders


def test_clips_are_joined_by_their_names(finished, make_table):
    tables = {"test1": make_table(4, speakers=list("abcd"))}
    job = finished("mfb", tables)
    expected = job.predictions[TEST]
    write_predictions(job.predictions_path(TEST), expected.of(expected.files[::-1]))
    evaluation = read_evaluations({"": {"mfb": [job]}}, CORPUS)[TEST]["mfb"]
    np.testing.assert_array_equal(evaluation.logits, [expected.logits])
    np.testing.assert_array_equal(evaluation.labels, tables["test1"].labels)
    for files, message in (
        (["clip0.wav", "clip1.wav", "clip2.wav", "x.wav"], "4 rows, 4 clips"),
        (["clip0.wav", "clip1.wav", "clip2.wav", "clip3.wav", "clip3.wav"], "5 rows, 4 clips"),
    ):
        values = np.zeros((len(files), 3))
        write_predictions(job.predictions_path(TEST), Predictions(files, values, values))
        match = rf"test1.csv does not have each clip of test1 once \({message}\); delete"
        with pytest.raises(ValueError, match=match):
            read_evaluations({"": {"mfb": [job]}}, CORPUS)


def test_without_folds_or_with_none_of_the_systems_there_is_no_such_split(finished, make_table):
    given = {"mfb": [finished("mfb", {"train": make_table(1), "test1": make_table(2)})]}
    assert list(read_evaluations({"": given}, CORPUS)) == [TEST]
    assert list(read_evaluations({"": given, "fold0": {}, "fold1": {}, "fold2": {}}, CORPUS)) == [TEST]


@pytest.fixture
def several(make_table):
    """Corpora in a table: of a listeners rated activation and valence, of b and c nobody rated anything."""
    labels = np.array([[5.0, 2, 6], [3, np.nan, 2], [5.5, 6.4, 5.4], [4, 4, 4], [2.1, 1, 1]])
    return make_table(
        5,
        labels=labels,
        corpora=["a", "a", "b", "b", "c"],
        rating_scales=["a", "a", "word", "word", "word"],
        emotions=["A", "O", "H", None, "B"],
    )


def described(**by_word: list[str]) -> dict:
    corpora = {name: {"word_labelled": words} for name, words in by_word.items()}
    return {**CORPUS, "corpora": corpora, "averaged": ["activation", "valence"]}


SEVERAL = described(a=["dominance"], b=list(DIMENSIONS), c=list(DIMENSIONS))
BY_WORD = SplitKey("test1", by_word=True)


def test_listeners_and_words_are_kept_apart(finished, several):
    job = finished("mfb", {"test1": several, "test1@room_0.6s": several}, uncertainty=True)
    evaluations = read_evaluations({"": {"mfb": [job]}}, SEVERAL)
    room = "test1_by_word@room_0.6s"
    assert list(names_of(evaluations)) == ["test1", "test1_by_word", "test1@room_0.6s", room]
    heard = evaluations[TEST]["mfb"]
    np.testing.assert_array_equal(heard.labels, [[5, 2, np.nan], [3, np.nan, np.nan]])
    np.testing.assert_array_equal(heard.logits, [job.predictions[TEST].logits[:2]])
    np.testing.assert_array_equal(heard.uncertainty, [job.predictions[TEST].uncertainty[:2]])
    assert heard.averaged == (0, 1) and heard.table.corpora == ["a", "a"]
    words = evaluations[BY_WORD]["mfb"]
    # anger, happiness and boredom (Russell and Mehrabian 1977), moved from -1..1 to 1..7; the rest have no such word
    expected = 4 + 3 * np.array([[0.59, -0.51, 0.25], [0.51, 0.81, 0.46], [-0.62, -0.65, -0.33]])
    np.testing.assert_allclose(words.labels, expected)
    np.testing.assert_array_equal(words.logits, [job.predictions[TEST].logits[[0, 2, 4]]])
    assert words.averaged == (0, 1, 2) and words.uncertainty is None and words.table.corpora == ["a", "b", "c"]


def test_one_view_where_all_was_rated_or_there_is_one_corpus(finished, several):
    job = finished("mfb", {"test1": several})
    for corpus in (described(a=[], b=[], c=[]), described(a=["dominance"]), {**CORPUS, "word_labelled": ["valence"]}):
        evaluations = read_evaluations({"": {"mfb": [job]}}, corpus)
        assert list(evaluations) == [TEST]
        np.testing.assert_array_equal(evaluations[TEST]["mfb"].labels, several.labels)


def test_where_nobody_rated_anything_words_are_all_there_is(finished, several):
    job = finished("mfb", {"test1": several.take([2, 4])})
    assert list(read_evaluations({"": {"mfb": [job]}}, SEVERAL)) == [BY_WORD]


def test_corpora_left_out_are_pooled(finished, several, make_table):
    given = {"mfb": [finished("mfb", {"test1": make_table(2, corpora=["a", "b"])})]}
    parts = {"a": several.take([0, 1]), "b": several.take([2, 3]), "c": several.take([4])}
    left_out = SplitKey("left_out")
    jobs = {
        f"without_{name}": {"mfb": [finished(f"mfb/without_{name}", {"test1": part}, evaluated_as=left_out)]}
        for name, part in parts.items()
    }
    evaluations = read_evaluations({"": given, **jobs}, SEVERAL)
    pooled = evaluations[replace(left_out, by_word=True)]["mfb"]
    predicted = np.concatenate([jobs[f"without_{name}"]["mfb"][0].predictions[TEST].logits for name in "abc"])
    np.testing.assert_array_equal(pooled.logits, [predicted[[0, 2, 4]]])
    assert evaluations[left_out]["mfb"].table.files == ["clip0.wav", "clip1.wav"]
