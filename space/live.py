"""A microphone, heard as it comes."""

from __future__ import annotations

import threading
import time
from base64 import b64decode
from collections import OrderedDict, deque

import numpy as np
import torch
from declined import Refusal
from estimator import DIMENSIONS, Estimator
from upload import clock

from speech_affect.affect_result import AffectEstimate, affect_result
from speech_affect.audio import to_mono
from speech_affect.resampling import whole_rate
from speech_affect.speech_activity import SpeechActivity
from speech_affect.streaming import AffectStream


SHOWN_S = 60  # of the curve; older seconds are forgotten
IDLE_S = 30.0
LONGEST_S, LONGEST_NAME = 10.0, 64  # of a piece, of the name of a session
NO_PIECE = "This is no piece of a microphone: record again."


class LiveSession:
    """
    One visitor's microphone; what is kept does not grow with the time.

    Args:
        estimator: whose model listens.
        sampling_rate: of the microphone, in hertz.
        max_length_s: of the session, in seconds.

    Attributes:
        seconds: values of the last seconds, as windows of a curve.
        now: values of all that was heard, as the pipeline gives them.
        last_heard: by the monotonic clock.
    """

    def __init__(self, estimator: Estimator, sampling_rate: int, max_length_s: float):
        self.sampling_rate = sampling_rate
        self.seconds: deque[dict] = deque(maxlen=SHOWN_S)
        self.now: dict = {}
        self.last_heard = 0.0
        self._config = estimator.model.config
        self._max_length_s = max_length_s
        self._stream = AffectStream(estimator.model, sampling_rate)
        self._activity = SpeechActivity(sampling_rate)
        self._lock = threading.Lock()

    @property
    def duration_s(self) -> float:
        """Heard so far."""
        return self._stream.duration_s

    def hear(self, samples: np.ndarray) -> None:
        """
        Args:
            samples: (samples,) int16, or floating-point in [-1, 1].

        Raises:
            Refusal: the session has lasted its time.
        """
        with self._lock:
            if self.duration_s >= self._max_length_s:
                raise Refusal(f"A live session ends after {clock(self._max_length_s)}: record again.")
            mono = to_mono(samples)
            self._activity.push(mono)
            with torch.inference_mode():
                update = self._stream.push(mono)
            for point in update.points:
                values = dict(zip(DIMENSIONS, point.logits.tolist(), strict=True))
                self.seconds.append({"start_s": point.start_s, "end_s": point.end_s, **values})
            ratio = self._activity.ratio()
            told = None if update.estimate is None or not ratio else _estimate(update.estimate)
            self.now = affect_result(told, ratio, self._config)


class LiveSessions:
    """
    The microphones that are heard, by the names that their pages chose.

    Args:
        most: heard at once; a new one beyond them is refused.
        idle_s: after so many seconds without a piece one is no longer heard.
    """

    def __init__(self, most: int, idle_s: float = IDLE_S):
        self._most, self._idle_s = most, idle_s
        self._sessions: OrderedDict[str, LiveSession] = OrderedDict()
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return len(self._sessions)

    def of(self, name: str, sampling_rate: int, estimator: Estimator, max_length_s: float) -> LiveSession:
        """
        The session, a new one where there is none at this rate.

        Raises:
            Refusal: too many are heard.
        """
        with self._lock:
            self._forget_idle()
            session = self._sessions.pop(name, None)
            if session is None or session.sampling_rate != sampling_rate:
                if len(self._sessions) >= self._most:
                    raise Refusal(
                        f"The page is busy just now: {self._most} microphones are being heard. Try again in a minute."
                    )
                session = LiveSession(estimator, sampling_rate, max_length_s)
            session.last_heard = time.monotonic()
            self._sessions[name] = session
            return session

    def end(self, name: str) -> None:
        """Forget a session, if there is one of this name."""
        with self._lock:
            self._sessions.pop(name, None)

    def forget_idle(self) -> None:
        """Forget those whose pages fell silent."""
        with self._lock:
            self._forget_idle()

    def _forget_idle(self) -> None:
        since = time.monotonic() - self._idle_s
        while self._sessions and next(iter(self._sessions.values())).last_heard < since:
            self._sessions.popitem(last=False)


def read_piece(piece: dict) -> tuple[str, int, np.ndarray, bool]:
    """
    Args:
        piece: as the page sends it: `session`, `sampling_rate` in hertz, `samples`, 16-bit in base64, and `last`.

    Returns:
        session, sampling rate, (samples,) int16, and whether it is the last one.

    Raises:
        Refusal: it is none.
    """
    try:
        name, rate, last = piece["session"], whole_rate(piece["sampling_rate"]), piece["last"]
        samples = np.frombuffer(b64decode(piece["samples"], validate=True), dtype="<i2")
    except (KeyError, TypeError, ValueError):
        raise Refusal(NO_PIECE) from None
    if not isinstance(name, str) or not 0 < len(name) <= LONGEST_NAME or not isinstance(last, bool):
        raise Refusal(NO_PIECE)
    if len(samples) > LONGEST_S * rate:
        raise Refusal(f"A piece of the microphone lasts at most {LONGEST_S:g} s: record again.")
    return name, rate, samples, last


def _estimate(output) -> AffectEstimate:
    fields = ("logits", "uncertainty", "emotion_logits", "gender_logits")
    told = {name: values[0].tolist() for name in fields if (values := getattr(output, name)) is not None}
    return AffectEstimate(**told)
