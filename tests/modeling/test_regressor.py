"""SpecAugment, TC-GRU, pooling and alignment of frames, by hand."""

import numpy as np
import pytest
import torch

from speech_affect import AffectStudentConfig, AffectStudentModel
from speech_affect.regressor import (
    BranchInput,
    TimeConvGRU,
    align_frames,
    average_frames,
    mask_frames,
    masked_mean,
    pad_at_end,
)


def config(**settings):
    return AffectStudentConfig(**settings)


def all_valid(batch: int, frames: int) -> torch.Tensor:
    return torch.ones(batch, frames, dtype=torch.bool)


def test_stretches_of_time_are_zero_over_all_features():
    np.random.seed(0)
    masked = mask_frames(torch.ones(4, 200, 40), all_valid(4, 200), config(mask_time_prob=0.2, mask_time_length=10))
    gone = masked == 0
    assert torch.equal(gone.any(dim=2), gone.all(dim=2))
    for row in gone[:, :, 0]:
        edges = torch.diff(row.int(), prepend=torch.zeros(1), append=torch.zeros(1))
        lengths = torch.where(edges == -1)[0] - torch.where(edges == 1)[0]
        assert (lengths >= 10).all()  # stretches may touch
        assert 10 <= row.sum() <= 40  # 0.2 of 200, less where they overlap
    assert masked[~gone].eq(1).all()


def test_bands_are_zero_at_all_times_of_a_clip_and_differ_between_clips():
    np.random.seed(0)
    settings = config(mask_feature_prob=0.2, mask_feature_length=4)
    gone = mask_frames(torch.ones(8, 50, 40), all_valid(8, 50), settings) == 0
    assert torch.equal(gone.any(dim=1), gone.all(dim=1))
    assert gone[:, 0].sum(dim=1).float().mean() == pytest.approx(7, abs=1.5)
    assert len(torch.unique(gone[:, 0], dim=0)) > 1


def test_padding_is_not_what_is_masked():
    np.random.seed(0)
    mask = torch.arange(200).unsqueeze(0) < 30
    for _ in range(20):
        masked = mask_frames(torch.ones(1, 200, 40), mask, config(mask_time_prob=0.4, mask_time_length=10))
        assert (masked[:, 30:] == 1).all()


def test_only_training_masks_and_nothing_by_default():
    torch.manual_seed(0)
    inputs = {"frames": {"mfb": torch.randn(2, 60, 40)}, "frames_mask": {"mfb": all_valid(2, 60)}}
    model = AffectStudentModel(config(mask_time_prob=0.5, mask_feature_prob=0.5, dropout=0.0), with_front_end=False)
    in_evaluation = model.eval()(**inputs).embedding
    assert torch.equal(in_evaluation, model(**inputs).embedding)
    assert not torch.allclose(in_evaluation, model.train()(**inputs).embedding, atol=1e-3)
    plain = AffectStudentModel(config(dropout=0.0), with_front_end=False)
    plain.load_state_dict(model.state_dict())
    assert torch.allclose(in_evaluation, plain.train()(**inputs).embedding, atol=1e-6)


@pytest.fixture
def tc_gru():
    return TimeConvGRU(8, 5, 3, config(conv_channels=6, gru_hidden_size=4, dropout=0.0))


def test_a_tc_gru_gives_one_output_per_stride(tc_gru):
    mask = torch.arange(10) < torch.tensor([[10], [7]])
    hidden, hidden_mask = tc_gru(torch.randn(2, 10, 8), mask)
    assert hidden.shape == (2, 4, 4)
    assert hidden_mask.tolist() == [[True] * 4, [True, True, True, False]]
    assert not hidden[1, 3].any() and hidden[0, 3].all()


@torch.no_grad()
def test_no_output_of_a_tc_gru_depends_on_the_future(tc_gru):
    frames, mask = torch.randn(1, 10, 8), all_valid(1, 10)
    before, _ = tc_gru(frames, mask)
    frames[:, 7:] = 100.0
    after, _ = tc_gru(frames, mask)
    torch.testing.assert_close(after[:, :3], before[:, :3], atol=0, rtol=0)  # outputs at frames 0, 3 and 6
    assert (after[:, 3] - before[:, 3]).abs().max() > 0.01


VALUES = torch.tensor([[9, 9, 1, 2, 3], [9, 1, 2, 9, 9], [1, 2, 3, 4, 5], [1, 9, 9, 9, 9], [9, 9, 9, 9, 9]])
VALID = torch.tensor([[0, 0, 1, 1, 1], [0, 1, 1, 0, 0], [1, 1, 1, 1, 1], [1, 0, 0, 0, 0], [0, 0, 0, 0, 0]])


