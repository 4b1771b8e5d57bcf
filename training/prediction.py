"""What a trained model says of every clip of a split."""

from __future__ import annotations

import csv
import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from frame_dataset import FrameCollator, FrameDataset
from torch.utils.data import DataLoader

from corpora.corpus import DIMENSIONS


@dataclass(frozen=True)
class Predictions:
    """
    Args:
        files: names of the clips.
        logits: (clips, 3), label scale, float64.
        labels: (clips, 3), label scale, float64.
    """

    files: list[str]
    logits: np.ndarray
    labels: np.ndarray


@torch.no_grad()
def predict(model, dataset: FrameDataset, batch_size: int) -> tuple[np.ndarray, np.ndarray]:
    """Outputs (clips, 3) on the label scale and embeddings (clips, embedding_size), in the dataset's order."""
    was_training = model.training
    model.eval()
    logits, embeddings = [], []
    for batch in DataLoader(dataset, batch_size=batch_size, collate_fn=FrameCollator(with_emotions=False)):
        frames, masks = ({k: v.to(model.device) for k, v in batch[key].items()} for key in ("frames", "frames_mask"))
        outputs = model(frames=frames, frames_mask=masks)
        logits.append(outputs.logits.float().cpu())
        embeddings.append(outputs.embedding.float().cpu())
    model.train(was_training)
    return torch.cat(logits).double().numpy(), torch.cat(embeddings).numpy()


def write_predictions(path: Path, predictions: Predictions) -> None:
    """A CSV of one split: file, then label and prediction of each dimension. Appears whole or not at all."""
    temporary = path.with_suffix(".tmp")
    with open(temporary, "w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["file", *(f"{d}_label" for d in DIMENSIONS), *(f"{d}_prediction" for d in DIMENSIONS)])
        for name, label, logit in zip(predictions.files, predictions.labels, predictions.logits, strict=True):
            writer.writerow([name, *map(repr, map(float, label)), *map(repr, map(float, logit))])
    os.replace(temporary, path)


def read_predictions(path: Path) -> Predictions:
    """What [`write_predictions`] wrote."""
    with open(path, newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    labels, logits = (
        np.array([[float(row[f"{d}_{what}"]) for d in DIMENSIONS] for row in rows]).reshape(-1, len(DIMENSIONS))
        for what in ("label", "prediction")
    )
    return Predictions([row["file"] for row in rows], logits, labels)
