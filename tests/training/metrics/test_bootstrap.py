"""Bootstrap intervals against a slow loop, and how often they cover the truth."""

import numpy as np
import pytest

from speech_affect_training.metrics import bootstrap
from speech_affect_training.metrics.bootstrap import bootstrap_ccc, paired_bootstrap, resample_indices
from speech_affect_training.metrics.ccc.concordance import concordance_correlation


def made_up(num_clips=60, shape=(3,), seed=0, noise=1.0):
    """References (clips, *shape) and a system that follows them with noise."""
    rng = np.random.default_rng(seed)
    references = rng.normal(4, 1, size=(num_clips, *shape))
    return references + rng.normal(0.2, noise, size=references.shape), references


def slow_samples(predictions, references, num_samples, seed):
    """(resamples, dimensions + 1) of CCC, one resample and one seed at a time; predictions (seeds, clips, dims)."""
    rows = []
    for clips in resample_indices(len(references), num_samples, seed):
        ccc = np.mean([concordance_correlation(one[clips], references[clips]) for one in predictions], axis=0)
        rows.append([*ccc, ccc.mean()])
    return np.array(rows)


def as_array(result, *fields):
    return np.array([[getattr(row, field) for field in fields] for row in result])


def test_equals_the_slow_loop():
    references = made_up()[1] + 1000  # far from 0, where raw moments would lose digits
    predictions = np.stack([made_up(seed=seed)[0] + 1000 for seed in range(4)])
    result = bootstrap_ccc(predictions, references, num_samples=50, seed=3, confidence=0.8)
    samples = slow_samples(predictions, references, 50, 3)
    estimate = np.mean([concordance_correlation(one, references) for one in predictions], axis=0)
    expected = np.stack([[*estimate, estimate.mean()], *np.quantile(samples, [0.1, 0.9], axis=0)], axis=1)
    np.testing.assert_allclose(as_array(result, "estimate", "low", "high"), expected, rtol=0, atol=1e-10)


def test_paired_equals_the_slow_loop():
    references = made_up()[1]
    a = np.stack([made_up(noise=0.9, seed=seed)[0] for seed in (0, 1)])
    b = made_up(noise=1.1, seed=7)[0]
    result = paired_bootstrap(a, b, references, num_samples=99, seed=5, confidence=0.9)
    difference = slow_samples(a, references, 99, 5) - slow_samples(b[None], references, 99, 5)
    low, high = np.quantile(difference, [0.05, 0.95], axis=0)
    tail = np.minimum((difference <= 0).sum(axis=0), (difference >= 0).sum(axis=0))
    np.testing.assert_allclose(
        as_array(result, "low", "high", "p_value"), np.stack([low, high, 2 * (tail + 1) / 100], axis=1), atol=1e-10
    )
    estimate_a = np.mean([concordance_correlation(one, references) for one in a], axis=0)
    estimate = estimate_a - concordance_correlation(b, references)
    np.testing.assert_allclose(as_array(result, "estimate")[:, 0], [*estimate, estimate.mean()], atol=1e-12)


def with_gaps(references):
    """Every third clip has no second rating, all but one no third."""
    gaps = references.copy()
    gaps[::3, 1] = gaps[1:, 2] = np.nan
    return gaps


def slow_gapped(predictions, gaps, num_samples):
    """(resamples, 2) of CCC over the rated clips of each resample."""
    rows = []
    for clips in resample_indices(len(gaps), num_samples, 0):
        kept = clips[~np.isnan(gaps[clips, 1])]
        pairs = ((predictions[clips, 0], gaps[clips, 0]), (predictions[kept, 1], gaps[kept, 1]))
        rows.append([concordance_correlation(*pair) for pair in pairs])
    return np.array(rows)


def test_clips_without_a_rating_are_left_out_of_that_dimension():
    predictions, references = made_up()
    gaps = with_gaps(references)
    predictions[1:, 2] = np.nan  # of a model without this output
    result = bootstrap_ccc(predictions, gaps, num_samples=50)
    samples = slow_gapped(predictions, gaps, 50)
    kept = ~np.isnan(gaps[:, 1])
    ccc = [concordance_correlation(predictions[k, d], gaps[k, d]) for d, k in ((0, slice(None)), (1, kept))]
    bounds = np.quantile(np.column_stack([samples, samples.mean(axis=1)]), [0.025, 0.975], axis=0)
    expected = np.stack([[*ccc, np.mean(ccc)], *bounds], axis=1)
    found = as_array(result, "estimate", "low", "high")
    np.testing.assert_allclose(found[[0, 1, 3]], expected, atol=1e-10)
    assert np.isnan(found[2]).all()
    # the mean can be over some of the dimensions alone
    valence = as_array(bootstrap_ccc(predictions, gaps, num_samples=50, averaged=[1, 2]), "estimate", "low", "high")
    np.testing.assert_array_equal(valence[3], valence[1])
    other = made_up(seed=5)[0]
    test = paired_bootstrap(predictions, other, gaps, num_samples=50)
    difference = samples - slow_gapped(other, gaps, 50)
    tail = np.minimum((difference <= 0).sum(axis=0), (difference >= 0).sum(axis=0))
    np.testing.assert_allclose([row.p_value for row in test[:2]], np.minimum(1, 2 * (tail + 1) / 51))
    assert np.isnan(test[2]).all() and not np.isnan(test[3]).any()


