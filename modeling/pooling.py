"""Masked pooling over time, and bringing frames of several rates onto one grid."""

import torch


def masked_mean(frames: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """
    Mean over the valid frames.

    Args:
        frames: (batch, frames, width).
        mask: (batch, frames), True where valid. Each row has at least one valid frame.

    Returns:
        (batch, width).
    """
    # half precision cannot count beyond 256
    weights = mask.unsqueeze(-1).to(torch.promote_types(frames.dtype, torch.float32))
    return ((frames * weights).sum(dim=1) / weights.sum(dim=1)).to(frames.dtype)


def average_frames(frames: torch.Tensor, mask: torch.Tensor, ratio: int) -> tuple[torch.Tensor, torch.Tensor]:
    """
    Lower the frame rate by a whole factor: each output frame is the mean of `ratio` valid input frames.

    Args:
        frames: (batch, frames, width).
        mask: (batch, frames), True where valid; valid frames come first.
        ratio: input frames per output frame, >= 1.

    Returns:
        (batch, ceil(frames / ratio), width) and its mask. The last valid output may average fewer than `ratio` frames.
    """
    if ratio == 1:
        return frames, mask
    batch, length, width = frames.shape
    missing = -length % ratio
    weights = torch.nn.functional.pad(mask, (0, missing)).to(frames.dtype).view(batch, -1, ratio, 1)
    frames = torch.nn.functional.pad(frames, (0, 0, 0, missing)).view(batch, -1, ratio, width)
    counts = weights.sum(dim=2)
    return (frames * weights).sum(dim=2) / counts.clamp(min=1), counts.squeeze(-1) > 0


def align_frames(
    frames: list[torch.Tensor], masks: list[torch.Tensor], hops: list[int]
) -> tuple[list[torch.Tensor], torch.Tensor]:
    """
    Bring several sequences onto the grid of the slowest one.

    Args:
        frames: each (batch, frames_i, width_i).
        masks: each (batch, frames_i).
        hops: samples between two frames of each sequence; the largest must be a multiple of each.

    Returns:
        sequences (batch, frames, width_i) of equal length, and the mask of frames valid in all of them.

    Raises:
        ValueError: a hop does not divide the largest.
    """
    slowest = max(hops)
    if any(slowest % hop for hop in hops):
        raise ValueError(
            f"frames {', '.join(map(str, hops))} samples apart share no grid: each hop must divide the largest; "
            "choose hop_s and conv_stride of the acoustic branch accordingly"
        )
    averaged = [average_frames(f, m, slowest // h) for f, m, h in zip(frames, masks, hops, strict=True)]
    length = min(sequence.shape[1] for sequence, _ in averaged)
    mask = torch.stack([m[:, :length] for _, m in averaged]).all(dim=0)
    return [sequence[:, :length] for sequence, _ in averaged], mask
