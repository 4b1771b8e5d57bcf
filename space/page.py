"""What the page does: a recording, a piece of a microphone or a call by a program in, HTML or JSON out."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Sequence
from pathlib import Path

import gradio as gr
from comparison import compare, comparison_html
from deadline import Deadline
from declined import Refusal
from download import as_json
from estimator import Estimate, Estimator
from gradio.utils import get_upload_folder
from live import LiveSessions, read_piece
from live_view import live_html
from result_view import message_html, result_html
from session_files import SessionFiles, remove, sweep
from settings import Settings
from turns import Turns
from upload import Recording, read_recording


FAILED = "Something went wrong on our side; the recording was not kept."
SWEEP_EVERY_S, KEPT_S = 60.0, 3600.0  # what is left behind, of visitors who vanished
logger = logging.getLogger(__name__)


class Page:
    """
    What the page does, for one set of models.

    Args:
        settings: limits.
        estimators: the first one estimates, all of them are compared.
    """

    def __init__(self, settings: Settings, estimators: Sequence[Estimator]):
        self.settings = settings
        self.estimators = estimators
        self.estimator = estimators[0]
        self.files = SessionFiles()
        self.live = LiveSessions(settings.live_sessions)
        self.turns = Turns(settings.concurrency, settings.queue_size, settings.timeout_s)
        threading.Thread(target=self._sweep, name="sweep", daemon=True).start()

    def show(self, path: str | None, request: gr.Request) -> tuple:
        """
        The result of a recording as HTML, and what stays in the recorder: nothing of what was refused, whose file goes
        as every other does, since the page's player may still be loading it.
        """
        self.files.hold(request.session_hash, "clip", path)
        if not path:
            return "", gr.skip()
        try:
            recording, estimate = self._estimate(path)
        except Exception as error:
            return message_html(said(error)), None
        return result_html(estimate, recording, self.estimator), gr.skip()

    def compare(self, path: str | None, request: gr.Request) -> tuple:
        """All models on one recording, as HTML; and the recorder, as in `show`."""
        self.files.hold(request.session_hash, "compared", path)
        if not path:
            return "", gr.skip()
        try:
            with self.turns.turn():
                deadline = Deadline(self.settings.timeout_s)
                recording = self._recording(path, deadline)
                rows = compare(self.estimators, path, recording.duration_s, deadline)
        except Exception as error:
            return message_html(said(error)), None
        return f'<div class="scroll">{comparison_html(rows)}</div>', gr.skip()

    def hear(self, piece: dict) -> dict:
        """
        A piece of the microphone.

        Args:
            piece: of [`read_piece`].

        Returns:
            `html`, what the page shows, and `ended`, whether the session is over.
        """
        name = None
        try:
            name, rate, samples, last = read_piece(piece)
            session = self.live.of(name, rate, self.estimator, self.settings.max_length_s)
            session.hear(samples)
        except Exception as error:
            if name is not None:
                self.live.end(name)
            return {"html": message_html(said(error)), "ended": True}
        if last:
            self.live.end(name)
        return {"html": live_html(session, self.estimator), "ended": last}

    def leave(self, request: gr.Request) -> None:
        """The page was closed."""
        self.files.release(request.session_hash)

    def predict(
        self, audio: str | None, window_s: float | None = None, hop_s: float | None = None, scale: str = "label"
    ) -> dict:
        """
        The estimate as JSON, for programs.

        Raises:
            gr.Error: one sentence for the user.
        """
        try:
            _, estimate = self._estimate(audio, scale, window_s or None, hop_s or None)
        except Exception as error:
            raise gr.Error(said(error), print_exception=False) from None
        finally:
            remove(audio)
        return as_json(estimate, self.estimator)

    def _estimate(self, path: str | None, *options) -> tuple[Recording, Estimate]:
        with self.turns.turn():
            deadline = Deadline(self.settings.timeout_s)
            recording = self._recording(path, deadline)
            return recording, self.estimator.estimate(path, recording.duration_s, deadline, *options)

    def _recording(self, path: str | None, deadline: Deadline) -> Recording:
        return read_recording(path, self.settings.max_size_mb, self.settings.max_length_s, deadline)

    def _sweep(self) -> None:
        while True:
            time.sleep(SWEEP_EVERY_S)
            sweep(Path(get_upload_folder()), KEPT_S)
            self.files.forget_missing()
            self.live.forget_idle()


def said(error: Exception) -> str:
    """What of an error a user is told: our own words, never a path or another library's."""
    if isinstance(error, Refusal):
        return str(error)
    if isinstance(error, ValueError):
        text = str(error)
        if "/" not in text and len(text) < 300:
            return text[:1].upper() + text[1:]
        return "This recording cannot be estimated: give a wav, flac, ogg, opus or mp3 file of speech."
    logger.error("a request failed: %s", type(error).__name__)
    return FAILED