def test_a_resample_without_a_rated_clip_says_nothing():
    references = np.array([[1.0, 1.0], [2.0, 3.0], [3.0, np.nan], [4.0, np.nan]])
    first, second, mean = bootstrap_ccc(references + 0.0, references, num_samples=200)
    # a resample has CCC 1 if it has both rated clips, 0 if one of them, and with neither none, (2 / 4)^4 of them
    assert (second.estimate, second.low, second.high) == (1.0, 0.0, 1.0)
    assert not np.isnan([*first, *mean]).any()


def slow_within(predictions, references, groups, num_samples, seed):
    """(resamples, dimensions + 1): the clips of each group drawn by themselves, CCC averaged over the groups."""
    each = []
    for number, name in enumerate(sorted(set(groups))):
        rows = np.flatnonzero(np.array(groups) == name)
        draws = resample_indices(len(rows), num_samples, [seed, number])
        each.append([concordance_correlation(predictions[rows[d]], references[rows[d]]) for d in draws])
    ccc = np.mean(each, axis=0)
    return np.column_stack([ccc, ccc.mean(axis=1)])


def test_groups_are_drawn_from_and_scored_one_by_one():
    predictions, references = made_up()
    groups = ["b"] * 12 + ["a"] * 47 + ["c"]  # of one clip there is no CCC
    references[:12] += 5
    predictions[:12] += 5.5  # would lift a CCC over all clips
    result = bootstrap_ccc(predictions, references, num_samples=60, seed=2, confidence=0.8, groups=groups)
    samples = slow_within(predictions[:59], references[:59], groups[:59], 60, 2)
    ccc = [concordance_correlation(predictions[rows], references[rows]) for rows in (slice(0, 12), slice(12, 59))]
    estimate = np.mean(ccc, axis=0)
    bounds = np.quantile(samples, [0.1, 0.9], axis=0)
    expected = np.stack([[*estimate, estimate.mean()], *bounds], axis=1)
    np.testing.assert_allclose(as_array(result, "estimate", "low", "high"), expected, atol=1e-10)
    other = predictions + np.random.default_rng(5).normal(size=predictions.shape)
    test = paired_bootstrap(predictions, other, references, num_samples=60, seed=2, groups=groups)
    difference = samples - slow_within(other[:59], references[:59], groups[:59], 60, 2)
    tail = np.minimum((difference <= 0).sum(axis=0), (difference >= 0).sum(axis=0))
    np.testing.assert_allclose([row.p_value for row in test], 2 * (tail + 1) / 61)
    np.testing.assert_allclose([row.low for row in test], np.quantile(difference, 0.025, axis=0), atol=1e-10)


def test_one_group_is_drawn_from_as_without_groups():
    predictions, references = made_up()
    for seed in (0, 3, 2**32 - 1, 2**40):
        settings = {"num_samples": 20, "seed": seed}
        alone = bootstrap_ccc(predictions, references, groups=["emodb"] * 60, **settings)
        assert alone == bootstrap_ccc(predictions, references, **settings)
        samples = slow_samples(predictions[None], references, 20, seed)
        np.testing.assert_allclose([row.low for row in alone], np.quantile(samples, 0.025, axis=0), atol=1e-10)


def test_a_group_counts_in_the_dimensions_that_it_was_rated_in():
    predictions, references = made_up()
    references[:30, 1] = np.nan
    references[30:, 2] = np.nan
    result = bootstrap_ccc(predictions, references, num_samples=40, groups=["a"] * 30 + ["b"] * 30)
    second = bootstrap_ccc(predictions[:30, 2], references[:30, 2], num_samples=40)
    assert result[2] == pytest.approx(second[0], abs=1e-12)
    expected = concordance_correlation(predictions[30:, 1], references[30:, 1])
    assert result[1].estimate == expected and result[1].low < expected < result[1].high


def test_chunks_do_not_change_the_result(monkeypatch):
    predictions, references = made_up()
    whole = as_array(bootstrap_ccc(predictions, references, num_samples=20), "low", "high")
    monkeypatch.setattr(bootstrap, "_CHUNK_BYTES", 8 * 60 * 3)
    np.testing.assert_allclose(
        as_array(bootstrap_ccc(predictions, references, num_samples=20), "low", "high"), whole, atol=1e-12
    )


