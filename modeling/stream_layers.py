"""The layers of a model for audio that arrives in chunks: each keeps the state that the next chunk needs."""

from __future__ import annotations

import copy
import math

import torch

from .encoder import SpeechEncoder
from .front_end import AcousticFrames
from .regressor import TimeConvGRU, align_frames


class ModelStream:
    """Front end, TC-GRUs and pooling of a model for a single clip, chunk by chunk.

    All streams here replace their attributes and never change them in place, so copies can share what they hold.
    Modules are in evaluation mode.
    """

    def __init__(self, model):
        front_end, regressor = model.front_end, model.regressor
        self._branches = [(name, regressor.inputs[name]) for name in regressor.names]
        self._sources: list[AcousticStream | EncoderStream] = [
            AcousticStream(name, source) for name, source in front_end.acoustic.items()
        ]
        for name, encoder in front_end.encoders.items():
            readers = {branch.name: branch.hidden_state for branch in front_end.branches if branch.source == name}
            if readers:
                self._sources.append(EncoderStream(encoder, readers))
        self._alignment = AlignmentStream(regressor.hops) if regressor.fusion_level == "frame" else None
        self._tc_grus = [TimeConvGRUStream(tc_gru) for tc_gru in regressor.tc_grus]
        self.pools = [PoolingStream(hop, model.config.sampling_rate) for hop in regressor.hidden_hops]

    def copy(self) -> ModelStream:
        """Return an independent stream in the same state."""
        twin = copy.copy(self)
        twin._sources = [copy.copy(stream) for stream in self._sources]
        twin._alignment = copy.copy(self._alignment)
        twin._tc_grus = [copy.copy(stream) for stream in self._tc_grus]
        twin.pools = [copy.copy(pool) for pool in self.pools]
        return twin

    def push(self, samples: torch.Tensor, is_last: bool) -> None:
        """Run the model as far as possible, and pool what comes out.

        Args:
            samples: (samples,) at 16 kHz in [-1, 1], any number of them.
            is_last: nothing follows.
        """
        frames: dict[str, torch.Tensor] = {}
        for source in self._sources:
            frames |= source.push(samples, is_last)
        sequences = [standardise(frames[name]) if name in frames else None for name, standardise in self._branches]
        if self._alignment is not None:
            sequences = [self._alignment.push(sequences, is_last)]
        for tc_gru, pool, sequence in zip(self._tc_grus, self.pools, sequences, strict=True):
            hidden = tc_gru.push(sequence) if sequence is not None else None
            if hidden is not None:
                pool.push(hidden)


class AcousticStream:
    """Frames of an acoustic branch. It keeps the samples that the next frame depends on."""

    def __init__(self, name: str, source: AcousticFrames):
        self._name, self._source = name, source
        self._waiting = torch.zeros(0)
        self._given = 0  # frames at the start of `_waiting` that are kept only as neighbours of later ones
        self._count = 0  # of frames so far, and the sum of their mel bands
        self._total: torch.Tensor | None = None

    def push(self, samples: torch.Tensor, is_last: bool) -> dict[str, torch.Tensor]:
        """Return {name: (frames, width)} from (samples,), empty without a frame."""
        grid = self._source.mel_filterbank
        waiting = torch.cat([self._waiting.to(samples.device), samples])
        final = max(0, grid.num_frames(len(waiting)) - (0 if is_last else self._source.lookahead_frames))
        if final <= self._given:
            self._waiting = waiting
            return {}
        frames = self._source.features(waiting.unsqueeze(0))[0, self._given : final]
        frames, self._total = self._source.normalized(frames, self._count, self._total)
        self._count += len(frames)
        past = max(0, final - self._source.lookback_frames)
        self._waiting, self._given = waiting[past * grid.hop :].clone(), final - past  # no view of the whole chunk
        return {self._name: frames}


