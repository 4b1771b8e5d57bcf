"""Calibration of predicted standard deviations: the factor that makes them right, and how many labels they cover.

Labels are taken as Gaussian about their predictions. Source of the factor: Laves et al., "Well-calibrated regression
uncertainty in medical imaging with deep learning", 2020 (there called sigma scaling, in closed form).
"""

from statistics import NormalDist

import numpy as np

from .rated import finite_where_rated, mean_of_rated


LEVELS = (0.68, 0.95)  # probabilities of the intervals


def uncertainty_scale(predictions, labels, uncertainty) -> np.ndarray:
    """Return the factor per dimension that makes predicted standard deviations right on average.

    `sqrt(mean(((label - prediction) / uncertainty)^2))`: afterwards the mean squared standardised error is 1, and no
    other factor gives the labels a higher Gaussian likelihood. Measure it on clips that were not trained on, and apply
    it to others.

    Args:
        predictions: Array-like `(clips, dimensions)`, finite where there is a label.
        labels: The same shape and scale as `predictions`; NaN where a clip was not rated, which leaves it out.
        uncertainty: The same shape and scale, standard deviations greater than 0.

    Returns:
        Array `(dimensions,)`, at least 0: above 1 where the predicted deviations were too small, NaN where no clip was
        rated.

    Raises:
        ValueError: Empty input, unequal shapes, values that are not finite or standard deviations that are not
            positive.
    """
    return np.sqrt(_mean_over_clips(_standardised_errors(predictions, labels, uncertainty) ** 2))


def coverage(predictions, labels, uncertainty) -> dict[float, np.ndarray]:
    """Return the share of labels within the central Gaussian interval of each of [`LEVELS`].

    Args:
        predictions, labels, uncertainty: As for [`uncertainty_scale`].

    Returns:
        Level -> array `(dimensions,)` in [0, 1]; equal to the level where the deviations are right, NaN where no clip
        was rated.

    Raises:
        ValueError: As [`uncertainty_scale`].
    """
    errors = np.abs(_standardised_errors(predictions, labels, uncertainty))
    bounds = {level: NormalDist().inv_cdf((1 + level) / 2) for level in LEVELS}
    return {
        level: _mean_over_clips(np.where(np.isnan(errors), np.nan, errors <= bound)) for level, bound in bounds.items()
    }


def _mean_over_clips(values: np.ndarray) -> np.ndarray:
    return mean_of_rated(values.T)


def _standardised_errors(predictions, labels, uncertainty) -> np.ndarray:
    """Return (label - prediction) / uncertainty, (clips, dimensions), of checked arrays; NaN without a label."""
    given = {"predictions": predictions, "labels": labels, "uncertainty": uncertainty}
    arrays = {name: np.asarray(values, dtype=np.float64) for name, values in given.items()}
    if len({array.shape for array in arrays.values()}) > 1 or arrays["labels"].ndim != 2:
        shapes = ", ".join(f"{name} {array.shape}" for name, array in arrays.items())
        raise ValueError(f"The shapes are {shapes}; give all one shape (clips, dimensions).")
    arrays = {name: finite_where_rated(values, arrays["labels"], name) for name, values in arrays.items()}
    if (arrays["uncertainty"] <= 0).any():
        smallest = np.nanmin(arrays["uncertainty"])
        raise ValueError(f"The smallest uncertainty is {smallest}; standard deviations must be greater than 0.")
    return (arrays["labels"] - arrays["predictions"]) / arrays["uncertainty"]
