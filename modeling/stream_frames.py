"""Frames of every branch from a waveform that comes in pieces: the same as from the whole."""

from __future__ import annotations

import copy

import torch

from .acoustic_frames import AcousticFrames
from .encoder import SpeechEncoder
from .front_end import AffectFrontEnd


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
