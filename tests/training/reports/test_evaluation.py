"""Predictions of jobs put together: seeds side by side, folds end to end, clips by their names."""

from types import SimpleNamespace

import numpy as np
import pytest

from speech_affect_training.corpora.clip_table import ClipTable
from speech_affect_training.jobs.prediction import Predictions, write_predictions
from speech_affect_training.reports.evaluation import read_evaluations
from speech_affect_training.settings.split_key import SplitKey


TEST, ROOM = SplitKey("test1"), SplitKey("test1", "room_0.6s")


@pytest.fixture
def finished(tmp_path):
    """Makes a finished job with random predictions of every split but train."""

    def make(name: str, tables: dict[str, ClipTable], seed: int = 0, uncertainty: bool = False):
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
            tables=tables, predictions=predictions, predictions_path=paths.__getitem__, folder=folder
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
    evaluations = read_evaluations({"": {"mfb": seeds, "other": other}})
    assert names_of(evaluations) == {"test1": ["mfb", "other"], "test1@room_0.6s": ["mfb"]}
    for key in (TEST, ROOM):
        evaluation = evaluations[key]["mfb"]
        np.testing.assert_array_equal(evaluation.logits, [job.predictions[key].logits for job in seeds])
        np.testing.assert_array_equal(evaluation.labels, tables[str(key)].labels)
        assert evaluation.uncertainty is None
    assert evaluations[TEST]["mfb"].speakers == ["1", None, "2", "2"]
    assert evaluations[TEST]["mfb"].genders == ["Male", None, "Female", "Female"]
    np.testing.assert_array_equal(evaluations[TEST]["other"].uncertainty, [other[0].predictions[TEST].uncertainty])


def test_a_dimension_that_a_system_does_not_have_counts_as_not_rated(finished, make_table):
    job = finished("mfb", {"train": make_table(9), "test1": make_table(3)})
    logits = job.predictions[TEST].logits
    logits[:, 1] = np.nan
    write_predictions(job.predictions_path(TEST), job.predictions[TEST])
    evaluation = read_evaluations({"": {"mfb": [job]}}, ["dominance"])[TEST]["mfb"]
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
        folds[f"fold{index}"] = {"mfb": [finished(f"mfb/fold{index}", tables, seed, True) for seed in (0, 1)]}
    plain = {"train": make_table(1), "test1": make_table(2)}
    given = {name: [finished(name, plain, seed) for seed in (0, 1)] for name in ("mfb", "pupil")}
    evaluations = read_evaluations({"": given, **folds})
    assert names_of(evaluations) == {"test1": ["mfb", "pupil"], "cv3": ["mfb"]}
    pooled = evaluations[SplitKey("cv", folds=3)]["mfb"]
    for name in ("logits", "uncertainty"):
        for seed in (0, 1):
            by_hand = [row for fold in folds.values() for row in getattr(fold["mfb"][seed].predictions[TEST], name)]
            np.testing.assert_array_equal(getattr(pooled, name)[seed], by_hand)
    np.testing.assert_array_equal(pooled.labels, everything.labels)
    assert pooled.logits.shape == (2, 6, 3)
    assert pooled.speakers == everything.speakers and pooled.genders == everything.genders


def test_clips_are_joined_by_their_names(finished, make_table):
    tables = {"test1": make_table(4, speakers=list("abcd"))}
    job = finished("mfb", tables)
    expected = job.predictions[TEST]
    write_predictions(job.predictions_path(TEST), expected.of(expected.files[::-1]))
    evaluation = read_evaluations({"": {"mfb": [job]}})[TEST]["mfb"]
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
            read_evaluations({"": {"mfb": [job]}})


def test_without_folds_or_with_none_of_the_systems_there_is_no_such_split(finished, make_table):
    given = {"mfb": [finished("mfb", {"train": make_table(1), "test1": make_table(2)})]}
    assert list(read_evaluations({"": given})) == [TEST]
    assert list(read_evaluations({"": given, "fold0": {}, "fold1": {}, "fold2": {}})) == [TEST]
