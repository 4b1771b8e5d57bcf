"""The layers of a model on audio that arrives in chunks: frames, hidden states and pooling with their state."""

from __future__ import annotations

import copy

import torch

from .encoder import SpeechEncoder
from .front_end import AcousticFrames, AffectFrontEnd
from .regressor import AffectRegressor, TimeConvGRU


class FrontEndStream:
    """
    What [`AffectFrontEnd`] makes of a single clip, piece by piece.

    Attributes of a stream are replaced, never changed in place, so that copies share what they hold.

    Args:
        front_end: of a model that reads no text.
    """

    def __init__(self, front_end: AffectFrontEnd):
        self._acoustic = {name: AcousticStream(source) for name, source in front_end.acoustic.items()}
        self._encoders, self._readers = {}, {}
        for name, encoder in front_end.encoders.items():
            readers = [branch for branch in front_end.branches if branch.source == name]
            if readers:
                self._readers[name] = {branch.name: branch.hidden_state for branch in readers}
                self._encoders[name] = EncoderStream(encoder, list(dict.fromkeys(self._readers[name].values())))

    def copy(self) -> FrontEndStream:
        twin = copy.copy(self)
        twin._acoustic = {name: copy.copy(stream) for name, stream in self._acoustic.items()}
        twin._encoders = {name: copy.copy(stream) for name, stream in self._encoders.items()}
        return twin

    def push(self, samples: torch.Tensor, is_last: bool) -> dict[str, torch.Tensor | None]:
        """
        Args:
            samples: (samples,) at 16 kHz in [-1, 1], any number of them.
            is_last: nothing follows.

        Returns:
            per branch name (frames, width): the frames, after those given before, that nothing to come can change;
            `None` where there are none.
        """
        frames = {name: stream.push(samples, is_last) for name, stream in self._acoustic.items()}
        for name, stream in self._encoders.items():
            by_state = stream.push(samples, is_last)
            frames.update({branch: by_state.get(state) for branch, state in self._readers[name].items()})
        return frames


class AcousticStream:
    """
    Frames of an acoustic branch. Between two pushes it keeps the samples that the next frame depends on.

    Args:
        source: of the frames.
    """

    def __init__(self, source: AcousticFrames):
        self._source = source
        self._waiting = torch.zeros(0, device=source.mel_filterbank.window.device)
        self._given = 0  # frames at the start of `_waiting` that are there as neighbours alone

    def push(self, samples: torch.Tensor, is_last: bool) -> torch.Tensor | None:
        """(samples,) -> (frames, width) or `None`; a remainder shorter than a window is left out in the end."""
        grid = self._source.mel_filterbank
        waiting = torch.cat([self._waiting, samples])
        final = max(0, grid.num_frames(len(waiting)) - (0 if is_last else self._source.lookahead_frames))
        if final <= self._given:
            self._waiting = waiting
            return None
        frames = self._source.features(waiting.unsqueeze(0))[0, self._given : final]
        past = max(0, final - self._source.lookback_frames)
        self._waiting, self._given = waiting[past * grid.hop :].clone(), final - past  # no view of all there was
        return frames


class EncoderStream:
    """
    Frames of a speech encoder. Between two pushes it keeps the samples of a window that is not full.

    Args:
        encoder: which hears one window at a time.
        hidden_states: which to return.
    """

    def __init__(self, encoder: SpeechEncoder, hidden_states: list[int | str]):
        self._encoder = encoder
        self._hidden_states = hidden_states
        self._waiting: tuple[torch.Tensor, ...] = ()
        self._last_frames: dict | None = None  # of the window before

    def push(self, samples: torch.Tensor, is_last: bool) -> dict[int | str, torch.Tensor]:
        """(samples,) -> (frames, width) of each hidden state; empty while there are none."""
        size = self._encoder.window_size
        waiting = (*self._waiting, samples)
        if not is_last and sum(map(len, waiting)) < size:
            self._waiting = waiting
            return {}
        *windows, rest = torch.cat(waiting).split(size)
        if is_last or len(rest) == size:
            windows.append(rest)
            rest = rest[:0]
        self._waiting = (rest.clone(),)
        parts = [part for window in windows for part in self._encode(window)]
        return {state: torch.cat([part[state] for part in parts]) for state in self._hidden_states} if parts else {}

    def _encode(self, window: torch.Tensor) -> list[dict]:
        """Frames of each hidden state; before them those that the window before lacks, see `frames_missing`."""
        if self._encoder.num_frames(len(window)) < 1:
            return []
        frames, _ = self._encoder(window.unsqueeze(0), torch.tensor([len(window)]), self._hidden_states)
        frames = {state: values[0] for state, values in frames.items()}
        before, self._last_frames = self._last_frames, {state: values[-1:].clone() for state, values in frames.items()}
        missing = self._encoder.frames_missing
        if before is None or not missing:
            return [frames]
        return [{state: values.repeat(missing, 1) for state, values in before.items()}, frames]


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


class StreamPool:
    """
    Sums and counts in double precision, on the CPU: some accelerators have none.

    Attributes are replaced, never changed in place, so that copies share what they hold.

    Args:
        hop: samples between two of its frames.
        sampling_rate: in hertz.
    """

    def __init__(self, hop: int, sampling_rate: int):
        self.hop, self.sampling_rate = hop, sampling_rate
        self.count = 0
        self.total: torch.Tensor | float = 0.0
        self.seconds: dict[int, tuple[torch.Tensor, int]] = {}  # sum and count of those not yet given out

    @property
    def mean(self) -> torch.Tensor:
        return self.total / self.count

    @property
    def whole_seconds(self) -> int:
        """Seconds that have all their frames."""
        return self.count * self.hop // self.sampling_rate

    def add(self, hidden: torch.Tensor) -> None:
        """(frames, width)"""
        hidden = hidden.to("cpu", torch.float64)
        self.total = self.total + hidden.sum(dim=0)
        places = (self.count + torch.arange(len(hidden))) * self.hop // self.sampling_rate
        numbers, counts = places.unique_consecutive(return_counts=True)
        added = dict(self.seconds)
        for number, part in zip(numbers.tolist(), hidden.split(counts.tolist()), strict=True):
            total, count = added.get(number, (0.0, 0))
            added[number] = (total + part.sum(dim=0), count + len(part))
        self.seconds = added
        self.count += len(hidden)

    def mean_of(self, second: int) -> torch.Tensor:
        total, count = self.seconds[second]
        return total / count

    def forget(self, past: int) -> None:
        """Seconds before this one have been given out."""
        self.seconds = {number: part for number, part in self.seconds.items() if number >= past}
