"""Which fit of the output layer a corpus gets: cross-validation over its rated clips."""

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from ..corpora.folds import deal_groups
from ..metrics.bootstrap import paired_bootstrap
from ..metrics.rated import mean_of_rated, rated_concordance
from ..settings.labels import UNKNOWN
from .output_layer import OutputLayer, RatedClips, as_it_is, fine_tuned, scaled_and_shifted


FOLDS = 5
ONE_STANDARD_ERROR = 0.6827  # confidence of a Gaussian's mean plus and minus one
# the simplest first
FITS: dict[str, Callable[[OutputLayer, RatedClips], OutputLayer]] = {
    "nothing changed": as_it_is,
    "a scale and shift": scaled_and_shifted,
    "a fine-tuned output layer": fine_tuned,
}


@dataclass(frozen=True)
class Choice:
    """The fit that a corpus gets.

    Args:
        name: In `FITS`.
        layer: Fitted to all clips.
        out_of_fold: Name of each fit -> (clips, outputs), unit scale: values of clips that it was not fitted to.
    """

    name: str
    layer: OutputLayer
    out_of_fold: dict[str, np.ndarray]


def choose(layer: OutputLayer, clips: RatedClips, averaged: list[int], num_samples: int, seed: int) -> Choice:
    """Return the best of `FITS` for these clips, by mean CCC of held-out groups.

    A map has two numbers per dimension, which can hardly fit too well: in few clips it is right more often than their
    cross-validation. So the model stays as it is only where that is better by more than a standard error.

    Args:
        layer: The model's.
        clips: Of two groups or more.
        averaged: The outputs that the mean is over.
        num_samples: Resamples behind the standard error.
        seed: Of the resampling.
    """
    out_of_fold = {name: _out_of_fold(layer, clips, fit) for name, fit in FITS.items()}
    unchanged, *others = FITS
    means = {name: mean_of_rated(rated_concordance(out_of_fold[name], clips.labels)[averaged]) for name in others}
    chosen = max(others, key=means.__getitem__)
    compared = (out_of_fold[unchanged], out_of_fold[chosen], clips.labels)
    options = {"num_samples": num_samples, "seed": seed, "confidence": ONE_STANDARD_ERROR, "averaged": averaged}
    if paired_bootstrap(*compared, **options)[-1].low > 0:
        chosen = unchanged
    return Choice(chosen, FITS[chosen](layer, clips), out_of_fold)


def _out_of_fold(layer: OutputLayer, clips: RatedClips, fit: Callable) -> np.ndarray:
    values = np.empty_like(clips.labels)
    for group in np.unique(clips.groups):
        held_out = clips.groups == group
        values[held_out] = fit(layer, clips.take(~held_out)).values(clips.embeddings[held_out])
    return values


def groups_of(speakers: Sequence[str | None], genders: Sequence[str | None], seed: int) -> tuple[np.ndarray, bool]:
    """Return the group of each clip, `FOLDS` or fewer, and whether they are of speakers.

    Where all clips have a speaker, and there are two or more, a speaker's clips are in one group. Else clips are dealt
    in a random order.
    """
    known = set(speakers)
    if len(known) > 1 and not known & {None, UNKNOWN}:
        dealt = deal_groups(speakers, genders, min(FOLDS, len(known)))
        return np.array([dealt[speaker] for speaker in speakers]), True
    order = list(range(len(speakers)))
    random.Random(seed).shuffle(order)
    return np.array(order) % FOLDS, False
