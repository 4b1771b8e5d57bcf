"""Rank the dimensions of a representation by how much they matter for the targets."""

import numpy as np


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
