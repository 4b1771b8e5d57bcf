"""Whether predicted standard deviations are right: the factor that makes them so, and how many labels they cover.

Labels are taken as Gaussian about their predictions. Source of the factor: Laves et al., "Well-calibrated regression
uncertainty in medical imaging with deep learning", 2020 (there called sigma scaling, in closed form).
"""

from __future__ import annotations

from collections.abc import Iterable
from statistics import NormalDist

import numpy as np


def uncertainty_scale(predictions, labels, uncertainty) -> np.ndarray:
    """Factor per dimension by which predicted standard deviations must be multiplied to be right on average.

    `sqrt(mean(((label - prediction) / uncertainty)^2))`: afterwards the mean squared standardised error is 1, and no
    other factor gives the labels a higher Gaussian likelihood. Measure it on clips that were not trained on, and apply
    it to others.

    Args:
        predictions: Array-like `(clips, dimensions)`, finite.
        labels: The same shape and scale as `predictions`; leave out clips without a rating.
        uncertainty: The same shape and scale, standard deviations greater than 0.

    Returns:
        Array `(dimensions,)`, at least 0: above 1 where the model was too sure of itself, 0 only where every
        prediction of a dimension equals its label.

    Raises:
        ValueError: Empty input, unequal shapes, values that are not finite or standard deviations that are not
            positive.
    """
    return np.sqrt((_standardised_errors(predictions, labels, uncertainty) ** 2).mean(axis=0))


def coverage(predictions, labels, uncertainty, levels: Iterable[float] = (0.68, 0.95)) -> dict[float, np.ndarray]:
    """Share of labels within the central Gaussian interval of each level; equal to the level where all is right.

    Args:
        predictions: Array-like `(clips, dimensions)`, finite.
        labels: The same shape and scale as `predictions`; leave out clips without a rating.
        uncertainty: The same shape and scale, standard deviations greater than 0.
        levels: Probabilities of the intervals, each greater than 0 and less than 1.

    Returns:
        Per level an array `(dimensions,)` in [0, 1].

    Raises:
        ValueError: As `uncertainty_scale`, or a level that is no such probability.
    """
    levels = list(levels)
    for level in levels:
        if not 0 < level < 1:
            raise ValueError(f"The level {level} is not a probability greater than 0 and less than 1, such as 0.95.")
    errors = np.abs(_standardised_errors(predictions, labels, uncertainty))
    return {level: (errors <= NormalDist().inv_cdf((1 + level) / 2)).mean(axis=0) for level in levels}


def _standardised_errors(predictions, labels, uncertainty) -> np.ndarray:
    """(label - prediction) / uncertainty, (clips, dimensions), of checked arrays."""
    given = {"predictions": predictions, "labels": labels, "uncertainty": uncertainty}
    arrays = {name: np.asarray(values, dtype=np.float64) for name, values in given.items()}
    shape = arrays["predictions"].shape
    if len(shape) != 2 or 0 in shape or any(array.shape != shape for array in arrays.values()):
        shapes = ", ".join(f"{name} {array.shape}" for name, array in arrays.items())
        raise ValueError(f"The shapes are {shapes}; give all one shape (clips, dimensions), with at least one clip.")
    for name, array in arrays.items():
        bad = array.size - int(np.isfinite(array).sum())
        if bad:
            raise ValueError(
                f"The {name} hold {bad} value(s) of {array.size} that are not finite (NaN or infinity); leave out "
                "clips without a rating, or find out where the values come from."
            )
    if arrays["uncertainty"].min() <= 0:
        raise ValueError(
            f"The smallest uncertainty is {arrays['uncertainty'].min()}; standard deviations must be greater than 0."
        )
    return (arrays["labels"] - arrays["predictions"]) / arrays["uncertainty"]
