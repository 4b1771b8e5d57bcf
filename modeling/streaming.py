"""Estimates from audio that comes in pieces: a microphone, or a recording too long to hold in memory."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
import torch

from .audio import to_array, to_mono
from .audio_pieces import SHORTEST_S
from .modeling_affect import AffectOutput
from .resampling import Resampler, whole_rate
from .stream_layers import FrontEndStream, RegressorStream, StreamPool


if TYPE_CHECKING:
    from .modeling_affect import AffectModel


STEP_S = 0.25  # pieces are collected until they are worth a run
BLOCK_S = 10.0  # heard at once of a large piece, so that memory stays bounded
MOST_CHANNELS = 32
POINT_FIELDS = ("logits", "uncertainty", "emotion_logits", "gender_logits")


@dataclass
class CurvePoint:
    """
    What one second of a stream sounds like; the GRU remembers what came before.

    Args:
        start_s, end_s: in seconds from the start of the stream; the last point may be shorter than a second.
        logits: (dimensions,) activation, valence and dominance on the label scale, of the mean over this second.
        uncertainty: (dimensions,), or `None` for a model that states none.
        emotion_logits: (classes,), or `None` for a model without them.
        gender_logits: (genders,), or `None` for a model without them.
    """

    start_s: float
    end_s: float
    logits: torch.Tensor
    uncertainty: torch.Tensor | None = None
    emotion_logits: torch.Tensor | None = None
    gender_logits: torch.Tensor | None = None


class StreamUpdate:
    """
    What a piece of audio changed.

    Attributes:
        duration_s: of the audio so far, in seconds.
        points: the seconds of the curve that have become complete, in order, each once in a stream's life.
    """

    def __init__(self, points: list[CurvePoint], state: _State):
        self.points = points
        self.duration_s = state.duration_s
        self._state = state

    @cached_property
    def estimate(self) -> AffectOutput | None:
        """
        Of the audio so far, as if it ended here; `None` before there is 0.1 s of it. Computed when it is read, from
        what was known then: a piece whose estimate nobody reads does not pay for it.
        """
        return self._state.copy().finish()

    def __repr__(self) -> str:
        return f"StreamUpdate(duration_s={self.duration_s:.3f}, points={self.points})"


class AffectStream:
    """
    Hears audio piece by piece; in the end it has the very output that the whole clip gives, however it was cut.

    What it holds does not grow with the audio: the pooled mean is a running sum, the GRU has its state, and the
    windows keep their last samples. Encoders hear windows of 30 s, so up to 30 s of audio wait for theirs, and the
    points of the curve come when theirs has been heard.

    Args:
        model: an [`AffectFusionModel`] or [`AffectStudentModel`] in evaluation mode that reads audio alone; its
            device and dtype are used.
        sampling_rate: of the audio that will be pushed, in hertz, 1,000 to 768,000.

    Raises:
        ValueError: a model that reads text, has no front end or is in training mode, or a rate outside the range.

    Example:

        stream = AffectStream(model, sampling_rate=44100)
        for piece in microphone:
            update = stream.push(piece)
            for point in update.points:
                print(point.start_s, point.logits.tolist())
            print(update.estimate)
        output = stream.finish()
    """

    def __init__(self, model: AffectModel, sampling_rate: int = 16000):
        if model.config.reads_text:
            raise ValueError(
                "this model reads a transcript, which a stream of audio does not have; give an audio model"
            )
        if model.front_end is None:
            raise ValueError("this model was built with_front_end=False and hears nothing; attach_front_end first")
        _check_mode(model)
        self._state = _State(model, sampling_rate)
        self._output: AffectOutput | None = None
        self.sampling_rate = self._state.sampling_rate
        self.final_points: list[CurvePoint] = []

    @property
    def duration_s(self) -> float:
        """Of the audio so far, in seconds."""
        return self._state.duration_s

    def push(self, samples: np.ndarray | torch.Tensor | Sequence) -> StreamUpdate:
        """
        Hear the next piece.

        Args:
            samples: any number of them, none included: (samples,), or (channels, samples), which are averaged.
                An array, tensor or list; integers are scaled by their type's full scale, floating-point samples are
                expected in [-1, 1] and clipped there.

        Returns:
            the points of the curve that are now complete, and the estimate on demand.

        Raises:
            ValueError: another shape or type, NaN, samples on another scale: the stream is left as it was before this
                piece. Or the stream is finished, or the model in training mode.
        """
        self._check_open()
        state = self._state.copy()
        points = state.hear(samples)
        self._state = state
        return StreamUpdate(points, state)

    def estimate(self) -> AffectOutput | None:
        """
        What `finish` would give now; the stream goes on. `None` before there is 0.1 s.

        A model with encoders runs them on the window that is not full, each time.
        """
        return self._output if self._output is not None else self._state.copy().finish()

    def finish(self) -> AffectOutput:
        """
        End the stream.

        Returns:
            as the model gives for the whole clip, a batch of one. The last points of the curve, the last part of a
            second among them, are then in `final_points`.

        Raises:
            ValueError: under 0.1 s of audio, after which more may be pushed; or the stream is finished already.
        """
        self._check_open()
        state = self._state.copy()
        output = state.finish()
        if output is None:
            raise ValueError(
                f"the stream has {self.duration_s:.3f} s of audio; at least {SHORTEST_S} s and one frame of each "
                "branch are needed: push more before finish"
            )
        self._state, self._output, self.final_points = state, output, state.points(is_last=True)
        return output

    def _check_open(self) -> None:
        if self._output is not None:
            raise ValueError("this stream is finished; make a new AffectStream for other audio")


class _State:
    """
    All that a stream knows. It is copied before it changes, so that a refused piece or an estimate leaves it.

    `no_grad` rather than `inference_mode`: what an encoder caches for itself stays fit for training.
    """

    def __init__(self, model: AffectModel, sampling_rate: int):
        self.model = model
        self.sampling_rate = whole_rate(sampling_rate)
        self.samples_in = self.samples_heard = 0
        self.resampler = Resampler(self.sampling_rate, model.config.sampling_rate)
        self.pending = np.zeros(0, dtype=np.float32)
        self.front_end = FrontEndStream(model.front_end)
        self.regressor = RegressorStream(model.regressor)
        self.pools = [StreamPool(hop, model.config.sampling_rate) for hop in model.regressor.hidden_hops]
        self.next_second = 0

    @property
    def duration_s(self) -> float:
        return self.samples_in / self.sampling_rate

    def copy(self) -> _State:
        twin = copy.copy(self)
        twin.resampler = copy.copy(self.resampler)
        twin.front_end, twin.regressor = self.front_end.copy(), self.regressor.copy()
        twin.pools = [copy.copy(pool) for pool in self.pools]
        return twin

    @torch.no_grad()
    def hear(self, samples) -> list[CurvePoint]:
        _check_mode(self.model)
        points = []
        for block in _blocks(samples, round(BLOCK_S * self.sampling_rate)):
            mono = to_mono(block, channel_axis=0)
            self.samples_in += len(mono)
            self._collect(self.resampler.push(mono))
            if len(self.pending) >= STEP_S * self.model.config.sampling_rate:
                self._run(is_last=False)
                points += self.points(is_last=False)
        return points

    @torch.no_grad()
    def finish(self) -> AffectOutput | None:
        """Of all audio; `None` when there is too little."""
        _check_mode(self.model)
        self._collect(self.resampler.flush())
        if self.samples_heard < SHORTEST_S * self.model.config.sampling_rate:
            return None
        self._run(is_last=True)
        if not all(pool.count for pool in self.pools):
            return None
        return self._output(torch.cat([pool.mean for pool in self.pools]).unsqueeze(0))

    @torch.no_grad()
    def points(self, is_last: bool) -> list[CurvePoint]:
        """Seconds that are over and of which every branch has all frames; at the end, of which it has any."""
        past = min(int(self.duration_s), *(pool.whole_seconds for pool in self.pools))
        if is_last:
            past = 1 + min(max(pool.seconds, default=-1) for pool in self.pools)
        numbers = [n for n in range(self.next_second, past) if all(n in pool.seconds for pool in self.pools)]
        if not numbers:
            return []
        output = self._output(torch.stack([torch.cat([pool.mean_of(n) for pool in self.pools]) for n in numbers]))
        self.next_second = past
        for pool in self.pools:
            pool.forget(past)
        fields = {name: getattr(output, name) for name in POINT_FIELDS}
        return [
            CurvePoint(
                start_s=float(n),
                end_s=min(n + 1.0, self.duration_s),
                **{name: values[row] for name, values in fields.items() if values is not None},
            )
            for row, n in enumerate(numbers)
        ]

    def _collect(self, waveform: np.ndarray) -> None:
        self.samples_heard += len(waveform)
        self.pending = np.concatenate([self.pending, waveform.clip(-1, 1)])

    def _run(self, is_last: bool) -> None:
        samples = torch.from_numpy(self.pending).to(self.model.device)
        self.pending = self.pending[:0]
        frames = self.front_end.push(samples, is_last)
        for pool, hidden in zip(self.pools, self.regressor.push(frames, is_last), strict=True):
            if hidden is not None:
                pool.add(hidden)

    def _output(self, pooled: torch.Tensor) -> AffectOutput:
        """(clips or seconds, pooled width), double precision -> what the model says of them."""
        model, weight = self.model, self.model.regressor.embedding.weight
        embedding = model.regressor.embed(pooled.to(weight.device, weight.dtype))
        heads = model.regressor.heads(embedding)
        return AffectOutput(
            logits=model._to_label_scale(heads["unit"]),
            embedding=embedding,
            emotion_logits=heads["emotion"],
            gender_logits=heads["gender"],
            uncertainty=model._uncertainty(heads["log_std"]),
        )


def _check_mode(model: AffectModel) -> None:
    if model.training:
        raise ValueError("this model is in training mode, where dropout would change every piece: call model.eval()")


def _blocks(samples, size: int):
    """Pieces of at most so many samples of each channel."""
    samples = to_array(samples)
    if samples.ndim not in (1, 2):
        to_mono(samples)  # which refuses it
    if samples.ndim == 2 and samples.shape[0] > MOST_CHANNELS:
        raise ValueError(
            f"a piece of audio has shape {tuple(samples.shape)}, which is {samples.shape[0]} channels; give "
            "(samples,) or (channels, samples): transpose it"
        )
    for start in range(0, samples.shape[-1], size):
        yield samples[..., start : start + size]
