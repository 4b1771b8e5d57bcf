"""Hidden sequences of the regressor from frames that come in pieces: the same as from all of them."""

from __future__ import annotations

import copy

import torch

from .regressor import AffectRegressor
from .tc_gru import TimeConvGRU


class RegressorStream:
    """
    The hidden sequences of [`AffectRegressor`] for a single clip, piece by piece.

    Attributes of a stream are replaced, never changed in place, so that copies share what they hold.

    Args:
        regressor: in evaluation mode.
    """

    def __init__(self, regressor: AffectRegressor):
        self._regressor = regressor
        self._tc_grus = [TimeConvGRUStream(tc_gru) for tc_gru in regressor.tc_grus]
        self._alignment = AlignmentStream(regressor.hops) if regressor.fusion_level == "frame" else None

    def copy(self) -> RegressorStream:
        twin = copy.copy(self)
        twin._tc_grus = [copy.copy(stream) for stream in self._tc_grus]
        twin._alignment = copy.copy(self._alignment)
        return twin

    def push(self, frames: dict[str, torch.Tensor | None], is_last: bool) -> list[torch.Tensor | None]:
        """
        Args:
            frames: per branch name the next raw ones, (frames, width), `None` where there are none.
            is_last: nothing follows.

        Returns:
            per TC-GRU the next (frames, hidden_size), `None` where there are none.
        """
        sequences = [
            None if frames[name] is None else self._regressor.inputs[name](frames[name])
            for name in self._regressor.names
        ]
        if self._alignment is not None:
            sequences = [self._alignment.push(sequences, is_last)]
        return [
            stream.push(sequence) if sequence is not None else None
            for stream, sequence in zip(self._tc_grus, sequences, strict=True)
        ]


class AlignmentStream:
    """
    Sequences brought onto the grid of the slowest, side by side, as [`align_frames`] does.

    Between two pushes it keeps the frames whose partners, or the rest of whose group, have not come.

    Args:
        hops: samples between two frames of each sequence.
    """

    def __init__(self, hops: list[int]):
        self._ratios = [max(hops) // hop for hop in hops]
        self._groups: list[torch.Tensor | None] = [None] * len(hops)  # averaged or not: the last may be incomplete
        self._queues: list[torch.Tensor | None] = [None] * len(hops)

    def push(self, sequences: list[torch.Tensor | None], is_last: bool) -> torch.Tensor | None:
        """(frames_i, width_i) of each, or `None` -> (frames, all widths) or `None`."""
        groups, queues = [], []
        for ratio, rest, queue, sequence in zip(self._ratios, self._groups, self._queues, sequences, strict=True):
            averaged, rest = _average(_joined(rest, sequence), ratio, is_last)
            groups.append(rest)
            queues.append(_joined(queue, averaged))
        self._groups, self._queues = groups, queues
        if any(queue is None for queue in queues):
            return None
        length = min(map(len, queues))
        self._queues = [queue[length:].clone() for queue in queues]
        return torch.cat([queue[:length] for queue in queues], dim=-1) if length else None


class TimeConvGRUStream:
    """
    A [`TimeConvGRU`] that goes on where it stopped.

    Args:
        tc_gru: in evaluation mode.
    """

    def __init__(self, tc_gru: TimeConvGRU):
        self._tc_gru = tc_gru
        weight = tc_gru.conv.weight
        self._frames = weight.new_zeros(tc_gru.left_context, weight.shape[1])
        self._skip = 0  # frames to come that no output sees: of a stride greater than the kernel
        self._state: torch.Tensor | None = None

    def push(self, frames: torch.Tensor) -> torch.Tensor | None:
        """(frames, input_size) -> (outputs, hidden_size), `None` when there is no output yet."""
        frames = torch.cat([self._frames, frames])
        skipped = min(self._skip, len(frames))
        frames, skip = frames[skipped:], self._skip - skipped
        kernel, stride = self._tc_gru.left_context + 1, self._tc_gru.stride
        outputs = (len(frames) - kernel) // stride + 1 if len(frames) >= kernel else 0
        self._frames = frames[outputs * stride :].clone()
        self._skip = skip + max(0, outputs * stride - len(frames))
        if not outputs:
            return None
        hidden = torch.relu(self._tc_gru.conv(frames[: (outputs - 1) * stride + kernel].T.unsqueeze(0)))
        hidden, self._state = self._tc_gru.gru(hidden.transpose(1, 2), self._state)
        return hidden[0]


def _joined(first: torch.Tensor | None, second: torch.Tensor | None) -> torch.Tensor | None:
    if first is None or second is None:
        return first if second is None else second
    return torch.cat([first, second])


def _average(
    frames: torch.Tensor | None, ratio: int, is_last: bool
) -> tuple[torch.Tensor | None, torch.Tensor | None]:
    """Means of whole groups of `ratio` frames, at the end of the incomplete group too; and the frames left over."""
    if frames is None or ratio == 1:
        return frames, None
    whole = len(frames) // ratio * ratio
    averaged, rest = frames[:whole].unflatten(0, (-1, ratio)).mean(dim=1), frames[whole:].clone()
    if is_last and len(rest):
        averaged = torch.cat([averaged, rest.mean(dim=0, keepdim=True)])
    return averaged, rest
