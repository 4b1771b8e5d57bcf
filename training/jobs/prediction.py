"""What a trained model says of every clip of a split."""

from __future__ import annotations

import csv
import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch.utils.data import DataLoader

from speech_affect import DIMENSIONS

from ..frames.frame_dataset import FrameDataset, collate_frames


@dataclass(frozen=True)
class Outputs:
    """
    Args:
        logits: (clips, 3), label scale, float64.
        embedding: (clips, embedding_size), float32.
        uncertainty: (clips, 3), standard deviations on the label scale, float64; None of a model without.
    """

    logits: np.ndarray
    embedding: np.ndarray
    uncertainty: np.ndarray | None


@dataclass(frozen=True)
class Predictions:
    """
    Args:
        files: names of the clips.
        logits: (clips, 3), label scale, float64.
        labels: (clips, 3), label scale, float64.
        uncertainty: (clips, 3), label scale, float64, or None.
    """

    files: list[str]
    logits: np.ndarray
    labels: np.ndarray
    uncertainty: np.ndarray | None = None


@torch.no_grad()
def predict(model, dataset: FrameDataset, batch_size: int) -> Outputs:
    """Outputs for every clip, in the dataset's order."""
    was_training = model.training
    model.eval()
    parts: dict[str, list] = {"logits": [], "embedding": [], "uncertainty": []}
    for batch in DataLoader(dataset, batch_size=batch_size, collate_fn=collate_frames):
        frames, masks = ({k: v.to(model.device) for k, v in batch[key].items()} for key in ("frames", "frames_mask"))
        outputs = model(frames=frames, frames_mask=masks)
        for name, values in parts.items():
            if outputs.get(name) is not None:
                values.append(outputs[name].float().cpu())
    model.train(was_training)
    joined = {name: torch.cat(values).double().numpy() if values else None for name, values in parts.items()}
    return Outputs(joined["logits"], joined["embedding"].astype(np.float32), joined["uncertainty"])


def write_predictions(path: Path, predictions: Predictions) -> None:
    """A CSV of one split: file, then label, prediction and uncertainty of each dimension. Whole or not at all."""
    columns = {"label": predictions.labels, "prediction": predictions.logits, "uncertainty": predictions.uncertainty}
    columns = {name: values for name, values in columns.items() if values is not None}
    temporary = path.with_suffix(".tmp")
    with open(temporary, "w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["file", *(f"{dimension}_{name}" for name in columns for dimension in DIMENSIONS)])
        for name, *values in zip(predictions.files, *columns.values(), strict=True):
            writer.writerow([name, *(repr(float(value)) for row in values for value in row)])
    os.replace(temporary, path)


def read_predictions(path: Path) -> Predictions:
    """What [`write_predictions`] wrote."""
    with open(path, newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))

    def column(name: str) -> np.ndarray:
        values = [[float(row[f"{dimension}_{name}"]) for dimension in DIMENSIONS] for row in rows]
        return np.array(values).reshape(-1, len(DIMENSIONS))

    has_uncertainty = bool(rows) and f"{DIMENSIONS[0]}_uncertainty" in rows[0]
    uncertainty = column("uncertainty") if has_uncertainty else None
    return Predictions([row["file"] for row in rows], column("prediction"), column("label"), uncertainty)
