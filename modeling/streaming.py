"""Estimates from audio that arrives in pieces: a microphone, or a recording too long to hold in memory."""

from __future__ import annotations

import copy
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
import torch

from .affect_result import OUTPUT_FIELDS
from .audio import SAMPLING_RATE, SHORTEST_S, to_array, to_mono
from .modeling_affect import AffectOutput
from .resampling import Resampler, whole_rate
from .stream_layers import ModelStream


if TYPE_CHECKING:
    from .modeling_affect import AffectModel


STEP_S = 0.25  # the model runs once this much audio has been collected
BLOCK_S = 10.0  # a large piece goes through the model in blocks, so that memory stays bounded
MOST_CHANNELS = 32


@dataclass
class CurvePoint:
    """The estimate of one second of a stream; the GRU remembers what came before.

    Args:
        start_s, end_s: in seconds from the start of the stream; the last point may be shorter than a second.
        logits: (dimensions,) activation, valence and dominance on the label scale, of the mean over this second.
        uncertainty: (dimensions,), or None for a model that predicts none.
        emotion_logits: (classes,), or None for a model without them.
        gender_logits: (genders,), or None for a model without them.
    """

    start_s: float
    end_s: float
    logits: torch.Tensor
    uncertainty: torch.Tensor | None = None
    emotion_logits: torch.Tensor | None = None
    gender_logits: torch.Tensor | None = None


@dataclass(eq=False)
class StreamUpdate:
    """What a piece of audio changed.

    Args:
        duration_s: of the audio so far, in seconds.
        points: the seconds of the curve that have become complete, in order, each once in a stream's life.
    """

    duration_s: float
    points: list[CurvePoint]
    _state: _State = field(repr=False)

    @cached_property
    def estimate(self) -> AffectOutput | None:
        """Estimate of the audio so far, as if it ended here; None if it has less than 0.1 s.

        It is computed when it is read first, from the state at that time. A model with encoders then runs them on the
        window that is not full.
        """
        return self._state.copy().finish()


class AffectStream:
    """A stream of audio, whose output in the end equals that for the whole clip, however it was cut.

    Memory does not grow with the audio: pooling keeps running sums, the GRU its state, and the windows their last
    samples. Encoders read windows of 30 s, so up to 30 s of audio wait for their window, and the points of the curve
    come when it is full.

    Args:
        model: an [`AffectFusionModel`] or [`AffectStudentModel`] in evaluation mode that reads audio alone; its
            device and dtype are used.
        sampling_rate: of the audio that will be pushed, in hertz, 1,000 to 768,000.

    Attributes:
        final_points: the last points of the curve, after [`finish`].

    Raises:
        ValueError: the model reads text, has no front end or is in training mode, or the rate is out of range.

    Example:

        stream = AffectStream(model, sampling_rate=44100)
        for piece in microphone:
            update = stream.push(piece)
            for point in update.points:
                print(point.start_s, point.logits.tolist())
            print(update.estimate)
        output = stream.finish()
    """

    def __init__(self, model: AffectModel, sampling_rate: int = SAMPLING_RATE):
        if model.config.reads_text:
            raise ValueError(
                "this model reads a transcript, which a stream of audio does not have; give an audio model"
            )
        if model.front_end is None:
            raise ValueError("this model was built with_front_end=False and takes no audio; attach_front_end first")
        _check_mode(model)
        self._state = _State(model, sampling_rate)
        self._is_finished = False
        self.sampling_rate = self._state.sampling_rate
        self.final_points: list[CurvePoint] = []

    @property
    def duration_s(self) -> float:
        """Duration of the audio so far, in seconds."""
        return self._state.duration_s

    def push(self, samples: np.ndarray | torch.Tensor | Sequence) -> StreamUpdate:
        """Add the next piece.

        Args:
            samples: any number of them, even none: (samples,), or (channels, samples), which are averaged. An array,
                tensor or list; uint8, int8 and int16 are scaled by their type's full scale, floats are expected in
                [-1, 1] and clipped there. Wider integers are refused.

        Returns:
            The points of the curve that are now complete, and the estimate on demand.

        Raises:
            ValueError: another shape or type, NaN, or samples on another scale; the stream then stays as it was
                before this piece. Or the stream is finished, or the model in training mode.
        """
        self._check_open()
        state = self._state.copy()
        points = state.push(samples)
        self._state = state
        return StreamUpdate(state.duration_s, points, state)

    def finish(self) -> AffectOutput:
        """End the stream.

        Returns:
            The output that the model gives for the whole clip, a batch of one. The last points of the curve, the last
            part of a second among them, are then in `final_points`.

        Raises:
            ValueError: the audio has less than 0.1 s, after which more may be pushed; or the stream is finished.
        """
        self._check_open()
        state = self._state.copy()
        output = state.finish()
        if output is None:
            raise ValueError(
                f"the stream has {self.duration_s:.3f} s of audio; at least {SHORTEST_S} s and one frame of each "
                "branch are needed: push more before finish"
            )
        self._state, self._is_finished, self.final_points = state, True, state.points(past=math.inf)
        return output

    def _check_open(self) -> None:
        if self._is_finished:
            raise ValueError("this stream is finished; make a new AffectStream for other audio")


