"""The choice among fits, by cross-validation."""

import numpy as np
import pytest

from speech_affect_training.adapting import choice, output_layer
from speech_affect_training.adapting.choice import choose, groups_of
from speech_affect_training.adapting.output_layer import OutputLayer, RatedClips


@pytest.fixture(autouse=True)
def quickly_fitted(monkeypatch):
    monkeypatch.setattr(output_layer, "STEPS", 30)
    monkeypatch.setattr(output_layer, "LEARNING_RATE", 1e-2)
    monkeypatch.setattr(output_layer, "PRIOR_CLIPS", 0)


@pytest.mark.parametrize(
    ("truth", "name"), [([0.9, 0.0, -0.2], "a scale and shift"), ([0.4, 0.5, 0.0], "a fine-tuned output layer")]
)
def test_each_fit_is_chosen_where_it_is_right(truth, name):
    generator = np.random.default_rng(0)
    embeddings = generator.uniform(-1, 1, (40, 2))
    labels = embeddings @ np.array(truth[:2])[:, None] + truth[2] + 0.1 * generator.standard_normal((40, 1))
    layer = OutputLayer(np.array([[0.4, 0.0]]), np.zeros(1))
    assert choose(layer, RatedClips(embeddings, labels.clip(-1, 1), np.arange(40) % 4), [0], 100, 0).name == name


def test_a_model_stays_as_it_is_where_one_speaker_says_nothing_of_the_other():
    embeddings = np.linspace(-1, 1, 20)[:, None]
    groups = np.arange(20) % 2
    labels = 0.4 * embeddings + np.where(groups, 0.3, -0.3)[:, None]
    layer = OutputLayer(np.array([[0.4]]), np.zeros(1))
    chosen = choose(layer, RatedClips(embeddings, labels, groups), [0], 100, 0)
    assert chosen.name == "nothing changed" and chosen.layer is layer
    assert np.array_equal(chosen.out_of_fold["nothing changed"], 0.4 * embeddings)


def test_no_clip_is_estimated_by_a_fit_to_its_group(monkeypatch):
    def memory(layer, clips):
        seen.append(set(clips.groups.tolist()))
        return OutputLayer(layer.weight, layer.bias + len(seen))

    seen = []
    clips = RatedClips(np.zeros((6, 1)), np.linspace(-1, 1, 6)[:, None], np.array([0, 0, 1, 1, 2, 2]))
    values = choice._out_of_fold(OutputLayer(np.zeros((1, 1)), np.array([-1.0])), clips, memory)
    assert seen == [{1, 2}, {0, 2}, {0, 1}]
    assert values[:, 0].tolist() == [0, 0, 1, 1, 1, 1]


def test_groups_are_of_speakers_where_all_are_known():
    speakers = ["a", "b", "a", "c", "b", "c"]
    groups, by_speaker = groups_of(speakers, ["f"] * 6, 0)
    assert by_speaker and groups[0] == groups[2] and groups[1] == groups[4] and len(set(groups)) == 3
    for unknown in (["a"] * 6, [*speakers[:5], "Unknown"], [None] * 6):
        groups, by_speaker = groups_of(unknown, ["f"] * 6, 0)
        assert not by_speaker and sorted(groups) == [0, 0, 1, 2, 3, 4]
    assert groups_of([None] * 30, [None] * 30, 1)[0].tolist() != groups_of([None] * 30, [None] * 30, 2)[0].tolist()
