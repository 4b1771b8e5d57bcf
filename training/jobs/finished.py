"""Rows that are finished models: their values of every clip, kept on disk, as predictions on the labels' scale."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from speech_affect import DIMENSIONS

from ..audio.clip_loading import clip_duration_s
from ..corpora.clip_table import ClipTable, join_tables
from ..encoders.finished_model import FinishedModel, load_finished
from ..frames.extraction import extract_missing
from ..frames.frame_cache import FrameCache
from ..settings.finished import CheckpointSpec
from ..settings.labels import LEARNT_FROM, TEST_SPLIT
from ..settings.run_settings import RunSettings
from ..settings.split_key import SplitKey
from .data_splits import TRAIN, DataSplits
from .learnt_clips import digests, from_json
from .plan import transcripts_of
from .prediction import Predictions, write_predictions


# raise when the same model gives other values than before
VALUES_VERSION = 1
OUTSIDE = 0.1  # of the range: a value further out is no value of the scale
FEWEST_CLIPS = 10  # fewer have no correlation


@dataclass(frozen=True)
class FinishedJob:
    """What a finished model says about the clips of one data splits; reports read it as they read a [`Job`].

    Args:
        spec: The row.
        model: The model.
        tables: Clips to predict.
        cache: The model's values of them.
        label_range: Lowest and highest label.
        folder: Folder of the predictions.
        evaluated_as: As of [`DataSplits`].
    """

    spec: CheckpointSpec
    model: FinishedModel
    tables: dict[SplitKey, ClipTable]
    cache: FrameCache
    label_range: tuple[float, float]
    folder: Path
    evaluated_as: SplitKey | None

    def predictions_path(self, key: SplitKey) -> Path:
        """Return the path of a split's predictions."""
        return self.folder / f"predictions_{key}.csv"

    def predictions(self, table: ClipTable) -> Predictions:
        """Return the model's values of these clips, moved linearly from its range to that of the labels."""
        values = np.array([self.cache.read(clip) for clip in table.fingerprints], dtype=np.float64)
        (low, high), (own_low, own_high) = self.label_range, self.model.output_range
        if (low, high) != (own_low, own_high):
            values *= (high - low) / (own_high - own_low)
            values[:, 0] += low - own_low * (high - low) / (own_high - own_low)
        every = np.full((*values.shape[:2], len(DIMENSIONS)), np.nan)
        every[..., [DIMENSIONS.index(name) for name in self.model.outputs]] = values
        return Predictions(list(table.files), every[:, 0], table.labels, *every[:, 1:].swapaxes(0, 1))

    def write(self) -> None:
        """Write the predictions of every table."""
        self.folder.mkdir(parents=True, exist_ok=True)
        for key, table in self.tables.items():
            write_predictions(self.predictions_path(key), self.predictions(table))


@dataclass(frozen=True)
class Evaluated:
    """A finished model and its values of every clip that it is evaluated on."""

    model: FinishedModel
    cache: FrameCache


def evaluate_models(run: RunSettings, all_splits: Sequence[DataSplits], cache_dir: Path) -> dict[str, Evaluated]:
    """Run every finished model over its clips, as far as their values are not on disk.

    Args:
        run: The run.
        all_splits: Its data splits.
        cache_dir: Folder where values are kept.

    Returns:
        Name of the row -> model and values.

    Raises:
        ValueError: As [`load_finished`], or a value is not finite.
    """
    found = {}
    for name, spec in run.checkpoints.items():
        model, audio = load_finished(spec, cache_dir), {}
        for data_splits in all_splits:
            degraded = {clip.fingerprint: clip for clips in data_splits.conditions.values() for clip in clips}
            for table in _tables(run, name, data_splits).values():
                audio |= {clip: degraded.get(clip) or data_splits.audio[clip] for clip in table.fingerprints}
        texts = transcripts_of(all_splits) if model.reads_text else {}
        settings = {"version": VALUES_VERSION, "model": model.source.name, "revision": model.source.revision}
        cache = FrameCache(cache_dir / "frames", "values", settings, "float32")

        def make(batches, _, model=model, audio=audio, texts=texts, name=name):
            for batch in batches:
                values = model.estimate([audio[clip] for clip in batch], [texts.get(clip) for clip in batch])
                if not np.isfinite(values).all():
                    raise ValueError(f"system {name!r} gives values that are not finite")
                yield {name: dict(zip(batch, values, strict=True))}

        lengths = {clip: clip_duration_s(of) for clip, of in audio.items()}
        extract_missing(audio, lengths.__getitem__, run.extraction_batch_size, {name: cache}, make, "clips")
        found[name] = Evaluated(model, cache)
    return found