class _State:
    """All that a stream knows. It is copied before it changes, so that an error or an estimate leaves it as it was.

    `no_grad` rather than `inference_mode`: what an encoder caches for itself stays fit for training.
    """

    def __init__(self, model: AffectModel, sampling_rate: int):
        self.sampling_rate = whole_rate(sampling_rate)
        self._model = model
        self._samples_in = self._samples_resampled = 0
        self._resampler = Resampler(self.sampling_rate, model.config.sampling_rate)
        self._pending = np.zeros(0, dtype=np.float32)
        self._stream = ModelStream(model)

    @property
    def duration_s(self) -> float:
        return self._samples_in / self.sampling_rate

    def copy(self) -> _State:
        twin = copy.copy(self)
        twin._resampler = copy.copy(self._resampler)
        twin._stream = self._stream.copy()
        return twin

    @torch.no_grad()
    def push(self, samples) -> list[CurvePoint]:
        _check_mode(self._model)
        points = []
        for block in _blocks(samples, round(BLOCK_S * self.sampling_rate)):
            mono = to_mono(block, channel_axis=0)
            self._samples_in += len(mono)
            self._collect(self._resampler.push(mono))
            if len(self._pending) >= STEP_S * self._model.config.sampling_rate:
                self._run(is_last=False)
                points += self.points(past=int(self.duration_s))
        return points

    @torch.no_grad()
    def finish(self) -> AffectOutput | None:
        """Output for all audio; None if there is too little."""
        _check_mode(self._model)
        self._collect(self._resampler.flush())
        if self._samples_resampled < SHORTEST_S * self._model.config.sampling_rate:
            return None
        self._run(is_last=True)
        pools = self._stream.pools
        return self._output([pool.mean for pool in pools]) if all(pool.count for pool in pools) else None

    @torch.no_grad()
    def points(self, past: float) -> list[CurvePoint]:
        """Points of the seconds before `past` of which every branch has all frames; with infinity, of all the rest."""
        pools = self._stream.pools
        if past < math.inf:
            past = min(past, *(pool.whole_seconds for pool in pools))
        numbers = sorted(n for n in set.intersection(*(set(pool.seconds) for pool in pools)) if n < past)
        if not numbers:
            return []
        output = self._output([torch.stack([pool.mean_of(n) for n in numbers]) for pool in pools])
        for pool in pools:
            pool.forget(past)
        fields = {name: values for name in OUTPUT_FIELDS if (values := getattr(output, name)) is not None}
        return [
            CurvePoint(float(n), min(n + 1.0, self.duration_s), **{name: part[row] for name, part in fields.items()})
            for row, n in enumerate(numbers)
        ]

    def _collect(self, waveform: np.ndarray) -> None:
        self._samples_resampled += len(waveform)
        self._pending = np.concatenate([self._pending, waveform.clip(-1, 1)])

    def _run(self, is_last: bool) -> None:
        samples = torch.from_numpy(self._pending).to(self._model.device)
        self._pending = self._pending[:0]
        self._stream.push(samples, is_last)

    def _output(self, pooled: list[torch.Tensor]) -> AffectOutput:
        """Output from the means of each TC-GRU, (seconds, width) or (width,), in double precision."""
        model, weight = self._model, self._model.regressor.embedding.weight
        joined = torch.cat(pooled, dim=-1)
        embedding = model.regressor.embed(joined.reshape(-1, joined.shape[-1]).to(weight.device, weight.dtype))
        return AffectOutput(embedding=embedding, **model.estimates(model.regressor.heads(embedding)))


def _check_mode(model: AffectModel) -> None:
    if model.training:
        raise ValueError("this model is in training mode, where dropout would change every piece: call model.eval()")


def _blocks(samples, size: int) -> Iterator[np.ndarray]:
    """Pieces of at most `size` samples of each channel."""
    samples = to_array(samples)
    if samples.ndim not in (1, 2):
        to_mono(samples)  # raises the error
    if samples.ndim == 2 and samples.shape[0] > MOST_CHANNELS:
        raise ValueError(
            f"a piece of audio has shape {tuple(samples.shape)}, which is {samples.shape[0]} channels; give "
            "(samples,) or (channels, samples): transpose it"
        )
    for start in range(0, samples.shape[-1], size):
        yield samples[..., start : start + size]
