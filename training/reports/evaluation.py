"""Predictions and labels of every test split: seeds side by side, folds of cross-validation joined into one split."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from speech_affect import DIMENSIONS

from ..jobs.data_splits import DEVELOPMENT, TRAIN
from ..jobs.job import Job
from ..jobs.prediction import Predictions, read_predictions
from ..settings.labels import TEST_SPLIT
from ..settings.split_key import SplitKey


@dataclass(frozen=True)
class Evaluation:
    """One system on one split; all numbers are on the label scale, all names None where unknown.

    A label is NaN where a clip was not rated, or the system does not have the dimension.
    """

    logits: np.ndarray  # (seeds, clips, 3)
    labels: np.ndarray  # (clips, 3)
    uncertainty: np.ndarray | None  # (seeds, clips, 3)
    speakers: list[str | None]
    genders: list[str | None]
    averaged: tuple[int, ...] = tuple(range(len(DIMENSIONS)))  # the dimensions that a mean is over


def read_evaluations(
    jobs: dict[str, dict[str, list[Job]]], averaged: Sequence[str] = DIMENSIONS
) -> dict[SplitKey, dict[str, Evaluation]]:
    """Read the predictions of all test splits of a run.

    Args:
        jobs: Per data splits (empty name: the given splits) and system the finished jobs, one per seed. In
            cross-validation each clip is predicted by its own fold.
        averaged: The dimensions that means are over.

    Raises:
        ValueError: A file of predictions has other clips than its table.
    """
    columns = tuple(map(DIMENSIONS.index, averaged))
    folds = [systems for name, systems in jobs.items() if name]
    evaluations: dict[SplitKey, dict[str, Evaluation]] = {}
    for system, given in jobs[""].items():
        for key in given[0].tables:
            if key not in (TRAIN, DEVELOPMENT):
                evaluations.setdefault(key, {})[system] = _read([given], key, columns)
    for system in folds[0] if folds else []:
        joined = _read([fold[system] for fold in folds], SplitKey(TEST_SPLIT), columns)
        evaluations.setdefault(SplitKey("cv", folds=len(folds)), {})[system] = joined
    return evaluations


def _read(parts: Sequence[list[Job]], key: SplitKey, averaged: tuple[int, ...]) -> Evaluation:
    """Join parts (folds), each in the order of its table."""
    tables = [jobs[0].tables[key] for jobs in parts]
    seeds = [[_read_in_order(job, key) for job in jobs] for jobs in parts]

    def joined(name: str) -> np.ndarray:
        return np.concatenate([np.stack([getattr(seed, name) for seed in part]) for part in seeds], axis=1)

    logits, labels = joined("logits"), np.concatenate([table.labels for table in tables])
    return Evaluation(
        logits=logits,
        labels=np.where(np.isnan(logits).any(axis=0), np.nan, labels),
        uncertainty=joined("uncertainty") if seeds[0][0].uncertainty is not None else None,
        speakers=[speaker for table in tables for speaker in table.speakers],
        genders=[gender for table in tables for gender in table.genders],
        averaged=averaged,
    )


def _read_in_order(job: Job, key: SplitKey) -> Predictions:
    path, files = job.predictions_path(key), job.tables[key].files
    predictions = read_predictions(path)
    if sorted(predictions.files) != sorted(files):
        raise ValueError(
            f"{path} does not have each clip of {key} once ({len(predictions.files)} rows, {len(files)} clips); "
            f"delete the folder {job.folder} and start the run again"
        )
    return predictions.of(files)
