"""Ridge regression in closed form, its penalty chosen by CCC on development data."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ..metrics.ccc.concordance import concordance_correlation


# the strongest first, so that of equally good fits the simplest is taken
PENALTIES = tuple(float(10**exponent) for exponent in np.arange(3, -4.5, -0.5))

# below this share of its mean, the spread of a float32 input is rounding
CONSTANT_SPREAD = 1e-6


@dataclass(frozen=True)
class Ridge:
    """
    A fitted regression.

    Args:
        penalty: on the squared weights, against the mean squared error.
        mean: (width,) of the training inputs.
        scale: (width,) their standard deviation (1/N); 1 where they are constant.
        weights: (width, outputs), for standardised inputs; 0 where they are constant.
        intercept: (outputs,), the mean of the training targets.
    """

    penalty: float
    mean: np.ndarray
    scale: np.ndarray
    weights: np.ndarray
    intercept: np.ndarray

    def standardise(self, inputs: np.ndarray) -> np.ndarray:
        """Inputs (clips, width) by the training inputs' mean and scale."""
        return (np.asarray(inputs, dtype=np.float64) - self.mean) / self.scale

    def predict(self, inputs: np.ndarray) -> np.ndarray:
        """(clips, outputs) in the targets' unit, of inputs (clips, width)."""
        return self.standardise(inputs) @ self.weights + self.intercept


def fit_ridge(inputs: np.ndarray, targets: np.ndarray, penalties: Sequence[float] = PENALTIES) -> list[Ridge]:
    """
    Fit once for every penalty; one eigendecomposition of the inputs' correlation matrix serves them all.

    With standardised inputs X and centred targets Y of N clips, the weights W minimise
    `|Y - X W|^2 / N + penalty |W|^2`, that is `(X'X / N + penalty I) W = X'Y / N`
    (Hoerl and Kennard, "Ridge regression", Technometrics 12, 1970). The intercept is not penalised.

    Args:
        inputs: (clips, width), at least two clips.
        targets: (clips, outputs).
        penalties: each above 0.

    Returns:
        one fit per penalty, in their order; float64 throughout.

    Raises:
        ValueError: shapes that do not fit, values that are not finite, or a penalty that is not above 0.
    """
    inputs, targets = np.asarray(inputs, dtype=np.float64), np.asarray(targets, dtype=np.float64)
    _check(inputs, targets, penalties)
    mean, scale, standardised = _standardise(inputs)
    intercept = targets.mean(axis=0)
    eigenvalues, vectors = np.linalg.eigh(standardised.T @ standardised / len(inputs))
    eigenvalues = eigenvalues.clip(min=0)  # rounding leaves some below
    projected = vectors.T @ (standardised.T @ (targets - intercept) / len(inputs))
    return [
        Ridge(float(p), mean, scale, vectors @ (projected / (eigenvalues + p)[:, None]), intercept) for p in penalties
    ]


def choose_ridge(
    inputs: np.ndarray,
    targets: np.ndarray,
    development_inputs: np.ndarray,
    development_targets: np.ndarray,
    penalties: Sequence[float] = PENALTIES,
) -> Ridge:
    """
    The fit on training data whose penalty gives the highest mean CCC on development data.

    Ridge shrinks its predictions towards the mean, and CCC counts that as disagreement. The predictions are still not
    stretched afterwards: that would fit a second model, and what is sought is how much a plain linear reading finds.
    The development CCC of the chosen penalty is a little too good; test splits have no part in the choice.

    Args:
        inputs: (clips, width) of the training split.
        targets: (clips, outputs) of the training split.
        development_inputs, development_targets: the same of the development split.
        penalties: each above 0; the first of equally good ones is taken.

    Raises:
        ValueError: as in [`fit_ridge`].
    """
    fits = fit_ridge(inputs, targets, penalties)
    standardised = fits[0].standardise(development_inputs)  # alike for all
    scores = [
        concordance_correlation(standardised @ fit.weights + fit.intercept, development_targets).mean() for fit in fits
    ]
    return fits[int(np.argmax(scores))]


def _standardise(inputs: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    mean = inputs.mean(axis=0)
    centred = inputs - mean
    scale = np.sqrt((centred**2).mean(axis=0))
    constant = scale <= CONSTANT_SPREAD * np.abs(mean)
    centred[:, constant] = 0
    scale[constant] = 1
    centred /= scale
    return mean, scale, centred


def _check(inputs: np.ndarray, targets: np.ndarray, penalties: Sequence[float]) -> None:
    if inputs.ndim != 2 or targets.ndim != 2 or len(inputs) != len(targets) or len(inputs) < 2 or not inputs.shape[1]:
        raise ValueError(
            f"inputs have shape {inputs.shape} and targets {targets.shape}; "
            "give (clips, width) and (clips, outputs) of the same clips, at least two"
        )
    for name, values in (("inputs", inputs), ("targets", targets)):
        bad = int((~np.isfinite(values)).any(axis=1).sum())
        if bad:
            raise ValueError(f"the {name} of {bad} of {len(values)} clips are not finite; leave those clips out")
    if not len(penalties) or not all(np.isfinite(p) and p > 0 for p in penalties):
        raise ValueError(f"penalties are {list(penalties)}; give at least one, each a finite number above 0")
