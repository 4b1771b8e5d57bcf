"""Masked training frames: where, how much, and only in training."""

import numpy as np
import pytest
import torch

from speech_affect import AffectStudentConfig, AffectStudentModel
from speech_affect.regressor import mask_frames


def config(**settings):
    return AffectStudentConfig(**settings)


def test_stretches_of_time_are_zero_over_all_features():
    np.random.seed(0)
    frames, mask = torch.ones(4, 200, 40), torch.ones(4, 200, dtype=torch.bool)
    masked = mask_frames(frames, mask, config(mask_time_prob=0.2, mask_time_length=10))
    gone = masked == 0
    assert torch.equal(gone.any(dim=2), gone.all(dim=2))
    for row in gone[:, :, 0]:
        edges = torch.diff(row.int(), prepend=torch.zeros(1), append=torch.zeros(1))
        lengths = torch.where(edges == -1)[0] - torch.where(edges == 1)[0]
        assert (lengths >= 10).all()  # stretches may touch
        assert 10 <= row.sum() <= 40  # 0.2 of 200, less where they lie upon each other
    assert masked[~gone].eq(1).all()


def test_bands_are_zero_at_all_times_of_a_clip_and_differ_between_clips():
    np.random.seed(0)
    masked = mask_frames(
        torch.ones(8, 50, 40),
        torch.ones(8, 50, dtype=torch.bool),
        config(mask_feature_prob=0.2, mask_feature_length=4),
    )
    gone = masked == 0
    assert torch.equal(gone.any(dim=1), gone.all(dim=1))
    assert gone[:, 0].sum(dim=1).float().mean() == pytest.approx(7, abs=1.5)
    assert len(torch.unique(gone[:, 0], dim=0)) > 1


def test_padding_is_not_what_is_masked():
    np.random.seed(0)
    mask = torch.zeros(1, 200, dtype=torch.bool)
    mask[:, :30] = True
    for _ in range(20):
        masked = mask_frames(torch.ones(1, 200, 40), mask, config(mask_time_prob=0.4, mask_time_length=10))
        assert (masked[:, 30:] == 1).all()


def test_only_training_masks_and_nothing_by_default():
    torch.manual_seed(0)
    frames = {"mfb": torch.randn(2, 60, 40)}
    masks = {"mfb": torch.ones(2, 60, dtype=torch.bool)}
    model = AffectStudentModel(config(mask_time_prob=0.5, mask_feature_prob=0.5, dropout=0.0), with_front_end=False)
    model.eval()
    calm = model(frames=frames, frames_mask=masks).embedding
    assert torch.equal(calm, model(frames=frames, frames_mask=masks).embedding)
    model.train()
    assert not torch.allclose(calm, model(frames=frames, frames_mask=masks).embedding, atol=1e-3)
    plain = AffectStudentModel(config(dropout=0.0), with_front_end=False)
    plain.load_state_dict(model.state_dict())
    assert torch.allclose(calm, plain.train()(frames=frames, frames_mask=masks).embedding, atol=1e-6)


@pytest.mark.parametrize("name", ["mask_time_prob", "mask_feature_prob"])
def test_a_share_is_below_one(name):
    with pytest.raises(ValueError, match=rf"{name} is 1.0; it must be in \[0, 1\)"):
        config(**{name: 1.0})


@pytest.mark.parametrize("name", ["mask_time_length", "mask_feature_length"])
def test_a_stretch_has_a_length(name):
    with pytest.raises(ValueError, match=f"{name} is 0; give a whole number from 1 to 100000"):
        config(**{name: 0})
