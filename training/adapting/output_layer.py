"""Ways to fit a model's output layer to a few rated clips, from its embeddings. All values are in unit scale, -1 to 1.

In unit scale a model's values move to another label range by themselves: -1 is the lowest rating, 1 the highest.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from torch.nn import functional as F

from speech_affect.losses import ccc_losses, concordance


PRIOR_CLIPS = 10  # as many clips speak for the scale that the model has
STEPS = 60
LEARNING_RATE = 1e-3


class OutputLayer(NamedTuple):
    """Weight (outputs, embedding_size) and bias (outputs,), float64."""

    weight: np.ndarray
    bias: np.ndarray

    @classmethod
    def of(cls, model) -> OutputLayer:
        """Copy the layer of a model."""
        layer = model.regressor.output
        return cls(*(each.detach().double().cpu().numpy() for each in (layer.weight, layer.bias)))

    def linear(self, embeddings: np.ndarray) -> np.ndarray:
        """(clips, embedding_size) -> (clips, outputs), as in training."""
        return embeddings @ self.weight.T + self.bias

    def values(self, embeddings: np.ndarray) -> np.ndarray:
        """(clips, embedding_size) -> (clips, outputs) within -1..1, as in evaluation."""
        return self.linear(embeddings).clip(-1, 1)


@dataclass(frozen=True)
class RatedClips:
    """Clips with ratings, in rows.

    Args:
        embeddings: (clips, embedding_size), float64.
        labels: (clips, outputs), float64; NaN where a clip was not rated.
        groups: (clips,) integers: clips of a group are held out together.
    """

    embeddings: np.ndarray
    labels: np.ndarray
    groups: np.ndarray

    def take(self, rows: np.ndarray) -> RatedClips:
        """Return these rows."""
        return RatedClips(self.embeddings[rows], self.labels[rows], self.groups[rows])


def as_it_is(layer: OutputLayer, clips: RatedClips) -> OutputLayer:
    """Return the layer as it is."""
    return layer


def scaled_and_shifted(layer: OutputLayer, clips: RatedClips) -> OutputLayer:
    """Return the layer with a scale and a shift for each output, as [`scale_and_shift`] finds them."""
    scale, shift = scale_and_shift(layer.linear(clips.embeddings), clips.labels)
    return OutputLayer(layer.weight * scale[:, None], layer.bias * scale + shift)


def scale_and_shift(values: np.ndarray, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return for each output the map `scale * value + shift` that suits CCC best.

    Of all maps with a positive scale, CCC is highest where mean and standard deviation become those of the labels.
    The ratio of the deviations is noisy in few clips: of n, it is raised to the power n / (n + `PRIOR_CLIPS`).

    Args:
        values: (clips, outputs).
        labels: The same shape; NaN where a clip was not rated.

    Returns:
        Scale and shift, (outputs,) each; 1 and 0 where fewer than two clips were rated, a scale of 1 where values or
        labels do not vary.
    """
    scale, shift = np.ones(labels.shape[1]), np.zeros(labels.shape[1])
    for column, rated in enumerate(~np.isnan(labels).T):
        x, y, count = values[rated, column], labels[rated, column], rated.sum()
        if count < 2:
            continue
        if x.std() > 0 and y.std() > 0:
            scale[column] = (y.std() / x.std()) ** (count / (count + PRIOR_CLIPS))
        shift[column] = y.mean() - scale[column] * x.mean()
    return scale, shift


def fine_tuned(layer: OutputLayer, clips: RatedClips) -> OutputLayer:
    """Return the layer trained on from [`scaled_and_shifted`] by the loss `1 - CCC`, stopped early.

    Beside the layer of all clips, one is trained without each group; training stops at the step where these have the
    highest CCC on what they were not trained on, all groups together.
    """
    groups = clips.groups if len(np.unique(clips.groups)) > 1 else np.arange(len(clips.groups)) % 2
    names, place = np.unique(groups, return_inverse=True)
    kept = [groups != name for name in names] + [np.full(len(groups), True)]
    start = [scaled_and_shifted(layer, clips.take(rows)) for rows in kept]
    weight = torch.from_numpy(np.concatenate([each.weight for each in start])).requires_grad_()
    bias = torch.from_numpy(np.concatenate([each.bias for each in start])).requires_grad_()
    labels, embeddings = torch.from_numpy(clips.labels), torch.from_numpy(clips.embeddings)
    targets = torch.cat([labels.masked_fill(~torch.from_numpy(rows)[:, None], torch.nan) for rows in kept], dim=1)
    optimizer = torch.optim.Adam([weight, bias], lr=LEARNING_RATE)
    outputs, rows = labels.shape[1], torch.arange(len(labels))
    best, chosen = -torch.inf, layer
    for _ in range(STEPS):
        predictions = F.linear(embeddings, weight, bias)
        held_out = predictions.detach().view(len(labels), -1, outputs)[rows, torch.from_numpy(place)].clamp(-1, 1)
        score = concordance(held_out, labels, False).nanmean()
        if score > best:
            best = score
            chosen = OutputLayer(*(each.detach()[-outputs:].numpy().copy() for each in (weight, bias)))
        optimizer.zero_grad()
        ccc_losses(predictions, targets).nansum().backward()
        optimizer.step()
    return chosen
