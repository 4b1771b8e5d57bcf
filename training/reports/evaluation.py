"""Predictions and labels of every test split: seeds side by side, folds and corpora left out joined into one split."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from speech_affect import DIMENSIONS

from ..corpora.clip_table import ClipTable, join_tables, listened
from ..corpora.word_ratings import word_ratings
from ..jobs.data_splits import DEVELOPMENT, TRAIN
from ..jobs.job import Job
from ..jobs.prediction import Predictions, read_predictions
from ..jobs.provenance import by_word_of, shown_twice
from ..settings.labels import TEST_SPLIT
from ..settings.split_key import SplitKey


@dataclass(frozen=True)
class Evaluation:
    """One system on one split; all numbers are on the label scale.

    Args:
        table: What is known of the clips. A label is NaN where a clip was not rated, or the system does not have the
            dimension.
        logits: (seeds, clips, 3), predictions.
        uncertainty: (seeds, clips, 3), predicted standard deviations; None if the system has none.
        averaged: The dimensions that a mean is over.
    """

    table: ClipTable
    logits: np.ndarray
    uncertainty: np.ndarray | None = None
    averaged: tuple[int, ...] = tuple(range(len(DIMENSIONS)))

    @property
    def labels(self) -> np.ndarray:
        """(clips, 3), NaN where there is none."""
        return self.table.labels

    def with_labels(self, labels: np.ndarray) -> Evaluation:
        """Return this evaluation against other labels."""
        return replace(self, table=replace(self.table, labels=labels))

    def take(self, clips: np.ndarray) -> Evaluation:
        """Return this evaluation on the clips of these rows."""
        uncertainty = None if self.uncertainty is None else self.uncertainty[:, clips]
        return replace(self, table=self.table.take(clips), logits=self.logits[:, clips], uncertainty=uncertainty)


def read_evaluations(jobs: dict[str, dict[str, list[Job]]], corpus: dict) -> dict[SplitKey, dict[str, Evaluation]]:
    """Read the predictions of all test splits of a run.

    Args:
        jobs: Per data splits (empty name: the given splits) and system the finished jobs, one per seed. Predictions
            of the others for `test1` are joined to the split that they are evaluated as.
        corpus: Of `provenance.describe_corpus`. Of several corpora with labels by word each split is there twice, see
            [`shown_twice`].

    Raises:
        ValueError: A file of predictions has other clips than its table.
    """
    parts: dict[SplitKey, dict[str, list[list[Job]]]] = {}
    for system, given in jobs[""].items():
        for key in given[0].tables:
            if key not in (TRAIN, DEVELOPMENT):
                parts.setdefault(key, {})[system] = [given]
    for name, systems in jobs.items():
        for system, seeds in systems.items() if name else ():
            parts.setdefault(seeds[0].evaluated_as, {}).setdefault(system, []).append(seeds)
    averaged = tuple(map(DIMENSIONS.index, corpus["averaged"]))
    evaluations: dict[SplitKey, dict[str, Evaluation]] = {}
    for key, systems in parts.items():
        for system, of_system in systems.items():
            whole = _read(of_system, SplitKey(TEST_SPLIT) if key.pooled else key, averaged)
            for view, evaluation in (_views(key, whole, corpus) if shown_twice(corpus) else {key: whole}).items():
                evaluations.setdefault(view, {})[system] = evaluation
    return evaluations


def _views(key: SplitKey, whole: Evaluation, corpus: dict) -> dict[SplitKey, Evaluation]:
    """Return what listeners rated, on the corpora that they rated, and all clips against the word of their emotion."""
    heard = listened(whole.table, by_word_of(corpus))
    rated = {name for name, any_rated in zip(whole.table.corpora, heard.any(axis=1), strict=True) if any_rated}
    words = [word_ratings(emotion, corpus["label_range"]) for emotion in whole.table.emotions]
    by_word = np.where(np.isnan(whole.logits).any(axis=0), np.nan, np.array(words, dtype=np.float64))
    views = {
        key: (whole.with_labels(np.where(heard, whole.labels, np.nan)), [n in rated for n in whole.table.corpora]),
        replace(key, by_word=True): (
            replace(whole.with_labels(by_word), uncertainty=None, averaged=tuple(range(len(DIMENSIONS)))),
            ~np.isnan(by_word).all(axis=1),
        ),
    }
    return {view: one.take(np.flatnonzero(kept)) for view, (one, kept) in views.items() if np.any(kept)}


def _read(parts: Sequence[list[Job]], key: SplitKey, averaged: tuple[int, ...]) -> Evaluation:
    """Join parts (folds, corpora left out), each in the order of its table."""
    table = join_tables([jobs[0].tables[key] for jobs in parts])
    seeds = [[_read_in_order(job, key) for job in jobs] for jobs in parts]

    def joined(name: str) -> np.ndarray:
        return np.concatenate([np.stack([getattr(seed, name) for seed in part]) for part in seeds], axis=1)

    logits = joined("logits")
    uncertainty = joined("uncertainty") if seeds[0][0].uncertainty is not None else None
    whole = Evaluation(table, logits, uncertainty, averaged)
    return whole.with_labels(np.where(np.isnan(logits).any(axis=0), np.nan, table.labels))


def _read_in_order(job: Job, key: SplitKey) -> Predictions:
    path, files = job.predictions_path(key), job.tables[key].files
    predictions = read_predictions(path)
    if sorted(predictions.files) != sorted(files):
        raise ValueError(
            f"{path} does not have each clip of {key} once ({len(predictions.files)} rows, {len(files)} clips); "
            f"delete the folder {job.folder} and start the run again"
        )
    return predictions.of(files)
