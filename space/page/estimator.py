"""A loaded model, and its estimates of a recording."""

import json
import os
import threading
import time
import warnings
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from transformers import pipeline
from transformers.utils import cached_file

from speech_affect import DIMENSIONS  # the import registers the models and the pipeline
from speech_affect.encoder import SpeechEncoder
from speech_affect.regressor import TimeConvGRU

from .limits import Deadline, UserError


CURVE_FROM_S = 4.0  # shorter recordings have no curve
MAX_CURVE_WINDOWS = 240
MAX_WINDOWS, MAX_OVERLAP = 2000, 50  # of a request by a program
WINDOW_S, HOPS_S = 2.0, (0.5, 1.0, 2.0, 5.0, 10.0, 30.0)
# the page has a sentence of its own for silence
warnings.filterwarnings("ignore", message="no sound stands out")


@dataclass(frozen=True)
class TypicalError:
    """Root mean square error of each dimension on the label scale, over so many clips of the development split."""

    rmse: dict[str, float]
    clips: int


@dataclass(frozen=True)
class Estimate:
    """Results of the pipeline for one recording."""

    whole: dict
    windows: list[dict]  # with `start_s` and `end_s`; none for a short recording
    window_s: float | None
    hop_s: float | None
    seconds: float  # of computation for the whole, without the windows


class Estimator:
    """A model in the pipeline `speech-emotion-regression`, with a time limit.

    Attributes:
        label_range: lowest and highest value.
        parameters: number of weights.
        bytes: of the weights on disk; None where they are in several files.
        corpus, typical_error: of the training; None where the model's run.json has none.
        word_labelled: dimensions that nobody rated for the training: their labels were those of the emotion's word.
    """

    def __init__(self, name: str, revision: str | None = None):
        self.pipeline = pipeline("speech-emotion-regression", model=name, revision=revision)
        self.model = self.pipeline.model
        self.title = Path(name).name
        self.label_range = tuple(float(bound) for bound in self.model.config.label_range)
        self.parameters = sum(parameter.numel() for parameter in self.model.parameters())
        weights = _file(name, "model.safetensors", revision)
        self.bytes = os.path.getsize(weights) if weights else None
        self.corpus, self.typical_error, self.word_labelled = _provenance(_file(name, "run.json", revision))
        self._running = threading.local()
        for module in self.model.modules():
            if isinstance(module, (TimeConvGRU, SpeechEncoder)):
                module.register_forward_pre_hook(self._check_deadline)
        self._warm_up()

    def estimate(
        self, path: str, duration_s: float, deadline: Deadline, scale: str = "label", window_s=None, hop_s=None
    ) -> Estimate:
        """Estimate a recording with the options of the pipeline; from 4 s on it has windows, unless others are given.

        Raises:
            UserError: it took too long, or too many windows.
            ValueError: options out of range, or no audio.
        """
        _check_windows(duration_s, window_s, hop_s)
        if window_s is None and hop_s is None and duration_s >= CURVE_FROM_S:
            window_s, hop_s = curve_windows(duration_s)
        self._running.deadline = deadline
        try:
            start = time.perf_counter()
            whole = self.pipeline(path, scale=scale)
            seconds = time.perf_counter() - start
            windows = []
            if window_s is not None or hop_s is not None:
                windows = self.pipeline(path, scale=scale, window_s=window_s, hop_s=hop_s, batch_size=8)
        finally:
            del self._running.deadline
        return Estimate(whole, windows, window_s, hop_s, seconds)

    def _warm_up(self) -> None:
        """Run once: the first run of a network, and of a batch, takes longer than all others."""
        noise = np.random.default_rng(0).standard_normal(64_000) * np.linspace(0, 0.1, 64_000)
        clip = {"array": noise.astype(np.float32), "sampling_rate": 16000}
        self.pipeline(clip)
        self.pipeline(clip, window_s=WINDOW_S, hop_s=HOPS_S[0], batch_size=8)

    def _check_deadline(self, *_) -> None:
        if hasattr(self._running, "deadline"):
            self._running.deadline.check()


def curve_windows(duration_s: float) -> tuple[float, float]:
    """Return window and hop of a curve in seconds, as fine as a table of 240 rows allows."""
    hop_s = next((hop for hop in HOPS_S if duration_s / hop <= MAX_CURVE_WINDOWS), duration_s / MAX_CURVE_WINDOWS)
    return max(WINDOW_S, 2 * hop_s), hop_s


def _check_windows(duration_s: float, window_s, hop_s) -> None:
    """Limit the work and memory of one request; the pipeline checks everything else."""
    for name, value in (("window_s", window_s), ("hop_s", hop_s)):
        if value is not None and not isinstance(value, (int, float)):
            raise UserError(f"{name} is no number of seconds.")
    if not window_s or window_s < 0:
        return
    hop_s = hop_s if hop_s and hop_s > 0 else window_s
    if duration_s / hop_s > MAX_WINDOWS or min(window_s, duration_s) / hop_s > MAX_OVERLAP:
        raise UserError(
            f"hop_s is {hop_s:g} for windows of {window_s:g} s in {duration_s:.1f} s of audio; at most {MAX_WINDOWS} "
            f"windows, and {MAX_OVERLAP} that overlap, are estimated: give a longer hop_s."
        )


def _file(name: str, file: str, revision: str | None) -> str | None:
    """Return the path of a checkpoint's file, from its folder or the Hub; None where there is none."""
    try:
        return cached_file(name, file, revision=revision)
    except (OSError, ValueError):
        return None


def _provenance(path: str | None) -> tuple[str | None, TypicalError | None, list[str]]:
    """Read corpus, typical error and the dimensions labelled by word from a run.json; None for what it lacks."""
    try:
        run = json.loads(Path(path or "").read_text(encoding="utf-8"))
        corpus, by_word = str(run["corpus"]["name"]), run["corpus"].get("word_labelled") or []
        word_labelled = [name for name in DIMENSIONS if name in by_word]
    except (OSError, ValueError, KeyError, TypeError):
        return None, None, []
    try:
        error = run["typical_error"]
        rmse = {name: float(error["rmse"][name]) for name in DIMENSIONS if error["rmse"].get(name) is not None}
        return corpus, TypicalError(rmse, int(error["clips"])), word_labelled
    except (ValueError, KeyError, TypeError, AttributeError):
        return corpus, None, word_labelled
