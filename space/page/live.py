"""Live sessions: a microphone whose audio is estimated as it arrives."""

import threading
import time
from base64 import b64decode
from collections import OrderedDict, deque

import numpy as np

from speech_affect import AffectStream
from speech_affect.affect_result import affect_result, estimates_of
from speech_affect.audio import to_mono
from speech_affect.resampling import whole_rate
from speech_affect.speech_activity import SpeechActivity

from .estimator import Estimator
from .limits import UserError
from .recording import clock


SHOWN_S = 60  # of the curve; older seconds are forgotten
IDLE_S = 30.0
MAX_PIECE_S, MAX_NAME = 10.0, 64  # length of a piece; characters in the name of a session
NO_PIECE = "This is no piece of a microphone's audio: record again."


class LiveSession:
    """One visitor's microphone; memory does not grow with time.

    Attributes:
        seconds: values of the last minute, a second each, as windows of a curve.
        whole: result for all audio so far, as of the pipeline.
        last_used: by the monotonic clock.
    """

    def __init__(self, estimator: Estimator, sampling_rate: int, max_length_s: float):
        self.sampling_rate = sampling_rate
        self.seconds: deque[dict] = deque(maxlen=SHOWN_S)
        self.whole: dict = {}
        self.last_used = time.monotonic()
        self._config = estimator.model.config
        self._max_length_s = max_length_s
        self._stream = AffectStream(estimator.model, sampling_rate)
        self._activity = SpeechActivity(sampling_rate)
        self._lock = threading.Lock()

    @property
    def duration_s(self) -> float:
        """Length of all audio so far, in seconds."""
        return self._stream.duration_s

    def push(self, samples: np.ndarray) -> None:
        """Add the next piece of audio, (samples,) int16, or floating-point in [-1, 1].

        Raises:
            UserError: the session has reached its maximum length.
        """
        with self._lock:
            if self.duration_s >= self._max_length_s:
                raise UserError(f"A live session ends after {clock(self._max_length_s)}: record again.")
            mono = to_mono(samples)
            self._activity.push(mono)
            update = self._stream.push(mono)
            for point in update.points:
                values = dict(zip(self._config.id2label.values(), point.logits.tolist(), strict=True))
                self.seconds.append({"start_s": point.start_s, "end_s": point.end_s, **values})
            ratio = self._activity.ratio()
            [estimate] = estimates_of(update.estimate) if update.estimate is not None and ratio else [None]
            self.whole = affect_result(estimate, ratio, self._config)


class LiveSessions:
    """The live sessions of all visitors, up to a limit, by the names that their pages chose; idle ones end."""

    def __init__(self, limit: int, idle_s: float = IDLE_S):
        self._limit, self._idle_s = limit, idle_s
        self._sessions: OrderedDict[str, LiveSession] = OrderedDict()
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return len(self._sessions)

    def of(self, name: str, sampling_rate: int, estimator: Estimator, max_length_s: float) -> LiveSession:
        """Return the session of a name, or a new one where there is none at this rate.

        Raises:
            UserError: there are too many sessions.
        """
        with self._lock:
            now = time.monotonic()
            while self._sessions and next(iter(self._sessions.values())).last_used < now - self._idle_s:
                self._sessions.popitem(last=False)
            session = self._sessions.pop(name, None)
            if session is None or session.sampling_rate != sampling_rate:
                if len(self._sessions) >= self._limit:
                    raise UserError(f"The page is busy: {self._limit} microphones are in use. Try again in a minute.")
                session = LiveSession(estimator, sampling_rate, max_length_s)
            session.last_used = now
            self._sessions[name] = session
            return session

    def end(self, name: str) -> None:
        """Forget a session, if there is one of this name."""
        with self._lock:
            self._sessions.pop(name, None)


def read_piece(piece: dict) -> tuple[str, int, np.ndarray, bool]:
    """Return session, sampling rate in hertz, (samples,) int16, and `last` of a piece from the page's script.

    Raises:
        UserError: it has another form, or is too long.
    """
    try:
        name, rate, last = piece["session"], whole_rate(piece["sampling_rate"]), piece["last"]
        samples = np.frombuffer(b64decode(piece["samples"], validate=True), dtype="<i2")
    except (KeyError, TypeError, ValueError):
        raise UserError(NO_PIECE) from None
    if not isinstance(name, str) or not 0 < len(name) <= MAX_NAME or not isinstance(last, bool):
        raise UserError(NO_PIECE)
    if len(samples) > MAX_PIECE_S * rate:
        raise UserError(f"A piece of a microphone's audio lasts at most {MAX_PIECE_S:g} s: record again.")
    return name, rate, samples, last
