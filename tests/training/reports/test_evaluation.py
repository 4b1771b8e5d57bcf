"""What jobs said, put together: seeds side by side, folds end to end."""

from types import SimpleNamespace

import numpy as np
import pytest

from speech_affect_training.corpora.clip_table import ClipTable
from speech_affect_training.jobs.prediction import Predictions, write_predictions
from speech_affect_training.reports.evaluation import read_evaluations


@pytest.fixture
def finished(make_table, tmp_path):
    """Makes a finished job with random predictions of every split but train."""

    def make(name: str, tables: dict[str, ClipTable], seed: int, uncertainty: bool = False):
        folder = tmp_path / name / f"seed{seed}"
        folder.mkdir(parents=True)
        generator = np.random.default_rng([seed, *name.encode()])
        said = {}
        for split, table in tables.items():
            if split != "train":
                std = generator.random((len(table), 3)) if uncertainty else None
                said[split] = Predictions(table.files, generator.random((len(table), 3)), table.labels, std)
                write_predictions(folder / f"predictions_{split}.csv", said[split])
        paths = {split: folder / f"predictions_{split}.csv" for split in tables}
        return SimpleNamespace(tables=tables, said=said, predictions_path=paths.__getitem__)

    return make


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
    assert {split: list(systems) for split, systems in evaluations.items()} == {
        "test1": ["mfb", "other"],
        "test1@room_0.6s": ["mfb"],
    }
    for split in ("test1", "test1@room_0.6s"):
        evaluation = evaluations[split]["mfb"]
        np.testing.assert_array_equal(evaluation.logits, [job.said[split].logits for job in seeds])
        np.testing.assert_array_equal(evaluation.labels, tables[split].labels)
        assert evaluation.uncertainty is None
    assert evaluations["test1"]["mfb"].speakers == ["1", None, "2", "2"]
    assert evaluations["test1"]["mfb"].genders == ["Male", None, "Female", "Female"]
    np.testing.assert_array_equal(evaluations["test1"]["other"].uncertainty, [other[0].said["test1"].uncertainty])


def test_folds_are_pooled_end_to_end(finished, make_table):
    sizes = (3, 1, 2)
    everything = make_table(6, speakers=list("aabccd"), genders=["m", "m", "f", "f", "f", "m"])
    starts = np.cumsum([0, *sizes])
    parts = [everything.take(range(starts[i], starts[i + 1])) for i in range(3)]
    folds = {}
    for index, part in enumerate(parts):
        tables = {"train": make_table(5), "development": make_table(2), "test1": part}
        folds[f"fold{index}"] = {"mfb": [finished(f"mfb/fold{index}", tables, seed, True) for seed in (0, 1)]}
    given = {"mfb": [finished("mfb", {"train": make_table(1), "test1": make_table(2)}, seed) for seed in (0, 1)]}
    given["pupil"] = [finished("pupil", {"train": make_table(1), "test1": make_table(2)}, seed) for seed in (0, 1)]
    evaluations = read_evaluations({"": given, **folds})
    assert {split: list(systems) for split, systems in evaluations.items()} == {
        "test1": ["mfb", "pupil"],
        "cv3": ["mfb"],
    }
    pooled = evaluations["cv3"]["mfb"]
    jobs = [folds[f"fold{index}"]["mfb"] for index in range(3)]
    for name in ("logits", "uncertainty"):
        by_hand = [[*getattr(a.said["test1"], name)] for a in (jobs[0][0], jobs[1][0], jobs[2][0])]
        np.testing.assert_array_equal(getattr(pooled, name)[0], by_hand[0] + by_hand[1] + by_hand[2])
        by_hand = [[*getattr(a.said["test1"], name)] for a in (jobs[0][1], jobs[1][1], jobs[2][1])]
        np.testing.assert_array_equal(getattr(pooled, name)[1], by_hand[0] + by_hand[1] + by_hand[2])
    np.testing.assert_array_equal(pooled.labels, everything.labels)
    assert pooled.logits.shape == (2, 6, 3)
    assert pooled.speakers == everything.speakers and pooled.genders == everything.genders


def test_without_folds_or_with_none_of_the_systems_there_is_no_such_split(finished, make_table):
    given = {"mfb": [finished("mfb", {"train": make_table(1), "test1": make_table(2)}, 0)]}
    assert list(read_evaluations({"": given})) == ["test1"]
    assert list(read_evaluations({"": given, "fold0": {}, "fold1": {}, "fold2": {}})) == ["test1"]
