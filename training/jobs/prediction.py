"""Predict clips with a trained model, and keep the predictions on disk."""

from __future__ import annotations

import csv
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from accelerate.utils import send_to_device
from torch.utils.data import DataLoader

from speech_affect import DIMENSIONS

from ..audio.clip_loading import loading_workers
from ..files import atomic_path, read_json, write_json
from ..frames.audio_dataset import AudioDataset
from ..frames.frame_dataset import FrameDataset, collate_frames, output_columns
from .job import Job


INPUTS = ("frames", "frames_mask", "input_values", "attention_mask")  # of a model, in a batch


@dataclass(frozen=True)
class Predictions:
    """Predictions of clips beside their labels, all values on the label scale.

    Numbers are float64, embedding and classes float32. NaN is a dimension that the model does not have, or a label
    that is not there.
    """

    files: list[str]
    logits: np.ndarray  # (clips, 3)
    labels: np.ndarray  # (clips, 3)
    uncertainty: np.ndarray | None = None  # (clips, 3), standard deviations; None if the model has none
    embedding: np.ndarray | None = None  # (clips, embedding_size); None if it was not kept
    emotion_logits: np.ndarray | None = None  # (clips, classes); None if the model has none or they were not kept

    def of(self, files: Sequence[str]) -> Predictions:
        """Return the predictions of these clips, in this order.

        Raises:
            ValueError: There is none for a clip.
        """
        rows = {file: row for row, file in enumerate(self.files)}
        missing = [file for file in files if file not in rows]
        if missing:
            raise ValueError(f"there are no predictions of {len(missing)} of {len(files)} clips, such as {missing[0]}")
        order = [rows[file] for file in files]
        columns = (self.logits, self.labels, self.uncertainty, self.embedding, self.emotion_logits)
        return Predictions(list(files), *(None if values is None else values[order] for values in columns))


@torch.no_grad()
def predict(model, dataset: FrameDataset, batch_size: int) -> Predictions:
    """Predict every clip of a dataset, in its order.

    Raises:
        ValueError: A prediction is not finite.
    """
    was_training = model.training
    model.eval()
    parts: dict[str, list] = {"logits": [], "embedding": [], "uncertainty": [], "emotion_logits": []}
    workers = loading_workers() if isinstance(dataset, AudioDataset) else 0
    for batch in DataLoader(dataset, batch_size=batch_size, collate_fn=collate_frames, num_workers=workers):
        inputs = send_to_device({name: batch[name] for name in INPUTS if name in batch}, model.device)
        outputs = model(**inputs)
        for name, values in parts.items():
            if outputs.get(name) is not None:
                values.append(outputs[name].float().cpu())
    model.train(was_training)
    joined = {name: torch.cat(values).numpy() for name, values in parts.items() if values}
    columns, count = output_columns(model.config), len(dataset)
    logits, uncertainty = (
        _all_dimensions(joined[name], columns, count) if name in joined else None for name in ("logits", "uncertainty")
    )
    kept = (joined["embedding"], joined.get("emotion_logits"))
    return Predictions(list(dataset.table.files), logits, dataset.table.labels, uncertainty, *kept)


def _all_dimensions(values: np.ndarray, columns: list[int], clips: int) -> np.ndarray:
    if not np.isfinite(values).all():
        raise ValueError("the model predicts values that are not finite: train it anew, with a lower learning_rate")
    every = np.full((clips, len(DIMENSIONS)), np.nan)
    every[:, columns] = values
    return every


def predict_splits(job: Job, batch_size: int) -> None:
    """Predict the splits of a trained job whose predictions are not on disk yet."""
    model = job.model().to(job.arguments.device)
    done = read_json(job.folder / "predicted.json")
    for key in job.unpredicted():
        table = job.tables[key]
        write_predictions(job.predictions_path(key), predict(model, job.dataset(table), batch_size))
        done[str(key)] = job.prediction_fingerprint(table)
        write_json(job.folder / "predicted.json", done)


def write_predictions(path: Path, predictions: Predictions) -> None:
    """Write a split as CSV: file, then label, prediction and uncertainty of each dimension; NaN is an empty field."""
    columns = {"label": predictions.labels, "prediction": predictions.logits, "uncertainty": predictions.uncertainty}
    columns = {name: values for name, values in columns.items() if values is not None}
    with atomic_path(path) as temporary, open(temporary, "w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["file", *(f"{dimension}_{name}" for name in columns for dimension in DIMENSIONS)])
        for name, *values in zip(predictions.files, *columns.values(), strict=True):
            numbers = [float(value) for row in values for value in row]
            writer.writerow([name, *("" if math.isnan(number) else repr(number) for number in numbers)])


def read_predictions(path: Path) -> Predictions:
    """Read the file that [`write_predictions`] wrote."""
    with open(path, newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))

    def column(name: str) -> np.ndarray:
        values = [[float(row[f"{dimension}_{name}"] or "nan") for dimension in DIMENSIONS] for row in rows]
        return np.array(values).reshape(-1, len(DIMENSIONS))

    has_uncertainty = bool(rows) and f"{DIMENSIONS[0]}_uncertainty" in rows[0]
    uncertainty = column("uncertainty") if has_uncertainty else None
    return Predictions([row["file"] for row in rows], column("prediction"), column("label"), uncertainty)
