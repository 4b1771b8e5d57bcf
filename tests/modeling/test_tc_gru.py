"""TC-GRU: grid, mask and causality."""

import pytest
import torch

from speech_affect.regressor import TimeConvGRU


@pytest.fixture
def tc_gru():
    torch.manual_seed(0)
    sizes = {"conv_channels": 6, "kernel_size": 5, "stride": 3, "hidden_size": 4, "num_layers": 2}
    return TimeConvGRU(8, dropout=0.0, **sizes)


def test_one_output_per_stride(tc_gru):
    frames, mask = torch.randn(2, 10, 8), torch.ones(2, 10, dtype=torch.bool)
    mask[1, 7:] = False
    hidden, hidden_mask = tc_gru(frames, mask)
    assert hidden.shape == (2, 4, 4)
    assert hidden_mask.tolist() == [[True] * 4, [True, True, True, False]]


@torch.no_grad()
def test_no_output_sees_the_future(tc_gru):
    frames, mask = torch.randn(1, 10, 8), torch.ones(1, 10, dtype=torch.bool)
    before, _ = tc_gru(frames, mask)
    frames[:, 7:] = 100.0
    after, _ = tc_gru(frames, mask)
    torch.testing.assert_close(after[:, :3], before[:, :3], atol=0, rtol=0)  # outputs at frames 0, 3 and 6
    assert (after[:, 3] - before[:, 3]).abs().max() > 0.01
