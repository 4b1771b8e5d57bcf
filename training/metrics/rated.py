"""CCC where not every clip was rated in every dimension: a reference that is not there is NaN, and so is its CCC."""

from collections.abc import Sequence

import numpy as np

from .ccc.concordance import concordance_correlation, finite_array


def rated_concordance(predictions, references) -> np.ndarray:
    """Compute the CCC of each dimension over the clips that were rated in it.

    Args:
        predictions: Array-like of shape `(clips, dimensions)`, finite where there is a reference.
        references: The same shape; NaN where a clip was not rated.

    Returns:
        Array of shape `(dimensions,)`, NaN for a dimension in which fewer than two clips were rated.

    Raises:
        ValueError: As `concordance_correlation`.
    """
    predictions, references = np.asarray(predictions), np.asarray(references, dtype=np.float64)
    rated = ~np.isnan(references)
    if rated.all() and len(rated) > 1:
        return concordance_correlation(predictions, references)
    columns = zip(predictions.T, references.T, rated.T, strict=True)
    return np.array(
        [concordance_correlation(x[kept], y[kept]) if kept.sum() > 1 else np.nan for x, y, kept in columns]
    )


def concordance_within(predictions, references, groups: Sequence | None = None) -> np.ndarray:
    """Compute the CCC of each dimension within each group of clips, and its mean over the groups.

    Args:
        predictions, references: As for [`rated_concordance`].
        groups: Of each clip the name of its group, such as its corpus; None where all clips are one group.

    Returns:
        Array of shape `(dimensions,)`. A group in which fewer than two clips were rated in a dimension does not count
        there; NaN where that is so of all.

    Raises:
        ValueError: As `concordance_correlation`, or there is no group for a clip.
    """
    predictions, references = np.asarray(predictions), np.asarray(references, dtype=np.float64)
    each = [rated_concordance(predictions[rows], references[rows]) for rows in rows_of_groups(groups, len(references))]
    return mean_of_rated(np.stack(each, axis=-1))


def rows_of_groups(groups: Sequence | None, clips: int) -> list[np.ndarray | slice]:
    """Return the rows of each group, sorted by its name; all rows where there are no groups.

    Raises:
        ValueError: There is no group for a clip.
    """
    if groups is None:
        return [slice(None)]
    if len(groups) != clips:
        raise ValueError(f"There are groups for {len(groups)} clips of {clips}; give each clip the name of its group.")
    names, places = np.unique(np.asarray(groups), return_inverse=True)
    return [np.flatnonzero(places == place) for place in range(len(names))]


def mean_of_rated(values: np.ndarray) -> np.ndarray:
    """Return the mean over the last axis of what is not NaN; NaN where all is."""
    known = ~np.isnan(values)
    if known.all() and values.shape[-1]:
        return values.mean(axis=-1)
    count = known.sum(axis=-1)
    return np.where(count, np.where(known, values, 0.0).sum(axis=-1) / np.maximum(count, 1), np.nan)


def finite_where_rated(values, references: np.ndarray, name: str) -> np.ndarray:
    """Return values as float64, checked as `finite_array` does where there is a reference, and NaN elsewhere.

    Args:
        values: Array-like, of the shape of the references or with axes in front.
        references: NaN where a clip was not rated.
        name: What to call the values in an error.
    """
    rated = ~np.isnan(references)
    return np.where(rated, finite_array(np.where(rated, values, 0.0), name), np.nan)
