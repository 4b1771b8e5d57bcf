"""Listeners among themselves, and predicted deviations beside theirs, by hand and by audmetric."""

import audmetric
import numpy as np
import pytest

from speech_affect_training.metrics.listeners import further_listener, grade_spread, spread_agreement


NAN = np.nan
# clip 1 has two listeners in the second dimension, clip 2 two in all
GRADES = [
    np.array([[1.0, 2.0, NAN], [2.0, 4.0, NAN], [6.0, 6.0, NAN]]),
    np.array([[5.0, 1.0, NAN], [7.0, NAN, NAN], [7.0, 3.0, NAN], [5.0, NAN, NAN]]),
    np.array([[1.0, 1.0, 1.0], [7.0, 7.0, 7.0]]),
    np.empty((0, 3)),
]


def test_each_listener_against_the_mean_of_the_others():
    ccc, clips, grades = further_listener(GRADES)
    own = [1.0, 2, 6, 5, 7, 7, 5]
    others = [4.0, 3.5, 1.5, 19 / 3, 17 / 3, 17 / 3, 19 / 3]
    second = audmetric.concordance_cc([5.0, 4, 3], [2.0, 4, 6])
    np.testing.assert_allclose(ccc[:2], [audmetric.concordance_cc(others, own), second])
    assert np.isnan(ccc[2]) and clips.tolist() == [2, 1, 0] and grades.tolist() == [7, 3, 0]
    # 2, 4, 6 and 5, 4, 3: covariance -4/3, variances 8/3 and 2/3, equal means
    assert ccc[1] == pytest.approx(-8 / 3 / (10 / 3))


def test_listeners_of_several_corpora_are_compared_within_each():
    first, second = further_listener(GRADES[:1])[0][0], further_listener(GRADES[1:])[0][0]
    assert further_listener(GRADES, ["a", "b", "b", "c"])[0][0] == pytest.approx((first + second) / 2)


@pytest.mark.parametrize("grades", [GRADES[2:], [np.empty((0, 3))]])
def test_without_three_listeners_there_is_nothing_to_say(grades):
    ccc, clips, pairs = further_listener(grades)
    assert np.isnan(ccc).all() and clips.tolist() == pairs.tolist() == [0, 0, 0]
    assert np.isnan(grade_spread(grades)).all()


def test_predicted_deviations_beside_those_of_the_grades():
    grades = [np.array([[0.0], [1], [2]]) * factor for factor in (1, 2, 4)] + [np.zeros((2, 1))]
    spread = grade_spread(grades)
    np.testing.assert_allclose(spread[:3, 0], [1, 2, 4])
    assert np.isnan(spread[3, 0])
    ccc, r = spread_agreement(np.array([[2.0], [3], [5], [9]]), spread)  # 1 too large everywhere
    assert r[0] == pytest.approx(1) and ccc[0] == pytest.approx(audmetric.concordance_cc([1.0, 2, 4], [2.0, 3, 5]))
    with pytest.warns(UserWarning, match="predictions are constant"):
        ccc, r = spread_agreement(np.ones((4, 1)), spread)
    assert ccc[0] == 0 and np.isnan(r[0])
    np.testing.assert_allclose(grade_spread(GRADES)[:2, :2], [[np.std([1, 2, 6], ddof=1), 2.0], [2 / np.sqrt(3), NAN]])
