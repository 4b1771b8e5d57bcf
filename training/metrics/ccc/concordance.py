"""Lin's concordance correlation coefficient (CCC), from sums that can be merged.

This is the one definition of CCC under ``training/``: the `evaluate` module, the bootstrap and the reports all use it.

Source: Lin, "A concordance correlation coefficient to evaluate reproducibility", Biometrics 45 (1989), with population
(1/N) moments over the whole set::

    CCC = 2 cov(x, y) / (var(x) + var(y) + (mean(x) - mean(y))^2)
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class ConcordanceMoments:
    """What CCC needs to know of a set of pairs: a count, two means and three sums of centred products.

    Every array has shape `()` for one dimension and `(dimensions,)` for several.

    Attributes:
        count: Number of pairs, at least 1.
        mean_predictions: Mean of the predictions.
        mean_references: Mean of the references.
        sum_squares_predictions: Sum of the squared deviations of the predictions from their mean.
        sum_squares_references: Sum of the squared deviations of the references from their mean.
        sum_products: Sum of the products of both deviations.
    """

    count: int
    mean_predictions: np.ndarray
    mean_references: np.ndarray
    sum_squares_predictions: np.ndarray
    sum_squares_references: np.ndarray
    sum_products: np.ndarray

    def merge(self, other: ConcordanceMoments) -> ConcordanceMoments:
        """Moments of both sets together, as if they had been taken over their concatenation.

        Source: Chan, Golub and LeVeque, "Updating formulae and a pairwise algorithm for computing sample variances",
        1979. Merging is commutative, and associative up to rounding.

        Args:
            other: Moments of another set with the same dimensions.

        Returns:
            Moments of `self.count + other.count` pairs.

        Raises:
            ValueError: The two sets differ in their dimensions.
        """
        if self.mean_references.shape != other.mean_references.shape:
            raise ValueError(
                f"Moments of shapes {self.mean_references.shape} and {other.mean_references.shape} cannot be merged; "
                "take both over the same dimensions."
            )
        count = self.count + other.count
        share = other.count / count
        shift_predictions = other.mean_predictions - self.mean_predictions
        shift_references = other.mean_references - self.mean_references
        weight = self.count * share
        return ConcordanceMoments(
            count=count,
            mean_predictions=self.mean_predictions + shift_predictions * share,
            mean_references=self.mean_references + shift_references * share,
            sum_squares_predictions=self.sum_squares_predictions
            + other.sum_squares_predictions
            + shift_predictions**2 * weight,
            sum_squares_references=self.sum_squares_references
            + other.sum_squares_references
            + shift_references**2 * weight,
            sum_products=self.sum_products + other.sum_products + shift_predictions * shift_references * weight,
        )

    def __add__(self, other: ConcordanceMoments) -> ConcordanceMoments:
        return self.merge(other)


def moments(predictions, references) -> ConcordanceMoments:
    """Moments of a set of pairs, in float64.

    Args:
        predictions: Array-like of shape `(clips,)` or `(clips, dimensions)`, finite.
        references: The same shape as `predictions`.

    Returns:
        The moments, mergeable with `+`.

    Raises:
        ValueError: Empty input, unequal shapes, another number of axes, or values that are not finite numbers.
    """
    predictions, references = checked_pair(predictions, references)
    # Values too large to be squared give infinity here, and an error when the coefficient is taken.
    with np.errstate(over="ignore", invalid="ignore"):
        mean_predictions, predictions = _centred(predictions)
        mean_references, references = _centred(references)
        return ConcordanceMoments(
            count=len(references),
            mean_predictions=mean_predictions,
            mean_references=mean_references,
            sum_squares_predictions=(predictions**2).sum(axis=0),
            sum_squares_references=(references**2).sum(axis=0),
            sum_products=(predictions * references).sum(axis=0),
        )


def ccc_from_moments(total: ConcordanceMoments) -> float | np.ndarray:
    """CCC of the set that `total` describes.

    Args:
        total: Moments of the whole set (merge the parts first: CCC is not a mean over batches).

    Returns:
        A float for one dimension, else an array of shape `(dimensions,)`, in [-1, 1].

    Raises:
        ValueError: The values are so large that their squares leave the range of float64.

    Warns:
        UserWarning: Predictions or references are constant. Agreement is then undefined or without meaning, and the
            coefficient is given as 0, also when both are constant and equal.
    """
    squares = np.stack([total.sum_squares_predictions, total.sum_squares_references])
    if not np.all(np.isfinite(squares)):
        raise ValueError("The values are too large for CCC in float64; scale predictions and references down alike.")
    for name, sum_squares in (
        ("predictions", total.sum_squares_predictions),
        ("references", total.sum_squares_references),
    ):
        if np.any(sum_squares == 0):
            where = "" if sum_squares.ndim == 0 else f" in dimension(s) {np.flatnonzero(sum_squares == 0).tolist()}"
            warnings.warn(f"The {name} are constant{where}; CCC is given as 0.", UserWarning, stacklevel=2)
    ccc = ccc_from_statistics(
        total.mean_predictions - total.mean_references,
        total.sum_squares_predictions / total.count,
        total.sum_squares_references / total.count,
        total.sum_products / total.count,
    )
    return float(ccc) if ccc.ndim == 0 else ccc


def concordance_correlation(predictions, references) -> float | np.ndarray:
    """CCC of predictions and references over the whole set.

    Args:
        predictions: Array-like of shape `(clips,)` or `(clips, dimensions)`, finite.
        references: The same shape as `predictions`.

    Returns:
        A float for `(clips,)`, else an array of shape `(dimensions,)`, in [-1, 1].

    Raises:
        ValueError: As `moments` and `ccc_from_moments`.
    """
    return ccc_from_moments(moments(predictions, references))


def ccc_from_statistics(mean_difference, variance_predictions, variance_references, covariance) -> np.ndarray:
    """The formula itself, elementwise over arrays of any one shape; 0 for 0/0.

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
    """Both as float64 arrays of one shape, `(clips,)` or `(clips, dimensions)`.

    Raises:
        ValueError: As `moments`.
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
    """`values` as a float64 array that is not empty and holds finite numbers only.

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
        raise ValueError(f"The {name} are empty (shape {array.shape}); CCC needs at least one value.")
    finite = np.isfinite(array)
    if not finite.all():
        raise ValueError(
            f"The {name} hold {array.size - int(finite.sum())} value(s) of {array.size} that are not finite (NaN or "
            "infinity); remove those clips or find out where they come from."
        )
    return array


def _centred(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean over axis 0 and the deviations from it.

    Taking off the first value before averaging keeps the mean of constant values exact, so that "constant" can be told
    by a sum of squares of exactly 0, and spares the digits of values far from 0.
    """
    shifted = values - values[0]
    mean_shifted = shifted.mean(axis=0)
    return np.asarray(values[0] + mean_shifted), shifted - mean_shifted
