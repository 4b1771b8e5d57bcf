"""The calibration of predicted standard deviations: by hand, and on Gaussian noise of known width."""

from statistics import NormalDist

import numpy as np
import pytest

from speech_affect_training.metrics.calibration import coverage, uncertainty_scale


@pytest.fixture(scope="module")
def heteroscedastic():
    """20,000 clips whose noise is as wide as the uncertainty says, from 0.2 to 2."""
    rng = np.random.default_rng(0)
    predictions = rng.uniform(1, 7, size=(20_000, 3))
    uncertainty = rng.uniform(0.2, 2, size=predictions.shape)
    return predictions, predictions + uncertainty * rng.standard_normal(predictions.shape), uncertainty


def test_scale_by_hand():
    # standardised errors: 3 and -1, and 0 and 4
    labels = [[4.0, 2.0], [2.0, 6.0]]
    predictions = [[1.0, 2.0], [4.0, 4.0]]
    uncertainty = [[1.0, 9.0], [2.0, 0.5]]
    np.testing.assert_allclose(uncertainty_scale(predictions, labels, uncertainty), [np.sqrt(5), np.sqrt(8)])


def test_clips_without_a_label_are_left_out_of_that_dimension():
    nan = np.nan
    # standardised errors: 3 and -1; 4; none at all
    labels = [[4.0, nan, nan], [2.0, 6.0, nan]]
    predictions = [[1.0, nan, 9.0], [4.0, 4.0, 9.0]]
    uncertainty = [[1.0, 9.0, nan], [2.0, 0.5, -1.0]]
    np.testing.assert_allclose(uncertainty_scale(predictions, labels, uncertainty), [np.sqrt(5), 4, nan])
    np.testing.assert_array_equal(coverage(predictions, labels, uncertainty)[0.68], [0, 0, nan])
    np.testing.assert_array_equal(coverage(predictions, labels, np.full((2, 3), 2.0))[0.68], [0, 0, nan])
    np.testing.assert_array_equal(coverage(predictions, labels, np.full((2, 3), 2.1))[0.68], [0.5, 1, nan])


def test_scale_is_that_of_the_greatest_likelihood(heteroscedastic):
    predictions, labels, uncertainty = heteroscedastic
    best = uncertainty_scale(predictions, labels, uncertainty / 3)

    def negative_log_likelihood(scale):
        std = scale * uncertainty / 3
        return (np.log(std) + ((labels - predictions) / std) ** 2 / 2).mean(axis=0)

    for other in (0.99, 1.01):
        assert (negative_log_likelihood(best) < negative_log_likelihood(other * best)).all()


@pytest.mark.parametrize("factor", [0.5, 1.0, 2.0])
def test_coverage_is_what_the_normal_distribution_predicts(heteroscedastic, factor):
    predictions, labels, uncertainty = heteroscedastic
    shares = coverage(predictions, labels, factor * uncertainty)
    assert list(shares) == [0.68, 0.95]
    normal = NormalDist()
    for level, share in shares.items():
        expected = 2 * normal.cdf(factor * normal.inv_cdf((1 + level) / 2)) - 1
        np.testing.assert_allclose(share, np.full(3, expected), atol=0.01)


def test_coverage_counts_both_sides_and_each_dimension():
    # 95% of the labels of a standard Gaussian lie within 1.96
    predictions, uncertainty = np.zeros((4, 2)), np.ones((4, 2))
    labels = [[1.95, -3.0], [-1.95, 0.0], [1.97, 5.0], [-1.97, -2.0]]
    np.testing.assert_array_equal(coverage(predictions, labels, uncertainty)[0.95], [0.5, 0.25])


ONES = np.ones((2, 3))


@pytest.mark.parametrize("function", [uncertainty_scale, coverage])
@pytest.mark.parametrize(
    "predictions, labels, uncertainty, message",
    [
        (
            np.ones((3, 3)),
            ONES,
            ONES,
            r"shapes are predictions \(3, 3\), labels \(2, 3\), uncertainty \(2, 3\); give all",
        ),
        (np.ones(3), np.ones(3), np.ones(3), r"predictions \(3,\).*give all one shape \(clips, dimensions\)"),
        (np.ones((0, 3)), np.ones((0, 3)), np.ones((0, 3)), "predictions are empty"),
        (ONES, [[1, 1, np.nan], [np.inf, 1, 1]], ONES, r"labels hold 1 value\(s\) of 6 that are not finite"),
        (
            ONES,
            ONES,
            [[1, 1, 1], [1, -2, 1]],
            "smallest uncertainty is -2.0; standard deviations must be greater than 0",
        ),
    ],
)
def test_bad_values(function, predictions, labels, uncertainty, message):
    with pytest.raises(ValueError, match=message):
        function(predictions, labels, uncertainty)
