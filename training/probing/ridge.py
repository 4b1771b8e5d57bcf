"""Ridge regression in closed form, its penalty chosen by CCC on development data; a ranking of dimensions with it."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ..metrics.rated import mean_of_rated, rated_concordance


# the strongest first, so that of equally good fits the simplest is taken
PENALTIES = tuple(float(10**exponent) for exponent in np.arange(3, -4.5, -0.5))
# below this share of its mean, the spread of a float32 input is rounding
CONSTANT_SPREAD = 1e-6


@dataclass(frozen=True)
class Ridge:
    """A fitted regression.

    Args:
        penalty: On the squared weights, relative to the mean squared error.
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
        """Scale inputs (clips, width) by the training inputs' mean and standard deviation."""
        return (np.asarray(inputs, dtype=np.float64) - self.mean) / self.scale

    def predict(self, inputs: np.ndarray) -> np.ndarray:
        """Return (clips, outputs) in the targets' unit for inputs (clips, width)."""
        return self.standardise(inputs) @ self.weights + self.intercept


def fit_ridge(inputs: np.ndarray, targets: np.ndarray, penalties: Sequence[float] = PENALTIES) -> list[Ridge]:
    """Fit once for every penalty; one eigendecomposition of the inputs' correlation matrix serves them all.

    With standardised inputs X and centred targets Y of N clips, the weights W minimise
    `|Y - X W|^2 / N + penalty |W|^2`, that is `(X'X / N + penalty I) W = X'Y / N`
    (Hoerl and Kennard, "Ridge regression", Technometrics 12, 1970). The intercept is not penalised.

    Args:
        inputs: (clips, width), at least two clips.
        targets: (clips, outputs).
        penalties: Each above 0.

    Returns:
        One fit per penalty, in their order; float64 throughout.

    Raises:
        ValueError: Values are not finite.
    """
    inputs, targets = np.asarray(inputs, dtype=np.float64), np.asarray(targets, dtype=np.float64)
    for name, values in (("inputs", inputs), ("targets", targets)):
        bad = int((~np.isfinite(values)).any(axis=1).sum())
        if bad:
            raise ValueError(f"the {name} of {bad} of {len(values)} clips are not finite; leave those clips out")
    mean = inputs.mean(axis=0)
    standardised = inputs - mean
    scale = np.sqrt((standardised**2).mean(axis=0))
    constant = scale <= CONSTANT_SPREAD * np.abs(mean)
    standardised[:, constant] = 0
    scale[constant] = 1
    standardised /= scale
    intercept = targets.mean(axis=0)
    eigenvalues, vectors = np.linalg.eigh(standardised.T @ standardised / len(inputs))
    eigenvalues = eigenvalues.clip(min=0)  # rounding leaves some below
    projected = vectors.T @ (standardised.T @ (targets - intercept) / len(inputs))
    return [
        Ridge(float(p), mean, scale, vectors @ (projected / (eigenvalues + p)[:, None]), intercept) for p in penalties
    ]


def choose_ridge(
    inputs: np.ndarray, targets: np.ndarray, development_inputs: np.ndarray, development_targets: np.ndarray
) -> Ridge:
    """Return the fit on training data whose penalty gives the highest mean CCC on development data.

    Ridge shrinks its predictions towards the mean, which CCC counts as disagreement. The predictions are not stretched
    afterwards: that would fit a second model, and a probe asks how much a plain linear model finds. The development
    CCC of the chosen penalty is a little too good; test splits have no part in the choice.

    Args:
        inputs, targets: (clips, width) and (clips, outputs) of the training split.
        development_inputs, development_targets: The same of the development split; NaN where a clip was not rated.

    Raises:
        ValueError: As in [`fit_ridge`].
    """
    fits = fit_ridge(inputs, targets)
    standardised = fits[0].standardise(development_inputs)  # the same for all
    scores = [
        mean_of_rated(rated_concordance(standardised @ fit.weights + fit.intercept, development_targets))
        for fit in fits
    ]
    return fits[int(np.argmax(scores))]


def rank_dimensions(inputs: np.ndarray, targets: np.ndarray, penalty: float) -> np.ndarray:
    """Rank dimensions by forward selection: each by what it adds to those ranked before it.

    A dimension adds the drop in the penalised squared error when a ridge regression on the dimensions ranked so far
    gains this one. The error is summed over the targets, each scaled to unit variance so that all count alike. The
    weights of one fit on all dimensions would rank poorly: among correlated dimensions large weights cancel.

    The selection is an elimination on `X'X / N + penalty I`: each step sweeps out the dimension of the highest
    `|b_i|^2 / G_ii`, in width^3 operations altogether.

    Args:
        inputs: (clips, width), standardised, of training data.
        targets: (clips, outputs) of the same clips.
        penalty: Of the ridge regression, relative to the mean squared error; above 0.

    Returns:
        (width,) indices, the most important first; the lower index first where two are equal.
    """
    width = inputs.shape[1]
    spread = targets.std(axis=0)
    targets = (targets - targets.mean(axis=0)) / np.where(spread > 0, spread, 1)
    gram = inputs.T @ inputs / len(inputs) + penalty * np.eye(width)
    moments = inputs.T @ targets / len(inputs)
    left = np.ones(width, dtype=bool)
    ranking = np.empty(width, dtype=np.int64)
    for rank in range(width):
        gains = np.where(left, (moments**2).sum(axis=1) / gram.diagonal(), -1)
        chosen = ranking[rank] = gains.argmax()
        left[chosen] = False
        column, moment = gram[:, chosen].copy(), moments[chosen].copy()
        pivot = column[chosen]
        gram -= np.outer(column, column / pivot)
        moments -= np.outer(column, moment / pivot)
        gram[chosen, chosen] = 1  # swept out: its gain is not looked at again
    return ranking
