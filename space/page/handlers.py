"""Event handlers of the page: a recording, audio of a microphone or a call by a program in, HTML or JSON out."""

import logging
import os
import tempfile
from collections.abc import Sequence
from pathlib import Path

import gradio as gr

from .estimator import Estimate, Estimator
from .limits import Deadline, Settings, UserError
from .live import LiveSessions, read_piece
from .recording import Recording, VisitorFiles, read_recording
from .views import as_json, comparison_html, live_html, message_html, result_html


FAILED = "Something went wrong on our side: try again."
logger = logging.getLogger(__name__)


class Handlers:
    """What happens on the events of a page; the first model estimates, all of them are compared."""

    def __init__(self, settings: Settings, estimators: Sequence[Estimator]):
        self.settings = settings
        self.estimators = estimators
        self.estimator = estimators[0]
        self.live = LiveSessions(settings.live_sessions)
        # gradio's documented variable and default
        folder = os.environ.get("GRADIO_TEMP_DIR") or Path(tempfile.gettempdir()) / "gradio"
        self._files = VisitorFiles(Path(folder).resolve())

    def estimate(self, path: str | None, request: gr.Request) -> tuple:
        """Return the result of a recording as HTML, and the update of the recorder, which an error empties."""
        return self._show(path, request, "clip", lambda path: result_html(*self._estimate(path), self.estimator))

    def compare(self, path: str | None, request: gr.Request) -> tuple:
        """Return the results of all models for a recording as HTML, and the update of the recorder."""
        return self._show(path, request, "compared", self._comparison)

    def push_audio(self, piece: dict) -> dict:
        """Add audio of a microphone to its session; return `html` for the page, and `ended`."""
        name = None
        try:
            name, rate, samples, last = read_piece(piece)
            session = self.live.of(name, rate, self.estimator, self.settings.max_length_s)
            session.push(samples)
        except Exception as error:
            if name is not None:
                self.live.end(name)
            return {"html": message_html(message_for(error)), "ended": True}
        if last:
            self.live.end(name)
        return {"html": live_html(session, self.estimator), "ended": last}

    def leave(self, request: gr.Request) -> None:
        """Delete the files of a visitor who closed the page."""
        self._files.leave(request.session_hash)

    def predict(
        self, audio: str | None, window_s: float | None = None, hop_s: float | None = None, scale: str = "label"
    ) -> dict:
        """Estimate activation, valence and dominance of speech: how it sounds to listeners, not what a person feels.

        Args:
            audio: A recording in wav, flac, ogg, opus or mp3, uploaded here first; other addresses are not fetched.
            window_s: Length in seconds of the windows of a curve; by default 2 for recordings of 4 s and more.
            hop_s: Seconds from the start of one window to that of the next; by default window_s.
            scale: Of the values: label (that of the training labels), unit (0 to 1) or signed (-1 to 1).

        Raises:
            gr.Error: One sentence for the user.
        """
        # language models are given this text, of each argument the first line
        try:
            estimate, _ = self._estimate(audio, scale, window_s or None, hop_s or None)
        except Exception as error:
            raise gr.Error(message_for(error), print_exception=False) from None
        return as_json(estimate, self.estimator)

    def _show(self, path: str | None, request: gr.Request, place: str, view) -> tuple:
        self._files.show(request.session_hash, place, path)
        if not path:
            return "", gr.skip()
        try:
            return view(path), gr.skip()
        except Exception as error:
            return message_html(message_for(error)), None

    def _comparison(self, path: str) -> str:
        deadline = Deadline(self.settings.timeout_s)
        recording = read_recording(path, self.settings, deadline)
        estimates = [estimator.estimate(path, 0.0, deadline) for estimator in self.estimators]
        return comparison_html(estimates, self.estimators, recording.duration_s)

    def _estimate(self, path: str | None, *options) -> tuple[Estimate, Recording]:
        deadline = Deadline(self.settings.timeout_s)
        recording = read_recording(path, self.settings, deadline)
        return self.estimator.estimate(recording.path, recording.duration_s, deadline, *options), recording


def message_for(error: Exception) -> str:
    """Return the sentence that a visitor is shown for an error: never a path, nor another library's words."""
    if isinstance(error, UserError):
        return str(error)
    if isinstance(error, ValueError):
        text = str(error)
        if "/" not in text and len(text) < 300:
            return text[:1].upper() + text[1:]
        return "This recording cannot be estimated: give a wav, flac, ogg, opus or mp3 file of speech."
    logger.error("a request failed: %s", type(error).__name__)
    return FAILED