def test_one_dimension_with_and_without_seeds():
    predictions, references = made_up(shape=())
    flat = bootstrap_ccc(predictions, references, num_samples=100)
    assert len(flat) == 2 and flat[0] == flat[1]
    assert flat[0].estimate == concordance_correlation(predictions, references)
    assert flat[0].low < flat[0].estimate < flat[0].high
    twice = bootstrap_ccc(np.stack([predictions, predictions]), references, num_samples=100)
    np.testing.assert_allclose(as_array(twice, "low", "high"), as_array(flat, "low", "high"), atol=1e-12)


@pytest.mark.filterwarnings("ignore:.* are constant")
def test_equal_clips_make_constant_resamples():
    # Resamples without the last clip are constant, but their weighted means are so only up to rounding.
    references = np.array([0.1] * 6 + [0.7])[:, None]
    predictions = references[None] + 0.0
    samples = slow_samples(predictions, references, 200, 0)[:, 0]
    assert 0.2 < np.mean(samples == 0) < 0.45  # (6 / 7)^7 = 0.34
    for confidence in (0.2, 0.4, 0.6, 0.9):
        interval = bootstrap_ccc(predictions, references, num_samples=200, confidence=confidence)[-1]
        expected = np.quantile(samples, [(1 - confidence) / 2, (1 + confidence) / 2])
        np.testing.assert_allclose([interval.low, interval.high], expected, atol=1e-12)


def test_interval_covers_the_truth_about_as_often_as_it_says():
    # x = r + e with unit variances: covariance 1, variances 2 and 1, so CCC = 2 / 3.
    covered = 0
    for seed in range(200):
        rng = np.random.default_rng(seed)
        references = rng.normal(size=200)
        predictions = references + rng.normal(size=200)
        interval = bootstrap_ccc(predictions, references, num_samples=200, seed=seed, confidence=0.9)[-1]
        covered += interval.low <= 2 / 3 <= interval.high
    # binomial, n = 200 and p = 0.9: three standard deviations are 13; percentile intervals fall a little short
    assert 160 <= covered <= 193


def test_identical_systems_do_not_differ():
    predictions, references = made_up()
    result = paired_bootstrap(predictions, predictions.copy(), references, num_samples=50)
    np.testing.assert_array_equal(
        as_array(result, "estimate", "low", "high", "p_value"), np.tile([0.0, 0.0, 0.0, 1.0], (4, 1))
    )


def test_clearly_better_system_has_the_smallest_p_value():
    good, references = made_up(noise=0.1)
    bad = made_up(noise=3.0)[0]
    forward = paired_bootstrap(good, bad, references, num_samples=99)
    backward = paired_bootstrap(bad, good, references, num_samples=99)
    np.testing.assert_allclose(as_array(forward, "p_value"), 0.02)
    np.testing.assert_allclose(
        as_array(forward, "estimate", "low", "high", "p_value"),
        as_array(backward, "estimate", "high", "low", "p_value") * [-1, -1, -1, 1],
        atol=1e-12,
    )
    assert (as_array(forward, "low") > 0).all()


def test_p_value_is_uniform_between_equally_good_systems():
    p_values = []
    for seed in range(200):
        rng = np.random.default_rng(seed)
        references = rng.normal(size=100)
        a, b = references + rng.normal(size=(2, 100))
        p_values.append(paired_bootstrap(a, b, references, num_samples=99, seed=seed)[-1].p_value)
    # binomial, n = 200 and p = 0.1: mean 20, three standard deviations 13
    assert 7 <= np.sum(np.array(p_values) <= 0.1) <= 33
    assert np.median(p_values) == pytest.approx(0.5, abs=0.15)


@pytest.mark.parametrize(
    ("predictions", "references", "match"),
    [
        ([], [], "0 clips cannot be resampled; a bootstrap needs at least two"),
        ([1.0], [1.0], "1 clips cannot be resampled"),
        ([1.0, 2.0], [1.0, 2.0, 3.0], r"predictions have shape \(2,\) and the references \(3,\)"),
        (np.ones((2, 5, 3)), np.ones((5, 2)), r"shape \(2, 5, 3\) and the references \(5, 2\)"),
        (np.ones((2, 2, 5, 3)), np.ones((2, 5, 3)), r"\(clips,\) or \(clips, dimensions\), got \(2, 5, 3\)"),
        ([1.0, np.nan], [1.0, 2.0], "predictions hold 1 value"),
        ([1.0, 2.0], [1.0, np.inf], "references hold 1 value"),
    ],
)
def test_bad_values(predictions, references, match):
    with pytest.raises(ValueError, match=match):
        bootstrap_ccc(predictions, references)
    with pytest.raises(ValueError, match=match.replace("predictions", "predictions_a")):
        paired_bootstrap(predictions, predictions, references)
    with pytest.raises(ValueError, match="predictions_b have shape"):
        paired_bootstrap([1.0, 2.0], [1.0], [1.0, 2.0])
