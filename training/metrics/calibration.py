"""Calibration of predicted standard deviations: the factor that makes them right, and how many labels they cover.

Labels are taken as Gaussian about their predictions. Source of the factor: Laves et al., "Well-calibrated regression
uncertainty in medical imaging with deep learning", 2020 (there called sigma scaling, in closed form).
"""

from statistics import NormalDist

import numpy as np

from .ccc.concordance import finite_array


LEVELS = (0.68, 0.95)  # probabilities of the intervals


def uncertainty_scale(predictions, labels, uncertainty) -> np.ndarray:
    """Return the factor per dimension that makes predicted standard deviations right on average.

    `sqrt(mean(((label - prediction) / uncertainty)^2))`: afterwards the mean squared standardised error is 1, and no
    other factor gives the labels a higher Gaussian likelihood. Measure it on clips that were not trained on, and apply
    it to others.

    Args:
        predictions: Array-like `(clips, dimensions)`, finite.
        labels: The same shape and scale as `predictions`; leave out clips without a rating.
        uncertainty: The same shape and scale, standard deviations greater than 0.

    Returns:
        Array `(dimensions,)`, at least 0: above 1 where the predicted deviations were too small.

    Raises:
        ValueError: Empty input, unequal shapes, values that are not finite or standard deviations that are not
            positive.
    """
    return np.sqrt((_standardised_errors(predictions, labels, uncertainty) ** 2).mean(axis=0))


def coverage(predictions, labels, uncertainty) -> dict[float, np.ndarray]:
    """Return the share of labels within the central Gaussian interval of each of [`LEVELS`].

    Args:
        predictions, labels, uncertainty: As for [`uncertainty_scale`].

    Returns:
        Level -> array `(dimensions,)` in [0, 1]; equal to the level where the deviations are right.

    Raises:
        ValueError: As [`uncertainty_scale`].
    """
    errors = np.abs(_standardised_errors(predictions, labels, uncertainty))
    return {level: (errors <= NormalDist().inv_cdf((1 + level) / 2)).mean(axis=0) for level in LEVELS}


def _standardised_errors(predictions, labels, uncertainty) -> np.ndarray:
    """Return (label - prediction) / uncertainty, (clips, dimensions), of checked arrays."""
    given = {"predictions": predictions, "labels": labels, "uncertainty": uncertainty}
    arrays = {name: finite_array(values, name) for name, values in given.items()}
    if len({array.shape for array in arrays.values()}) > 1 or arrays["labels"].ndim != 2:
        shapes = ", ".join(f"{name} {array.shape}" for name, array in arrays.items())
        raise ValueError(f"The shapes are {shapes}; give all one shape (clips, dimensions).")
    if arrays["uncertainty"].min() <= 0:
        raise ValueError(
            f"The smallest uncertainty is {arrays['uncertainty'].min()}; standard deviations must be greater than 0."
        )
    return (arrays["labels"] - arrays["predictions"]) / arrays["uncertainty"]
