"""CCC against values worked out by hand, against audmetric, and its properties."""

import warnings

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


@relaxed
@given(pairs())
def test_never_beyond_pearson(pair):
    predictions, references = pair
    spread = np.sqrt(predictions.var() * references.var())
    covariance = np.mean((predictions - predictions.mean()) * (references - references.mean()))
    assert abs(quiet_ccc(predictions, references)) * spread <= abs(covariance) + 1e-9
