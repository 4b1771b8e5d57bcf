"""Forward selection against the same selection by brute force."""

import numpy as np
import pytest

from speech_affect_training.probing.feature_ranking import rank_dimensions


pytestmark = pytest.mark.filterwarnings("error")


def standardised(values: np.ndarray) -> np.ndarray:
    return (values - values.mean(axis=0)) / values.std(axis=0)


@pytest.fixture
def data() -> tuple[np.ndarray, np.ndarray]:
    generator = np.random.default_rng(0)
    inputs = standardised(generator.standard_normal((50, 8)) @ generator.standard_normal((8, 8)))
    targets = inputs @ generator.standard_normal((8, 3)) + generator.standard_normal((50, 3))
    return inputs, targets


def brute_force(inputs: np.ndarray, targets: np.ndarray, penalty: float) -> list[int]:
    """Fits a regression for every candidate at every step."""
    targets, clips = standardised(targets), len(inputs)

    def error(kept: list[int]) -> float:
        rows = np.vstack([inputs[:, kept] / np.sqrt(clips), np.sqrt(penalty) * np.eye(len(kept))])
        sought = np.vstack([targets / np.sqrt(clips), np.zeros((len(kept), 3))])
        solution = np.linalg.lstsq(rows, sought, rcond=None)[0]
        return ((rows @ solution - sought) ** 2).sum()

    ranking: list[int] = []
    while len(ranking) < inputs.shape[1]:
        candidates = [i for i in range(inputs.shape[1]) if i not in ranking]
        ranking.append(min(candidates, key=lambda i: error([*ranking, i])))
    return ranking


@pytest.mark.parametrize("penalty", [1e-3, 0.3])
def test_ranking_is_that_of_brute_force(data, penalty):
    inputs, targets = data
    assert rank_dimensions(inputs, targets, penalty).tolist() == brute_force(inputs, targets, penalty)


def test_the_outputs_count_alike_whatever_their_unit(data):
    inputs, targets = data
    rescaled = targets * [1, 1000, 0.001] + 5
    np.testing.assert_array_equal(rank_dimensions(inputs, rescaled, 0.1), rank_dimensions(inputs, targets, 0.1))


def test_a_copy_is_ranked_below_a_weaker_dimension_that_adds_something():
    generator = np.random.default_rng(0)
    independent = standardised(np.linalg.qr(standardised(generator.standard_normal((40, 2))))[0])
    targets = independent @ np.array([[3.0], [1.0]]) @ np.ones((1, 3))
    inputs = np.column_stack([independent[:, 1], independent[:, 0], independent[:, 0]])
    assert rank_dimensions(inputs, targets, 1e-3).tolist() == [1, 0, 2]


def test_equals_are_ranked_by_index():
    assert rank_dimensions(np.zeros((4, 3)), np.eye(4)[:, :3], 1.0).tolist() == [0, 1, 2]
    assert rank_dimensions(np.eye(4), np.ones((4, 3)), 1.0).tolist() == [0, 1, 2, 3]
