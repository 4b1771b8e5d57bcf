"""Lin's concordance correlation coefficient (CCC).

This is the one definition of CCC in training: the `evaluate` module, the bootstrap and the reports all use it.

Source: Lin, "A concordance correlation coefficient to evaluate reproducibility", Biometrics 45 (1989), with population
(1/N) moments over the whole set::

    CCC = 2 cov(x, y) / (var(x) + var(y) + (mean(x) - mean(y))^2)
"""

import warnings

import numpy as np


def concordance_correlation(predictions, references) -> float | np.ndarray:
    """Compute the CCC of predictions and references over the whole set, in float64.

    Args:
        predictions: Array-like of shape `(clips,)` or `(clips, dimensions)`, finite.
        references: The same shape as `predictions`.

    Returns:
        A float for `(clips,)`, else an array of shape `(dimensions,)`, in [-1, 1].

    Raises:
        ValueError: Empty input, unequal shapes, another number of axes, values that are not finite numbers, or values
            so large that their squares leave the range of float64.

    Warns:
        UserWarning: Predictions or references are constant. Agreement is then undefined or without meaning, and the
            coefficient is given as 0, also when both are constant and equal.
    """
    predictions, references = checked_pair(predictions, references)
    count = len(references)
    with np.errstate(over="ignore", invalid="ignore"):
        mean_predictions, predictions = _centred(predictions)
        mean_references, references = _centred(references)
        squares = {
            "predictions": (predictions**2).sum(axis=0),
            "references": (references**2).sum(axis=0),
        }
        sum_products = (predictions * references).sum(axis=0)
    if not np.all(np.isfinite(list(squares.values()))):
        raise ValueError("The values are too large for CCC in float64; scale predictions and references down alike.")
    for name, sum_squares in squares.items():
        if np.any(sum_squares == 0):
            where = "" if sum_squares.ndim == 0 else f" in dimension(s) {np.flatnonzero(sum_squares == 0).tolist()}"
            warnings.warn(f"The {name} are constant{where}; CCC is given as 0.", UserWarning, stacklevel=2)
    variances = [sum_squares / count for sum_squares in squares.values()]
    ccc = ccc_from_statistics(mean_predictions - mean_references, *variances, sum_products / count)
    return float(ccc) if ccc.ndim == 0 else ccc


def ccc_from_statistics(mean_difference, variance_predictions, variance_references, covariance) -> np.ndarray:
    """Apply the formula elementwise over arrays of any one shape; 0/0 counts as 0.

    Args:
        mean_difference: Mean of the predictions less the mean of the references.
        variance_predictions: Population variance of the predictions, not negative.
        variance_references: Population variance of the references, not negative.
        covariance: Population covariance of both.

    Returns:
        Array in [-1, 1]; not a number where the statistics overflow float64.
    """
    with np.errstate(invalid="ignore", over="ignore"):
        denominator = variance_predictions + variance_references + mean_difference**2
        ratio = 2 * covariance / np.where(denominator == 0, 1.0, denominator)
    # Cauchy-Schwarz holds exactly, rounding can miss it by a unit in the last place.
    return np.clip(ratio, -1.0, 1.0)


def checked_pair(predictions, references) -> tuple[np.ndarray, np.ndarray]:
    """Return both as float64 arrays of one shape, `(clips,)` or `(clips, dimensions)`.

    Raises:
        ValueError: Empty input, unequal shapes, another number of axes, or values that are not finite numbers.
    """
    predictions, references = finite_array(predictions, "predictions"), finite_array(references, "references")
    if predictions.shape != references.shape:
        raise ValueError(
            f"Predictions have shape {predictions.shape} and references {references.shape}; give one prediction for "
            "each reference, both (clips,) or both (clips, dimensions)."
        )
    if references.ndim not in (1, 2):
        raise ValueError(f"Expected shape (clips,) or (clips, dimensions), got {references.shape}.")
    return predictions, references


def finite_array(values, name: str) -> np.ndarray:
    """Return `values` as a float64 array that is not empty and holds finite numbers only.

    Args:
        values: Array-like of numbers.
        name: What to call them in an error.

    Raises:
        ValueError: Not a rectangular array of real numbers, empty, or not finite.
    """
    try:
        array = np.asarray(values)
        if array.dtype.kind not in "fiub":
            raise ValueError(f"values of type {array.dtype}")
        array = array.astype(np.float64)
    except ValueError as error:
        raise ValueError(f"The {name} must be a rectangular array of real numbers: {error}.") from error
    if array.size == 0:
        raise ValueError(f"The {name} are empty (shape {array.shape}); give at least one value.")
    finite = np.isfinite(array)
    if not finite.all():
        raise ValueError(
            f"The {name} hold {array.size - int(finite.sum())} value(s) of {array.size} that are not finite (NaN or "
            "infinity); remove those clips or find out where they come from."
        )
    return array


def _centred(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the mean over axis 0 and the deviations from it.

    Taking off the first value before averaging keeps the mean of constant values exact, so that their sum of squares
    is exactly 0, and spares the digits of values far from 0.
    """
    shifted = values - values[0]
    mean_shifted = shifted.mean(axis=0)
    return np.asarray(values[0] + mean_shifted), shifted - mean_shifted
