"""Uncertainty of a CCC: bootstrap intervals over clips, and a paired test of two systems.

Sources: Efron and Tibshirani, "An Introduction to the Bootstrap", 1993, chapter 13 (percentile intervals); Davison and
Hinkley, "Bootstrap Methods and their Application", 1997, section 4.2 (one added to the counts of a p-value).

Clips are drawn with replacement, within each group where they are of several, such as of several corpora. Seeds
(repeated trainings) are not: in every resample CCC is averaged over them, so an interval is that of the mean over
these seeds. Clips of one speaker are not independent, so the uncertainty on new speakers is larger than these
intervals show.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import numpy as np

from .ccc.concordance import ccc_from_statistics
from .rated import concordance_within, finite_where_rated, mean_of_rated, rows_of_groups


# Bytes of resampling weights held at a time.
_CHUNK_BYTES = 32 * 2**20
# A variance this small beside the squares it was taken from is rounding: the resample is constant.
_ROUNDING = 1e-12


class Interval(NamedTuple):
    """CCC of all clips (mean over seeds), and the ends of its bootstrap interval; NaN where too few were rated."""

    estimate: float
    low: float
    high: float


class Difference(NamedTuple):
    """CCC of system A less that of system B, the ends of its interval, and its two-sided p-value in (0, 1]."""

    estimate: float
    low: float
    high: float
    p_value: float


def bootstrap_ccc(
    predictions,
    references,
    *,
    num_samples: int = 1000,
    seed: int = 0,
    confidence: float = 0.95,
    averaged: Sequence[int] | None = None,
    groups: Sequence | None = None,
) -> list[Interval]:
    """Compute percentile bootstrap intervals of CCC over clips.

    Args:
        predictions: Array-like of the shape of `references`, or with one more axis of seeds in front:
            `(seeds, clips)` or `(seeds, clips, dimensions)`.
        references: Array-like of shape `(clips,)` or `(clips, dimensions)`, at least two clips; NaN where a clip was
            not rated, which leaves it out of that dimension.
        num_samples: Number of resamples, at least 1.
        seed: Seed of the resampling. The same seed draws the same clips for every system.
        confidence: Share of the resamples inside the interval, between 0 and 1.
        averaged: The dimensions that the mean is over, by default all; those in which fewer than two clips were rated
            are left out.
        groups: Of each clip the name of its group, such as its corpus: clips are then drawn within each group, and
            CCC is the mean over groups of that within each, without groups in which fewer than two clips were rated.

    Returns:
        An interval for each dimension, then for their mean. A resample that is constant counts as CCC 0.

    Raises:
        ValueError: Shapes that do not fit, values that are empty, or not finite where there is a reference.
    """
    predictions, references = _checked_system(predictions, references, "predictions")
    estimate = _seed_mean_ccc(predictions, references, averaged, groups)
    (samples,) = _resampled_ccc([predictions], references, num_samples, seed, averaged, groups)
    rows = zip(estimate, *_percentile_interval(samples, confidence), strict=True)
    return [Interval(*map(float, row)) for row in rows]


def paired_bootstrap(
    predictions_a,
    predictions_b,
    references,
    *,
    num_samples: int = 1000,
    seed: int = 0,
    confidence: float = 0.95,
    averaged: Sequence[int] | None = None,
    groups: Sequence | None = None,
) -> list[Difference]:
    """Compute the difference in CCC of two systems on the same clips, drawn alike for both in every resample.

    The two-sided p-value is, over B resamples with the differences d = CCC(A) - CCC(B)::

        p = min(1, 2 min(#{d <= 0} + 1, #{d >= 0} + 1) / (B + 1))

    It is never 0: B resamples cannot show less than 2 / (B + 1). Two systems that are equal give 1.

    Args:
        predictions_a: Predictions of system A, shaped as for `bootstrap_ccc`.
        predictions_b: Predictions of system B; its number of seeds may differ from that of A.
        references, num_samples, seed, confidence, averaged, groups: As for `bootstrap_ccc`.

    Returns:
        A difference for each dimension, then for their mean; NaN where too few clips were rated.

    Raises:
        ValueError: As `bootstrap_ccc`.
    """
    predictions_a, checked_references = _checked_system(predictions_a, references, "predictions_a")
    predictions_b, _ = _checked_system(predictions_b, references, "predictions_b")
    systems = [predictions_a, predictions_b]
    estimate_a, estimate_b = (_seed_mean_ccc(system, checked_references, averaged, groups) for system in systems)
    samples_a, samples_b = _resampled_ccc(systems, checked_references, num_samples, seed, averaged, groups)
    differences = samples_a - samples_b
    tail = np.minimum((differences <= 0).sum(axis=0), (differences >= 0).sum(axis=0))
    p_values = np.minimum(1.0, 2 * (tail + 1) / (num_samples + 1))
    p_values[np.isnan(estimate_a)] = np.nan
    rows = zip(estimate_a - estimate_b, *_percentile_interval(differences, confidence), p_values, strict=True)
    return [Difference(*map(float, row)) for row in rows]


def resample_indices(num_clips: int, num_samples: int, seed: int | Sequence[int]) -> Iterator[np.ndarray]:
    """Yield the clips of each resample: `num_samples` arrays of shape `(num_clips,)`, drawn with replacement."""
    generator = np.random.default_rng(seed)
    for _ in range(num_samples):
        yield generator.integers(num_clips, size=num_clips)


def _resampler(predictions: np.ndarray, references: np.ndarray) -> Callable[[np.ndarray], np.ndarray]:
    """Return a function that computes the CCC of one system under given weights of the clips, as one matrix product.

    Predictions and references are centred by their means over all clips. In a resample the raw moments are then taken
    near 0, where E[x^2] - E[x]^2 loses no digits that matter.

    Args:
        predictions: Array of shape `(seeds, clips, dimensions)`.
        references: Array of shape `(clips, dimensions)`; NaN where a clip was not rated.
    """
    num_seeds, num_clips, num_dimensions = predictions.shape
    rated = ~np.isnan(references)
    count = np.maximum(rated.sum(axis=0), 1)
    mean_predictions = np.where(rated, predictions, 0.0).sum(axis=1, keepdims=True) / count
    mean_references = np.where(rated, references, 0.0).sum(axis=0) / count
    offset = mean_predictions[:, 0] - mean_references
    x = np.where(rated, predictions - mean_predictions, 0.0)
    y = np.where(rated, references - mean_references, 0.0)
    terms = np.concatenate([x, x**2, x * y, y[None], y[None] ** 2])
    columns = terms.transpose(1, 0, 2).reshape(num_clips, -1)
    splits = np.cumsum([num_seeds, num_seeds, num_seeds, 1])

    def ccc(weights: np.ndarray) -> np.ndarray:
        """Return mean CCC over seeds, `(resamples, dimensions)`, for weights `(resamples, clips)` that sum to 1."""
        share = np.where(rated.all(axis=0), 1.0, weights @ rated)[:, None]  # of the resample's clips, that was rated
        means = (weights @ columns).reshape(len(weights), -1, num_dimensions) / np.where(share, share, np.nan)
        x, xx, xy, y, yy = np.split(means, splits, axis=1)
        return ccc_from_statistics(offset + x - y, _variance(x, xx), _variance(y, yy), xy - x * y).mean(axis=1)

    return ccc


def _variance(mean: np.ndarray, mean_square: np.ndarray) -> np.ndarray:
    variance = mean_square - mean**2
    return np.where(variance <= _ROUNDING * mean_square, 0.0, variance)


def _resampled_ccc(
    systems: list[np.ndarray],
    references: np.ndarray,
    num_samples: int,
    seed: int,
    averaged: Sequence[int] | None,
    groups: Sequence | None,
) -> list[np.ndarray]:
    """Return for each system the CCC of every resample, `(num_samples, dimensions + 1)`, all on the same clips."""
    total, counted = [np.zeros((num_samples, references.shape[1])) for _ in systems], np.zeros(references.shape[1])
    for number, rows in enumerate(rows_of_groups(groups, len(references))):
        enough = (~np.isnan(references[rows])).sum(axis=0) > 1
        # to NumPy the seed with a 0 behind it, of the first group, is the seed itself
        each = _resampled_group([s[:, rows] for s in systems], references[rows], num_samples, [seed, number])
        for index, ccc in enumerate(each):
            total[index] = total[index] + np.where(enough, ccc, 0.0)
        counted += enough
    return [_with_mean(sums / np.where(counted, counted, np.nan), averaged) for sums in total]


def _resampled_group(
    systems: list[np.ndarray], references: np.ndarray, num_samples: int, seed: Sequence[int]
) -> list[np.ndarray]:
    num_clips = len(references)
    chunk = max(1, _CHUNK_BYTES // (8 * num_clips))
    resamplers = [_resampler(system, references) for system in systems]
    indices = resample_indices(num_clips, num_samples, seed)
    results: list[list[np.ndarray]] = [[] for _ in systems]
    for start in range(0, num_samples, chunk):
        size = min(chunk, num_samples - start)
        counts = np.stack([np.bincount(next(indices), minlength=num_clips) for _ in range(size)])
        for resampler, result in zip(resamplers, results, strict=True):
            result.append(resampler(counts / num_clips))
    return [np.concatenate(result) for result in results]


def _seed_mean_ccc(
    predictions: np.ndarray, references: np.ndarray, averaged: Sequence[int] | None, groups: Sequence | None
) -> np.ndarray:
    """Return the CCC of all clips, averaged over seeds, `(dimensions + 1,)`."""
    each = [concordance_within(one, references, groups) for one in predictions]
    return _with_mean(np.mean(each, axis=0), averaged)


def _with_mean(ccc: np.ndarray, averaged: Sequence[int] | None) -> np.ndarray:
    """Append the mean over dimensions, the last axis, as one more column."""
    mean = mean_of_rated(ccc if averaged is None else ccc[..., list(averaged)])
    return np.concatenate([ccc, mean[..., None]], axis=-1)


def _percentile_interval(samples: np.ndarray, confidence: float) -> np.ndarray:
    bounds = np.array([(1 - confidence) / 2, (1 + confidence) / 2])
    if not np.isnan(samples).any():
        return np.quantile(samples, bounds, axis=0)
    # a resample need not have a clip that was rated in a dimension; where none was rated at all there is no interval
    known = [column[~np.isnan(column)] for column in samples.T]
    return np.stack([np.quantile(c, bounds) if len(c) else np.full(2, np.nan) for c in known], axis=1)


def _checked_system(predictions, references, name: str) -> tuple[np.ndarray, np.ndarray]:
    """Return predictions as `(seeds, clips, dimensions)` and references as `(clips, dimensions)`, both float64."""
    predictions, references = np.asarray(predictions), np.asarray(references, dtype=np.float64)
    if references.ndim not in (1, 2):
        raise ValueError(f"The references must have shape (clips,) or (clips, dimensions), got {references.shape}.")
    if len(references) < 2:
        raise ValueError(f"{len(references)} clips cannot be resampled; a bootstrap needs at least two.")
    if references.shape not in (predictions.shape, predictions.shape[1:]):
        raise ValueError(
            f"The {name} have shape {predictions.shape} and the references {references.shape}; give predictions the "
            "shape of the references, or one more axis of seeds in front."
        )
    references = finite_where_rated(references, references, "references")
    predictions = finite_where_rated(predictions, references, name)
    references = references.reshape(len(references), -1)
    return predictions.reshape(-1, *references.shape), references
