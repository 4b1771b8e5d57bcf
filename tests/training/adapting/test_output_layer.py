"""Fits of an output layer, on numbers that can be worked out by hand."""

import numpy as np
import pytest

from speech_affect_training.adapting import output_layer
from speech_affect_training.adapting.output_layer import (
    OutputLayer,
    RatedClips,
    fine_tuned,
    scale_and_shift,
    scaled_and_shifted,
)
from speech_affect_training.metrics.ccc.concordance import concordance_correlation


VALUES = np.array([[-0.1], [0.1], [-0.1], [0.1]])  # mean 0, standard deviation 0.1
LABELS = np.array([[-0.5], [0.3], [-0.5], [0.3]])  # mean -0.1, standard deviation 0.4


def made_up(seed: int, clips: int = 40) -> tuple[OutputLayer, RatedClips]:
    """A layer that reads the first of four numbers, and labels that are half of the first and half of the second."""
    generator = np.random.default_rng(seed)
    embeddings = generator.uniform(-1, 1, (clips, 4))
    labels = 0.4 * embeddings[:, :1] + 0.4 * embeddings[:, 1:2] + 0.02 * generator.standard_normal((clips, 1))
    return OutputLayer(np.eye(1, 4) * 0.4, np.zeros(1)), RatedClips(embeddings, labels, np.arange(clips) % 5)


def test_scale_and_shift_of_four_clips():
    scale, shift = scale_and_shift(VALUES, LABELS)
    assert scale == pytest.approx([4 ** (4 / 14)])  # 4 clips, and 10 for the scale of the model
    assert shift == pytest.approx([-0.1])
    many = np.tile(VALUES, (1000, 1)), np.tile(LABELS, (1000, 1))
    assert scale_and_shift(*many)[0] == pytest.approx([4], rel=0.01)


def test_no_map_has_a_higher_ccc(monkeypatch):
    monkeypatch.setattr(output_layer, "PRIOR_CLIPS", 0)
    generator = np.random.default_rng(0)
    values = generator.standard_normal((50, 1))
    labels = 0.3 * values + 0.2 * generator.standard_normal((50, 1)) + 1
    scale, shift = scale_and_shift(values, labels)
    best = concordance_correlation(scale * values + shift, labels)
    assert best == pytest.approx(np.corrcoef(values[:, 0], labels[:, 0])[:1, 1])
    for times, more in ((1.05, 0), (0.95, 0), (1, 0.02), (1, -0.02)):
        assert concordance_correlation(scale * times * values + shift + more, labels) < best


def test_what_was_not_rated_or_does_not_vary_keeps_its_scale():
    values = np.concatenate([VALUES, VALUES, VALUES, np.full((4, 1), 0.5)], axis=1)
    labels = np.concatenate([np.full((4, 1), np.nan), LABELS, np.full((4, 1), 0.2), LABELS], axis=1)
    labels[1:, 1] = np.nan
    scale, shift = scale_and_shift(values, labels)
    assert scale == pytest.approx([1, 1, 1, 1])
    assert shift == pytest.approx([0, 0, 0.2, -0.6])


def test_the_map_is_part_of_the_layer_and_its_values_stay_in_range():
    layer = OutputLayer(np.array([[0.1, 0.0]]), np.zeros(1))
    embeddings = np.array([[-1.0, 0.5], [1, 0.5], [-1, 0.5], [1, 0.5]])
    mapped = scaled_and_shifted(layer, RatedClips(embeddings, LABELS * 10, np.arange(4)))
    scale, shift = scale_and_shift(layer.linear(embeddings), LABELS * 10)
    assert mapped.linear(embeddings) == pytest.approx(scale * layer.linear(embeddings) + shift)
    assert np.abs(mapped.linear(embeddings)).max() > 1
    assert mapped.values(embeddings).min() == -1


def test_fine_tuning_finds_what_a_map_cannot():
    layer, clips = made_up(0)
    _, others = made_up(1)
    mapped, tuned = (fit(layer, clips).values(others.embeddings) for fit in (scaled_and_shifted, fine_tuned))
    assert concordance_correlation(tuned, others.labels) > concordance_correlation(mapped, others.labels) + 0.05


def test_fine_tuning_is_repeatable_and_leaves_other_outputs_alone():
    layer, clips = made_up(0, 20)
    two = OutputLayer(np.concatenate([layer.weight, layer.weight]), np.array([0.0, 0.3]))
    labels = np.concatenate([clips.labels, np.full_like(clips.labels, np.nan)], axis=1)
    first, second = (fine_tuned(two, RatedClips(clips.embeddings, labels, clips.groups)) for _ in range(2))
    assert np.array_equal(first.weight, second.weight) and np.array_equal(first.bias, second.bias)
    assert np.array_equal(first.weight[1], layer.weight[0]) and first.bias[1] == 0.3
    assert not np.allclose(first.weight[0], layer.weight[0])


def test_fine_tuning_stops_where_held_out_clips_are_best():
    layer, clips = made_up(0)
    labels = clips.labels.copy()
    labels[clips.groups == 4] *= -1  # what the others teach is wrong there, the more the longer
    stopped = fine_tuned(layer, RatedClips(clips.embeddings, labels, np.where(clips.groups == 4, 1, 0)))
    mapped = scaled_and_shifted(layer, RatedClips(clips.embeddings, labels, clips.groups))
    assert np.array_equal(stopped.weight, mapped.weight) and np.array_equal(stopped.bias, mapped.bias)
