"""Which dimensions of a representation matter most for what is sought in it."""

from __future__ import annotations

import numpy as np


def rank_dimensions(inputs: np.ndarray, targets: np.ndarray, penalty: float) -> np.ndarray:
    """
    Forward selection: dimensions by what each adds to those ranked before it.

    Salience is the drop in the penalised squared error of the targets, brought to unit variance so that the outputs
    count alike and summed over them, when a ridge regression on the dimensions ranked so far gains this one. Rank by
    the weights of one fit on all dimensions would be simpler but poor: dimensions are correlated, and among correlated
    ones large weights cancel.

    The selection is an elimination on `X'X / N + penalty I`: each step sweeps out the dimension of the highest
    `|b_i|^2 / G_ii`, in width^3 operations altogether.

    Args:
        inputs: (clips, width), standardised, of training data.
        targets: (clips, outputs) of the same clips.
        penalty: of the ridge regression, against the mean squared error; above 0.

    Returns:
        (width,) indices, the most salient first; the lower one first where they are equal.

    Raises:
        ValueError: shapes that do not fit, or a penalty that is not above 0.
    """
    if inputs.ndim != 2 or targets.ndim != 2 or len(inputs) != len(targets) or not len(inputs):
        raise ValueError(
            f"inputs have shape {inputs.shape} and targets {targets.shape}; "
            "give (clips, width) and (clips, outputs) of the same clips"
        )
    if not penalty > 0:
        raise ValueError(f"penalty is {penalty}; it must be above 0")
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
