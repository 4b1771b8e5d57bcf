"""Agreement of listeners: what one further listener would reach, and whether a predicted spread is theirs."""

from collections.abc import Sequence

import numpy as np

from .rated import concordance_within


# of fewer listeners of a clip, neither the mean of the others nor the spread says much
FEWEST_LISTENERS = 3


def further_listener(
    grades: Sequence[np.ndarray], groups: Sequence | None = None
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Compute the CCC of each listener's grade with the mean of the other listeners', pooled over clips and listeners.

    Args:
        grades: Per clip (listeners, dimensions), NaN where a listener gave none. Clips with fewer than three grades in
            a dimension do not count there.
        groups: As in [`concordance_within`], of each clip.

    Returns:
        CCC, number of clips and number of grades, (dimensions,) each; CCC is NaN where no clip counts.
    """
    counted = [row for row, given in enumerate(grades) if len(given) >= FEWEST_LISTENERS]
    if not counted:
        dimensions = grades[0].shape[1] if len(grades) else 0
        return np.full(dimensions, np.nan), np.zeros(dimensions, int), np.zeros(dimensions, int)
    others = [_means_of_others(grades[row]) for row in counted]
    rated = [~np.isnan(each) for each in others]
    names = None if groups is None else [groups[row] for row in counted for _ in grades[row]]
    ccc = concordance_within(np.concatenate([grades[row] for row in counted]), np.concatenate(others), names)
    return ccc, np.sum([each.any(axis=0) for each in rated], axis=0), np.concatenate(rated).sum(axis=0)


def _means_of_others(given: np.ndarray) -> np.ndarray:
    count = (~np.isnan(given)).sum(axis=0)
    means = (np.nansum(given, axis=0) - given) / np.maximum(count - 1, 1)
    return np.where(count >= FEWEST_LISTENERS, means, np.nan)


def grade_spread(grades: Sequence[np.ndarray]) -> np.ndarray:
    """Compute the standard deviation of each clip's grades, of listeners at large (n - 1).

    Args:
        grades: As in [`further_listener`].

    Returns:
        (clips, dimensions), NaN where there are fewer than three grades.
    """
    return np.array([_spread(given) for given in grades])


def _spread(given: np.ndarray) -> np.ndarray:
    count = (~np.isnan(given)).sum(axis=0)
    spread = np.full(given.shape[1], np.nan)
    enough = count >= FEWEST_LISTENERS
    if enough.any():
        spread[enough] = np.nanstd(given[:, enough], axis=0, ddof=1)
    return spread


def spread_agreement(uncertainty, spread: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Compare predicted standard deviations with those of the grades.

    Args:
        uncertainty: (clips, dimensions), finite where there is a spread.
        spread: Of [`grade_spread`].

    Returns:
        CCC and Pearson's r, (dimensions,) each; NaN where fewer than two clips have a spread, and r where it does not
        vary.
    """
    uncertainty = np.asarray(uncertainty, dtype=np.float64)
    return concordance_within(uncertainty, spread), np.array(
        [_pearson(x[kept], y[kept]) for x, y, kept in zip(uncertainty.T, spread.T, ~np.isnan(spread.T), strict=True)]
    )


def _pearson(x: np.ndarray, y: np.ndarray) -> float:
    return np.corrcoef(x, y)[0, 1] if len(x) > 1 and np.ptp(x) > 0 and np.ptp(y) > 0 else np.nan
