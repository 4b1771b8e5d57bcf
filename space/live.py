"""A microphone, heard as it comes."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field

import numpy as np
import torch
from declined import Refusal
from estimator import DIMENSIONS, Estimator
from upload import clock

from speech_affect.speech_activity import SpeechActivity
from speech_affect.streaming import AffectStream


SHOWN_S = 60  # of the curve; older seconds are forgotten


@dataclass
class LiveSession:
    """
    One visitor's stream; what it holds does not grow.

    Args:
        stream: of the model, at the microphone's rate.
        activity: how much of it is no silence.
        seconds: values of the last seconds, as windows of a curve.
        now: values of all that was heard.
        peaks: loudest sample of each second of `seconds`.
    """

    stream: AffectStream
    activity: SpeechActivity
    seconds: deque[dict] = field(default_factory=lambda: deque(maxlen=SHOWN_S))
    now: dict | None = None

    @property
    def duration_s(self) -> float:
        """Heard so far."""
        return self.stream.duration_s


def hear(
    session: LiveSession | None, chunk: tuple[int, np.ndarray], estimator: Estimator, max_length_s: float
) -> LiveSession:
    """
    Push what came from the microphone.

    Args:
        session: of before, or None at the start.
        chunk: sampling rate in hertz, and samples (samples,) or (samples, channels), as gradio gives them.
        estimator: whose model listens.
        max_length_s: of a session.

    Raises:
        Refusal: the session has lasted its time.
    """
    rate, samples = chunk
    if session is None or session.stream.sampling_rate != rate:
        session = LiveSession(AffectStream(estimator.model, rate), SpeechActivity(rate))
    if session.duration_s > max_length_s:
        raise Refusal(f"A live session ends after {clock(max_length_s)}: stop and start again.")
    if samples.ndim == 2:
        samples = samples.astype(np.float32).mean(axis=1) / _full_scale(samples.dtype)
    else:
        samples = samples.astype(np.float32) / _full_scale(samples.dtype)
    session.activity.push(samples)
    with torch.inference_mode():
        update = session.stream.push(samples)
        for point in update.points:
            values = dict(zip(DIMENSIONS, point.logits.tolist(), strict=True))
            session.seconds.append({"start_s": point.start_s, "end_s": point.end_s, **values})
        output = update.estimate
    session.now = dict.fromkeys(DIMENSIONS)
    session.now["speech_ratio"] = session.activity.ratio()
    if output is not None and session.now["speech_ratio"] > 0:
        session.now.update(zip(DIMENSIONS, output.logits[0].tolist(), strict=True))
    return session


def _full_scale(dtype: np.dtype) -> float:
    return float(np.iinfo(dtype).max) + 1 if dtype.kind == "i" else 1.0