def finished_jobs(
    run: RunSettings,
    evaluated: Mapping[str, Evaluated],
    all_splits: Sequence[DataSplits],
    label_range: tuple[float, float],
    output: Path,
) -> dict[str, dict[str, list[FinishedJob]]]:
    """Write the predictions of finished models, and return per data splits and model the one job, in a list."""
    jobs: dict[str, dict[str, list[FinishedJob]]] = {data_splits.name: {} for data_splits in all_splits}
    for name, found in evaluated.items():
        for data_splits in all_splits:
            if tables := _tables(run, name, data_splits):
                folder, as_split = output / "jobs" / name / data_splits.name, data_splits.evaluated_as
                spec = run.checkpoints[name]
                job = FinishedJob(spec, found.model, tables, found.cache, label_range, folder, as_split)
                job.write()
                jobs[data_splits.name][name] = [job]
    return jobs


def _tables(run: RunSettings, name: str, data_splits: DataSplits) -> dict[SplitKey, ClipTable]:
    """Return the clips that a row is evaluated on: all but `train`, of a fold the test split."""
    if data_splits.name:
        tested = SplitKey(TEST_SPLIT)
        return {tested: data_splits.tables[tested]} if name in run.cross_validated else {}
    tables = {key: table for key, table in data_splits.tables.items() if key != TRAIN}
    return tables | (data_splits.condition_tables() if name in run.degraded_systems else {})


def warnings_of(job: FinishedJob, corpus: dict, every: Sequence[FinishedJob]) -> list[str]:
    """Return what the reader of a model's results should know.

    Args:
        job: The model on the given splits.
        corpus: Of `provenance.describe_corpus`.
        every: This one, and those of folds and of corpora left out.
    """
    table = join_tables([table for key, table in job.tables.items() if not key.condition])
    predicted = job.predictions(table).logits
    learnt = from_json(job.model.run)
    known = _trained_on(job.model.run, corpus) if learnt is None else _learnt_from(learnt, every)
    found = [*job.model.warnings, *known]
    low, high = job.label_range
    margin, present = OUTSIDE * (high - low), predicted[~np.isnan(predicted)]
    outside = int(((present < low - margin) | (present > high + margin)).sum())
    if outside:
        first, last = job.model.output_range
        ends = [first + (value - low) * (last - first) / (high - low) for value in (present.min(), present.max())]
        found.append(
            f"{outside} of {present.size} values lie outside its range, {first:g} to {last:g}, by more than a tenth "
            f"of it (from {ends[0]:.3g} to {ends[1]:.3g}): check output_range"
        )
    r = {
        name: np.corrcoef(x[kept], y[kept])[0, 1]
        for name, x, y in zip(DIMENSIONS, predicted.T, table.labels.T, strict=True)
        if (kept := ~np.isnan(x) & ~np.isnan(y)).sum() >= FEWEST_CLIPS and np.ptp(x[kept]) and np.ptp(y[kept])
    }
    if r and max(r.values()) < 0:
        values = ", ".join(f"{name} {value:.2f}" for name, value in r.items())
        found.append(f"values go down where labels go up in every dimension (r: {values}): check outputs and labels")
    return found


def _learnt_from(learnt: Mapping[str, np.ndarray], jobs: Sequence[FinishedJob]) -> list[str]:
    """Return a warning that counts the clips of each split that the model learnt from, by their audio."""
    tested: dict[str, list[str]] = {}
    for job in jobs:
        for key, table in job.tables.items():
            if not key.condition:
                tested.setdefault(str(job.evaluated_as or key), []).extend(table.fingerprints)
    found = []
    for split, clips in tested.items():
        trained, chosen = (int(np.isin(digests(clips), learnt[name]).sum()) for name in LEARNT_FROM)
        if trained or chosen:
            found.append(f"{trained} for training and {chosen} to choose its epoch (of {len(clips)} in {split})")
    return [f"has heard clips of this table before: {'; '.join(found)}: figures on these are no test"] if found else []


def _trained_on(run: dict, corpus: dict) -> list[str]:
    """Return a warning for each corpus here that has as many clips and speakers as one that the model was trained on.

    For a `run.json` that has no more of the clips than these numbers.
    """
    learnt = [(name, one["splits"]) for name, one in _corpora(run.get("corpus") or {}).items() if one.get("splits")]
    found = []
    for name, one in _corpora(corpus).items():
        for own_name, own in learnt:
            if _size(own.values()) != _size(one["splits"].values()):
                continue
            text = f"was trained on {own_name} by its run.json, with as many clips and speakers as {name} here"
            same = all(_size([own.get(key)]) == _size([one["splits"].get(key)]) for key in LEARNT_FROM)
            tests = ", ".join(key for key in own if key not in LEARNT_FROM)
            alone = f"; by the same numbers {tests} was held out, and no other split" if same and tests else ""
            found.append(f"{text}: figures on clips that it was trained on are no test{alone}")
    return found


def _corpora(described: dict) -> dict[str, dict]:
    return described.get("corpora") or {described.get("name", ""): described}


def _size(splits) -> tuple[int, int]:
    sizes = [split for split in splits if split]
    return sum(size["clips"] for size in sizes), sum(size["speakers"] for size in sizes)
