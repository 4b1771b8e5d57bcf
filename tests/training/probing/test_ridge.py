"""Ridge in closed form against least squares on the augmented system, and the choice of its penalty."""

import numpy as np
import pytest
import torch

from speech_affect_training.metrics.ccc.concordance import concordance_correlation
from speech_affect_training.probing.ridge import PENALTIES, choose_ridge, fit_ridge


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