def test_padding_goes_to_the_end():
    for move in (pad_at_end, torch.compile(pad_at_end, backend="eager", fullgraph=True, dynamic=True)):
        moved, mask = move(VALUES, VALID)
        assert mask.dtype == torch.bool
        assert [row[valid].tolist() for row, valid in zip(moved, mask, strict=True)] == [
            [1, 2, 3],
            [1, 2],
            [1, 2, 3, 4, 5],
            [1],
            [],
        ]
        assert torch.equal(mask, torch.arange(5) < torch.tensor([[3], [2], [5], [1], [0]]))
        frames, _ = move(torch.stack([VALUES, -VALUES], dim=-1), VALID.bool())
        assert torch.equal(frames, torch.stack([moved, -moved], dim=-1))
    assert pad_at_end(moved, mask)[0] is moved  # nothing is copied where it is there already


def test_padding_goes_to_the_end_in_an_exported_graph_too():
    class Move(torch.nn.Module):
        def forward(self, values, mask):
            return pad_at_end(values, mask)

    sizes = {0: torch.export.Dim("batch", min=1, max=64), 1: torch.export.Dim("length", min=2)}
    shapes = {"values": sizes, "mask": sizes}
    example = (VALUES[:, 1:].clone(), VALID[:, 1:].clone())
    exported = torch.export.export(Move(), example, dynamic_shapes=shapes).module()
    for inputs in ((VALUES[:2], VALID[:2]), (VALUES, VALID)):
        for got, expected in zip(exported(*inputs), pad_at_end(*inputs), strict=True):
            assert torch.equal(got, expected)


def test_padding_within_a_row():
    for row in ([1, 0, 1], [0, 1, 0, 1, 1], [1, 1, 0, 0, 1]):
        mask = torch.tensor([row, [1] * len(row)])
        with pytest.raises(ValueError, match="there is padding between valid samples, frames or tokens of a row"):
            pad_at_end(torch.zeros(mask.shape), mask)


@torch.no_grad()
def test_cached_frames_may_be_padded_on_either_side():
    model = AffectStudentModel(config(), with_front_end=False).eval()
    frames = torch.randn(1, 30, 40)
    expected = model(frames={"mfb": frames}, frames_mask={"mfb": all_valid(1, 30)}, output_frame_logits=True)
    for before, after in ((7, 0), (3, 5)):
        padded = torch.nn.functional.pad(frames, (0, 0, before, after), value=5.0)
        mask = torch.nn.functional.pad(all_valid(1, 30), (before, after))
        output = model(frames={"mfb": padded}, frames_mask={"mfb": mask}, output_frame_logits=True)
        torch.testing.assert_close(output.embedding, expected.embedding, atol=1e-6, rtol=0)
        per_frame = output.frame_logits[output.frame_mask]
        torch.testing.assert_close(per_frame, expected.frame_logits[0], atol=1e-6, rtol=0)


def test_masked_mean_leaves_padding_out():
    frames = torch.tensor([[[1.0], [3.0], [100.0]], [[2.0], [4.0], [6.0]]])
    mask = torch.tensor([[True, True, False], [True, True, True]])
    torch.testing.assert_close(masked_mean(frames, mask), torch.tensor([[2.0], [4.0]]))


def test_masked_mean_counts_beyond_what_half_precision_can():
    mean = masked_mean(torch.ones(1, 1001, 1, dtype=torch.bfloat16), all_valid(1, 1001))
    assert mean.item() == 1.0 and mean.dtype == torch.bfloat16


def test_average_frames_by_hand():
    frames = torch.tensor([[[1.0], [3.0], [5.0], [7.0], [9.0]], [[2.0], [4.0], [6.0], [50.0], [50.0]]])
    mask = torch.tensor([[True] * 5, [True, True, True, False, False]])
    averaged, valid = average_frames(frames, mask, 2)
    torch.testing.assert_close(averaged[0], torch.tensor([[2.0], [6.0], [9.0]]))
    torch.testing.assert_close(averaged[1, :2], torch.tensor([[3.0], [6.0]]))
    assert valid.tolist() == [[True, True, True], [True, True, False]]


def test_align_brings_two_rates_onto_the_slower_grid():
    fast, slow = torch.arange(7.0).view(1, 7, 1), torch.arange(3.0).view(1, 3, 1)
    (a, b), mask = align_frames([fast, slow], [all_valid(1, 7), all_valid(1, 3)], [160, 320])
    torch.testing.assert_close(a[0, :, 0], torch.tensor([0.5, 2.5, 4.5]))
    torch.testing.assert_close(b, slow)
    assert mask.tolist() == [[True, True, True]]


def test_hops_without_a_common_grid():
    frames, mask = torch.zeros(1, 4, 1), all_valid(1, 4)
    with pytest.raises(ValueError, match="240, 320 samples apart share no grid.*hop_s"):
        align_frames([frames, frames], [mask, mask], [240, 320])


def test_weighted_sum_starts_as_the_mean_of_hidden_states():
    frames = torch.randn(2, 5, 4 * 32)
    mean = frames.view(2, 5, 4, 32).mean(dim=2)
    torch.testing.assert_close(BranchInput(4 * 32, 4)(frames), mean, atol=1e-6, rtol=0)
