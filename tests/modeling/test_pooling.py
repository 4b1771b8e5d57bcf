"""Pooling and alignment of frames, by hand."""

import pytest
import torch

from speech_affect.regressor import align_frames, average_frames, masked_mean


def test_masked_mean_leaves_padding_out():
    frames = torch.tensor([[[1.0], [3.0], [100.0]], [[2.0], [4.0], [6.0]]])
    mask = torch.tensor([[True, True, False], [True, True, True]])
    torch.testing.assert_close(masked_mean(frames, mask), torch.tensor([[2.0], [4.0]]))


def test_masked_mean_counts_beyond_what_half_precision_can():
    frames = torch.arange(1001.0, dtype=torch.bfloat16).mul(0).add(1).view(1, -1, 1)
    assert masked_mean(frames, torch.ones(1, 1001, dtype=torch.bool)).item() == 1.0
    assert masked_mean(frames, torch.ones(1, 1001, dtype=torch.bool)).dtype == torch.bfloat16


def test_average_frames_by_hand():
    frames = torch.tensor([[[1.0], [3.0], [5.0], [7.0], [9.0]], [[2.0], [4.0], [6.0], [50.0], [50.0]]])
    mask = torch.tensor([[True] * 5, [True, True, True, False, False]])
    averaged, valid = average_frames(frames, mask, 2)
    torch.testing.assert_close(averaged[0], torch.tensor([[2.0], [6.0], [9.0]]))
    torch.testing.assert_close(averaged[1, :2], torch.tensor([[3.0], [6.0]]))
    assert valid.tolist() == [[True, True, True], [True, True, False]]


def test_align_brings_two_rates_onto_the_slower_grid():
    fast = torch.arange(7.0).view(1, 7, 1)
    slow = torch.arange(3.0).view(1, 3, 1)
    masks = [torch.ones(1, 7, dtype=torch.bool), torch.ones(1, 3, dtype=torch.bool)]
    (a, b), mask = align_frames([fast, slow], masks, [160, 320])
    torch.testing.assert_close(a[0, :, 0], torch.tensor([0.5, 2.5, 4.5]))
    torch.testing.assert_close(b, slow)
    assert mask.tolist() == [[True, True, True]]


def test_hops_that_share_no_grid_are_refused():
    frames, mask = torch.zeros(1, 4, 1), torch.ones(1, 4, dtype=torch.bool)
    with pytest.raises(ValueError, match="240, 320 samples apart share no grid.*hop_s"):
        align_frames([frames, frames], [mask, mask], [240, 320])
