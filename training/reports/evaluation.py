"""What finished jobs say of a test split, all seeds together; folds are pooled into one split."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ..jobs.job import Job
from ..jobs.prediction import read_predictions
from ..settings.labels import LEARNT_FROM, TEST_SPLIT


@dataclass(frozen=True)
class Evaluation:
    """
    One system on one split.

    Args:
        logits: (seeds, clips, 3), label scale.
        labels: (clips, 3), label scale.
        uncertainty: (seeds, clips, 3), label scale, or None.
        speakers: of each clip, None where unknown.
        genders: of each clip, None where unknown.
    """

    logits: np.ndarray
    labels: np.ndarray
    uncertainty: np.ndarray | None
    speakers: list[str | None]
    genders: list[str | None]


def read_evaluations(jobs: dict[str, dict[str, list[Job]]]) -> dict[str, dict[str, Evaluation]]:
    """
    All test splits of a run.

    Args:
        jobs: per data_splits (empty name: the given splits) and system the finished jobs, one per seed.

    Returns:
        per split and system. `cv5` is all clips, each said by the model that had not heard its speaker; a split under
        a condition is named `test1@white_10db`.
    """
    folds = [systems for name, systems in jobs.items() if name]
    evaluations: dict[str, dict[str, Evaluation]] = {}
    for system, given in jobs[""].items():
        for split in given[0].tables:
            if split not in LEARNT_FROM:
                evaluations.setdefault(split, {})[system] = _read([given], split)
    for system in folds[0] if folds else []:
        pooled = _read([fold[system] for fold in folds], TEST_SPLIT)
        evaluations.setdefault(f"cv{len(folds)}", {})[system] = pooled
    return evaluations


def _read(parts: Sequence[list[Job]], split: str) -> Evaluation:
    """Parts (folds) end to end; seeds side by side."""
    tables = [jobs[0].tables[split] for jobs in parts]
    said = [[read_predictions(job.predictions_path(split)) for job in jobs] for jobs in parts]

    def joined(name: str) -> np.ndarray:
        return np.concatenate([np.stack([getattr(seed, name) for seed in seeds]) for seeds in said], axis=1)

    return Evaluation(
        logits=joined("logits"),
        labels=np.concatenate([seeds[0].labels for seeds in said]),
        uncertainty=joined("uncertainty") if said[0][0].uncertainty is not None else None,
        speakers=[speaker for table in tables for speaker in table.speakers],
        genders=[gender for table in tables for gender in table.genders],
    )
