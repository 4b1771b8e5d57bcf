"""CCC over the clips that were rated in a dimension."""

import audmetric
import numpy as np
import pytest

from speech_affect_training.metrics.ccc.concordance import concordance_correlation
from speech_affect_training.metrics.rated import concordance_within, mean_of_rated, rated_concordance


NAN = np.nan


def test_by_hand():
    # x 1, 2, 3 and y 2, 3, 4: 4 / 7, as in the metric's README; of the second dimension one clip was rated
    references = [[2.0, NAN, NAN], [3.0, 1.0, NAN], [4.0, NAN, NAN], [NAN, NAN, NAN]]
    predictions = [[1.0, 1.0, 1.0], [2.0, 2.0, 2.0], [3.0, 3.0, 3.0], [NAN, NAN, NAN]]
    np.testing.assert_allclose(rated_concordance(predictions, references), [4 / 7, NAN, NAN])
    assert np.isnan(rated_concordance(np.ones((1, 3)), np.ones((1, 3)))).all()


def test_where_all_were_rated_it_is_the_metric():
    predictions, references = np.random.default_rng(0).normal(size=(2, 50, 3))
    expected = concordance_correlation(predictions, references)
    np.testing.assert_array_equal(rated_concordance(predictions, references), expected)


def test_a_prediction_that_is_not_a_number_is_an_error_where_there_is_a_rating():
    with pytest.raises(ValueError, match=r"predictions hold 1 value\(s\) of 2 that are not finite"):
        rated_concordance([[NAN, NAN], [1.0, NAN], [NAN, 1.0]], [[1.0, NAN], [2.0, NAN], [NAN, NAN]])


def test_what_has_no_value_is_not_averaged():
    np.testing.assert_array_equal(mean_of_rated(np.array([[1.0, NAN, 4.0], [NAN] * 3])), [2.5, NAN])
    assert mean_of_rated(np.array([0.1, 0.2, 0.6])) == np.mean([0.1, 0.2, 0.6])


def test_within_groups_by_hand_and_by_audmetric():
    """Of the first dimension 4/7 and 0.8, of the second one group alone has two ratings, of the third none."""
    x = np.array([[1.0, 1.0, 1.0], [-1.0, 2.0, 2.0], [2.0, 3.0, 3.0], [1.0, 4.0, 4.0], [3.0, 5.0, 5.0]])
    y = np.array([[2.0, 2.0, NAN], [-2.0, 9.0, 5.0], [3.0, 3.0, NAN], [2.0, NAN, NAN], [4.0, 4.0, 6.0]])
    groups = ["b", "a", "b", "a", "b"]
    first = [audmetric.concordance_cc(y[rows, 0], x[rows, 0]) for rows in ([1, 3], [0, 2, 4])]
    assert first == pytest.approx([0.8, 4 / 7])
    second = audmetric.concordance_cc([2.0, 3.0, 4.0], [1.0, 3.0, 5.0])
    np.testing.assert_allclose(concordance_within(x, y, groups), [np.mean(first), second, NAN])
    np.testing.assert_array_equal(concordance_within(x, y), rated_concordance(x, y))
    np.testing.assert_array_equal(concordance_within(x, y, ["one"] * 5), rated_concordance(x, y))
    with pytest.raises(ValueError, match="groups for 2 clips of 5; give each clip the name of its group"):
        concordance_within(x, y, ["a", "b"])
