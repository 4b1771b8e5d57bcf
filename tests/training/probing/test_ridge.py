"""Ridge in closed form against least squares on the augmented system, and the choice of its penalty."""

import numpy as np
import pytest
import torch

from speech_affect_training.metrics.ccc.concordance import concordance_correlation
from speech_affect_training.probing.ridge import PENALTIES, choose_ridge, fit_ridge, rank_dimensions


def draw(clips: int, width: int, noise: float = 0.5) -> tuple[np.ndarray, np.ndarray]:
    """Correlated inputs of unequal scales and means, and three targets that depend on some of them."""
    generator = np.random.default_rng(width)
    inputs = generator.standard_normal((clips, width)) @ generator.standard_normal((width, width))
    inputs = inputs * generator.uniform(0.1, 10, width) + generator.uniform(-5, 5, width)
    targets = inputs @ generator.standard_normal((width, 3)) / width
    targets = targets / targets.std(axis=0) + noise * generator.standard_normal((clips, 3)) + 4
    return inputs, targets


def test_two_points_by_hand():
    # standardised inputs -1 and 1, centred targets -2 and 2: the weight is 2 / (1 + penalty)
    weak, strong = fit_ridge([[0.0], [2.0]], [[0.0], [4.0]], [1.0, 3.0])
    np.testing.assert_allclose(weak.predict([[0.0], [2.0], [4.0]]), [[1.0], [3.0], [5.0]], atol=1e-12)
    np.testing.assert_allclose(strong.predict([[0.0], [2.0], [4.0]]), [[1.5], [2.5], [3.5]], atol=1e-12)
    assert (weak.penalty, strong.penalty) == (1.0, 3.0)


@pytest.mark.parametrize(("clips", "width"), [(60, 8), (12, 30)], ids=["more clips", "more dimensions"])
def test_weights_are_those_of_least_squares_on_the_augmented_system(clips, width):
    inputs, targets = draw(clips, width)
    standardised = (inputs - inputs.mean(axis=0)) / inputs.std(axis=0)
    for fit in fit_ridge(inputs, targets, [1e-3, 0.1, 10.0]):
        rows = np.vstack([standardised / np.sqrt(clips), np.sqrt(fit.penalty) * np.eye(width)])
        sought = np.vstack([(targets - targets.mean(axis=0)) / np.sqrt(clips), np.zeros((width, 3))])
        expected = torch.linalg.lstsq(torch.from_numpy(rows), torch.from_numpy(sought)).solution
        np.testing.assert_allclose(fit.weights, expected.numpy(), atol=1e-9)


def test_a_constant_dimension_counts_for_nothing():
    inputs, targets = draw(40, 4)
    constant = np.full((40, 1), 0.1, dtype=np.float32)
    constant[::3] = np.nextafter(constant[0, 0], np.float32(1))  # rounding
    with_constant = np.hstack([inputs, constant])
    fit, plain = fit_ridge(with_constant, targets, [0.1])[0], fit_ridge(inputs, targets, [0.1])[0]
    assert not fit.weights[4].any()
    with_constant[:, 4] = 7
    np.testing.assert_allclose(fit.predict(with_constant), plain.predict(inputs), atol=1e-12)


def test_the_penalty_is_the_best_on_development():
    (inputs, targets), held_out = draw(70, 30, noise=2.0), slice(40, 70)
    chosen = choose_ridge(inputs[:40], targets[:40], inputs[held_out], targets[held_out])
    scores = {
        penalty: concordance_correlation(
            fit_ridge(inputs[:40], targets[:40], [penalty])[0].predict(inputs[held_out]), targets[held_out]
        ).mean()
        for penalty in PENALTIES
    }
    assert chosen.penalty == max(scores, key=scores.get)
    assert min(PENALTIES) < chosen.penalty < max(PENALTIES)


@pytest.mark.filterwarnings("ignore:The predictions are constant")
def test_of_equally_good_penalties_the_strongest_is_taken():
    targets = draw(10, 4)[1]
    assert choose_ridge(np.ones((10, 2)), targets, np.ones((10, 2)), targets).penalty == max(PENALTIES) == 1000


@pytest.mark.parametrize(
    ("inputs", "targets", "message"),
    [
        ([[1.0], [np.nan]], np.ones((2, 3)), "the inputs of 1 of 2 clips are not finite"),
        (np.ones((2, 1)), np.full((2, 3), np.inf), "the targets of 2 of 2 clips are not finite"),
    ],
)
def test_values_that_are_not_finite(inputs, targets, message):
    with pytest.raises(ValueError, match=message):
        fit_ridge(inputs, targets)


# --- the ranking of dimensions, against the same selection by brute force ---


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


@pytest.mark.filterwarnings("error")
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
