"""CCC against values worked out by hand, against audmetric, and its properties."""

import warnings

import audmetric
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from speech_affect_training.metrics.ccc.concordance import concordance_correlation


# A busy machine is no failure, so no deadline for an example.
relaxed = settings(max_examples=50, deadline=None)


def pairs(min_clips=2, max_clips=40):
    """Two arrays of one length, on a grid so that squares never underflow."""
    values = st.integers(-1000, 1000).map(lambda step: step / 64)
    return st.integers(min_clips, max_clips).flatmap(
        lambda count: st.tuples(arrays(np.float64, count, elements=values), arrays(np.float64, count, elements=values))
    )


def quiet_ccc(predictions, references):
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".* are constant")
        return concordance_correlation(predictions, references)


@pytest.mark.parametrize(
    ("predictions", "references", "expected"),
    [
        ([1.0, 2.0, 3.0], [1.0, 2.0, 3.0], 1.0),
        ([3.0, 2.0, 1.0], [1.0, 2.0, 3.0], -1.0),
        # variances 2/3 and 2/3, covariance 2/3, means one apart: 4/3 / (4/3 + 1)
        ([1.0, 2.0, 3.0], [2.0, 3.0, 4.0], 4 / 7),
        # variances 1 and 4, covariance 2, means one apart: 4 / (5 + 1)
        ([0.0, 2.0], [0.0, 4.0], 4 / 6),
        # no covariance
        ([0.0, 1.0, 0.0, 1.0], [0.0, 0.0, 1.0, 1.0], 0.0),
    ],
)
def test_values_worked_out_by_hand(predictions, references, expected):
    ccc = concordance_correlation(predictions, references)
    assert isinstance(ccc, float)
    assert ccc == pytest.approx(expected, abs=1e-15)


@pytest.mark.parametrize("count", [2, 3, 10, 1000])
def test_equals_audmetric(count):
    rng = np.random.default_rng(count)
    references = rng.normal(4, 1, size=count)
    predictions = 0.5 * references + rng.normal(1.5, 0.7, size=count)
    expected = audmetric.concordance_cc(references, predictions)
    assert concordance_correlation(predictions, references) == pytest.approx(expected, abs=1e-12)


def test_dimensions_are_independent():
    rng = np.random.default_rng(0)
    predictions, references = rng.normal(size=(2, 50, 3))
    ccc = concordance_correlation(predictions, references)
    assert ccc.shape == (3,)
    for dimension in range(3):
        alone = concordance_correlation(predictions[:, dimension], references[:, dimension])
        assert ccc[dimension] == pytest.approx(alone, abs=1e-14)


def test_large_offset_keeps_its_digits():
    references = np.array([0.0, 1.0, 2.0, 3.0])
    predictions = np.array([1.0, 0.0, 2.0, 3.0])
    offset = 2.0**40
    assert concordance_correlation(predictions + offset, references + offset) == concordance_correlation(
        predictions, references
    )


@pytest.mark.parametrize(
    ("predictions", "references", "match"),
    [
        ([0.1, 0.1, 0.1], [1.0, 2.0, 3.0], "predictions are constant;"),
        ([1.0, 2.0, 3.0], [0.1, 0.1, 0.1], "references are constant;"),
        ([0.1, 0.1, 0.1], [0.1, 0.1, 0.1], "are constant"),
        ([0.1], [0.1], "are constant"),
    ],
)
def test_constant_gives_zero_with_a_warning(predictions, references, match):
    with pytest.warns(UserWarning, match=match):
        assert concordance_correlation(predictions, references) == 0.0


def test_constant_dimension_is_named():
    predictions = np.array([[1.0, 5.0], [2.0, 5.0]])
    references = np.array([[1.0, 1.0], [2.0, 2.0]])
    with pytest.warns(UserWarning, match=r"predictions are constant in dimension\(s\) \[1\]"):
        np.testing.assert_array_equal(concordance_correlation(predictions, references), [1.0, 0.0])


@pytest.mark.parametrize(
    ("predictions", "references", "match"),
    [
        ([], [], r"predictions are empty \(shape \(0,\)\)"),
        (np.zeros((0, 3)), np.zeros((0, 3)), r"predictions are empty \(shape \(0, 3\)\)"),
        ([1.0], [], "references are empty"),
        ([1.0, 2.0], [1.0, 2.0, 3.0], r"shape \(2,\) and references \(3,\)"),
        ([[1.0, 2.0]], [1.0, 2.0], r"shape \(1, 2\) and references \(2,\)"),
        (np.ones((2, 2, 2)), np.ones((2, 2, 2)), r"\(clips,\) or \(clips, dimensions\), got \(2, 2, 2\)"),
        (1.0, 2.0, r"got \(\)"),
        ([1.0, np.nan, np.inf], [1.0, 2.0, 3.0], r"predictions hold 2 value\(s\) of 3 that are not finite"),
        ([1.0, 2.0], [1.0, -np.inf], r"references hold 1 value\(s\) of 2 that are not finite"),
        (["a", "b"], [1.0, 2.0], "predictions must be a rectangular array of real numbers"),
        ([1.0, None], [1.0, 2.0], "predictions must be a rectangular array of real numbers"),
        ([1.0, 2j], [1.0, 2.0], "predictions must be a rectangular array of real numbers"),
        ([[1.0], [1.0, 2.0]], [[1.0], [1.0]], "predictions must be a rectangular array of real numbers"),
        ([1e200, -1e200], [1.0, 2.0], "too large for CCC in float64"),
        ([1.0, 2.0], [1e308, -1e308], "too large for CCC in float64"),
    ],
)
def test_bad_input(predictions, references, match):
    with pytest.raises(ValueError, match=match):
        concordance_correlation(predictions, references)


@relaxed
@given(pairs())
def test_symmetric_and_in_range(pair):
    predictions, references = pair
    ccc = quiet_ccc(predictions, references)
    assert -1.0 <= ccc <= 1.0
    assert ccc == pytest.approx(quiet_ccc(references, predictions), abs=1e-12)


@relaxed
@given(pairs(), st.floats(0.01, 100), st.floats(-100, 100))
def test_same_scale_and_shift_of_both_changes_nothing(pair, scale, shift):
    predictions, references = pair
    expected = quiet_ccc(predictions, references)
    assert quiet_ccc(scale * predictions + shift, scale * references + shift) == pytest.approx(expected, abs=1e-9)