class EncoderStream:
    """Frames of a speech encoder for branches by name, each of a hidden state. It keeps a window that is not full."""

    def __init__(self, encoder: SpeechEncoder, readers: dict[str, int | str]):
        self._encoder, self._readers = encoder, readers
        self._waiting = torch.zeros(0)
        self._last_frames: dict | None = None  # of the window before

    def push(self, samples: torch.Tensor, is_last: bool) -> dict[str, torch.Tensor]:
        """Return {branch name: (frames, width)} from (samples,), empty without a frame."""
        size = self._encoder.window_size
        waiting = torch.cat([self._waiting.to(samples.device), samples])
        if not is_last and len(waiting) < size:
            self._waiting = waiting
            return {}
        *windows, rest = waiting.split(size)
        if is_last or len(rest) == size:
            windows.append(rest)
            rest = rest[:0]
        self._waiting = rest.clone()
        parts = [part for window in windows for part in self._encode(window)]
        if not parts:
            return {}
        return {name: torch.cat([part[state] for part in parts]) for name, state in self._readers.items()}

    def _encode(self, window: torch.Tensor) -> list[dict]:
        """Frames of each hidden state, preceded by those that the window before lacks, see `frames_missing`."""
        if self._encoder.num_frames(len(window)) < 1:
            return []
        states = list(dict.fromkeys(self._readers.values()))
        frames, _ = self._encoder(window.unsqueeze(0), torch.tensor([len(window)]), states)
        frames = {state: values[0] for state, values in frames.items()}
        before, self._last_frames = self._last_frames, {state: values[-1:].clone() for state, values in frames.items()}
        missing = self._encoder.frames_missing
        if before is None or not missing:
            return [frames]
        return [{state: values.repeat(missing, 1) for state, values in before.items()}, frames]


class AlignmentStream:
    """[`align_frames`], which keeps the frames that have no complete group or no partner yet; hops in samples."""

    def __init__(self, hops: list[int]):
        self._hops = hops
        self._waiting: list[tuple[torch.Tensor, ...]] = [()] * len(hops)

    def push(self, sequences: list[torch.Tensor | None], is_last: bool) -> torch.Tensor | None:
        """(frames_i, width_i) of each, or None -> (frames, all widths), or None."""
        chunks = [w if new is None else (*w, new) for w, new in zip(self._waiting, sequences, strict=True)]
        self._waiting = chunks
        if not all(chunks):
            return None
        joined = [(torch.cat(chunk), max(self._hops) // hop) for chunk, hop in zip(chunks, self._hops, strict=True)]
        whole = math.ceil if is_last else math.floor
        length = min(whole(len(frames) / ratio) for frames, ratio in joined)
        if not length:
            return None
        groups = [frames[: length * ratio].unsqueeze(0) for frames, ratio in joined]
        self._waiting = [(frames[length * ratio :].clone(),) for frames, ratio in joined]
        masks = [torch.ones(group.shape[:2], dtype=torch.bool, device=group.device) for group in groups]
        return torch.cat(align_frames(groups, masks, self._hops)[0], dim=-1)[0]


class TimeConvGRUStream:
    """A [`TimeConvGRU`] that continues where it stopped."""

    def __init__(self, tc_gru: TimeConvGRU):
        self._tc_gru = tc_gru
        weight = tc_gru.conv.weight
        self._frames = weight.new_zeros(tc_gru.left_context, weight.shape[1])
        self._skip = 0  # frames to come that no output reads, with a stride greater than the kernel
        self._state: torch.Tensor | None = None

    def push(self, frames: torch.Tensor) -> torch.Tensor | None:
        """(frames, input_size) -> (outputs, hidden_size), or None without an output."""
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


class PoolingStream:
    """Sums and counts in double precision, of the whole and of each second; on the CPU, as some devices lack it."""

    def __init__(self, hop: int, sampling_rate: int):
        self._hop, self._sampling_rate = hop, sampling_rate
        self.count = 0
        self._total = torch.zeros(1, dtype=torch.float64)
        self.seconds: dict[int, tuple[torch.Tensor, int]] = {}  # sum and count of those that are not forgotten

    @property
    def mean(self) -> torch.Tensor:
        """(width,) of all frames."""
        return self._total / self.count

    @property
    def whole_seconds(self) -> int:
        """How many seconds have all their frames."""
        return self.count * self._hop // self._sampling_rate

    def push(self, hidden: torch.Tensor) -> None:
        """Add the next (frames, width)."""
        hidden = hidden.to("cpu", torch.float64)
        self._total = self._total + hidden.sum(dim=0)
        places = (self.count + torch.arange(len(hidden))) * self._hop // self._sampling_rate
        numbers, counts = places.unique_consecutive(return_counts=True)
        added = dict(self.seconds)
        for number, part in zip(numbers.tolist(), hidden.split(counts.tolist()), strict=True):
            total, count = added.get(number, (0.0, 0))
            added[number] = (total + part.sum(dim=0), count + len(part))
        self.seconds = added
        self.count += len(hidden)

    def mean_of(self, second: int) -> torch.Tensor:
        """(width,) of the frames that start in a second."""
        total, count = self.seconds[second]
        return total / count

    def forget(self, past: float) -> None:
        """Drop the seconds before this one."""
        self.seconds = {number: part for number, part in self.seconds.items() if number >= past}
