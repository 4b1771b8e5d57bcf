"""A loaded model, and what it says of a recording."""

from __future__ import annotations

import json
import os
import threading
import time
import warnings
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from deadline import Deadline
from declined import Refusal
from transformers import AutoFeatureExtractor, AutoModel, pipeline
from transformers.utils import cached_file

import speech_affect  # noqa: F401  registers models and the pipeline
from speech_affect.regressor import TimeConvGRU


CURVE_FROM_S = 4.0  # shorter recordings have no curve
MOST_WINDOWS = 240
MOST_ASKED, MOST_OVERLAP = 2000, 50  # windows that a program may ask for
WINDOW_S, HOPS_S = 2.0, (0.5, 1.0, 2.0, 5.0, 10.0, 30.0)
DIMENSIONS = ("activation", "valence", "dominance")
# said of every silent window; the page says it in its own words
warnings.filterwarnings("ignore", message="no sound stands out")


@dataclass(frozen=True)
class TypicalError:
    """
    Args:
        rmse: root mean square error of each dimension, on the label scale.
        clips: that it was found on, of the split Development.
    """

    rmse: dict[str, float]
    clips: int


@dataclass(frozen=True)
class Estimate:
    """
    Args:
        whole: what the pipeline says of the recording.
        windows: of its windows, with `start_s` and `end_s`; none for a short one.
        window_s, hop_s: of those windows, in seconds; `None` without any.
        seconds: that the whole took, without the windows.
    """

    whole: dict
    windows: list[dict]
    window_s: float | None
    hop_s: float | None
    seconds: float


class Estimator:
    """
    A model behind the pipeline `speech-emotion-regression`, with a time limit.

    Args:
        name: folder or Hub id.
        revision: on the Hub.

    Attributes:
        label_range: lowest and highest value.
        parameters: how many weights.
        bytes: of the weights on disk, or None where they lie in several files.
        corpus: that it was trained on, or None where its run.json does not tell.
        typical_error: root mean square error of each dimension on the label scale, and the number of clips it was
            found on; None where its run.json does not tell.
    """

    def __init__(self, name: str, revision: str | None = None):
        model = AutoModel.from_pretrained(name, revision=revision)
        extractor = AutoFeatureExtractor.from_pretrained(name, revision=revision)
        if model.config.reads_text:
            raise ValueError("this model reads transcripts; give one that hears audio alone")
        self.model = model
        self.title = Path(name).name
        self.label_range = tuple(float(bound) for bound in model.config.label_range)
        self.parameters = sum(parameter.numel() for parameter in model.parameters())
        weights = _file(name, "model.safetensors", revision)
        self.bytes = os.path.getsize(weights) if weights else None
        self.corpus, self.typical_error = _provenance(_file(name, "run.json", revision))
        self._pipeline = pipeline("speech-emotion-regression", model=model, feature_extractor=extractor)
        self._running = threading.local()
        for module in model.modules():
            if isinstance(module, TimeConvGRU) or type(module).__name__ == "SpeechEncoder":
                module.register_forward_pre_hook(self._check_deadline)
        self._warm_up()

    def estimate(
        self, path: str, duration_s: float, deadline: Deadline, scale: str = "label", window_s=None, hop_s=None
    ) -> Estimate:
        """
        Args:
            path: of a recording.
            duration_s: its length in seconds, which decides about the windows where they are not given.
            deadline: after which no more is computed.
            scale, window_s, hop_s: as of the pipeline.

        Raises:
            Refusal: it took too long, or more windows than a page has room for.
            ValueError: options out of range, or no audio.
        """
        _check_windows(duration_s, window_s, hop_s)
        if window_s is None and hop_s is None and duration_s >= CURVE_FROM_S:
            window_s, hop_s = curve_windows(duration_s)
        self._running.deadline = deadline
        try:
            with torch.inference_mode():
                start = time.perf_counter()
                whole = self._pipeline(path, scale=scale)
                seconds = time.perf_counter() - start
                windows = []
                if window_s is not None or hop_s is not None:
                    windows = self._pipeline(path, scale=scale, window_s=window_s, hop_s=hop_s, batch_size=8)
        finally:
            del self._running.deadline
        return Estimate(whole, windows, window_s, hop_s, seconds)

    def _warm_up(self) -> None:
        """The first run of a network, and of a batch, takes longer than all others."""
        noise = np.random.default_rng(0).standard_normal(64_000) * np.linspace(0, 0.1, 64_000)
        clip = {"array": noise.astype(np.float32), "sampling_rate": 16000}
        self._pipeline(clip)
        self._pipeline(clip, window_s=WINDOW_S, hop_s=HOPS_S[0], batch_size=8)

    def _check_deadline(self, *_) -> None:
        if hasattr(self._running, "deadline"):
            self._running.deadline.check()


def curve_windows(duration_s: float) -> tuple[float, float]:
    """Window and hop in seconds: as fine as a table of some hundred rows allows."""
    hop_s = next((hop for hop in HOPS_S if duration_s / hop <= MOST_WINDOWS), duration_s / MOST_WINDOWS)
    return max(WINDOW_S, 2 * hop_s), hop_s


def _check_windows(duration_s: float, window_s: float | None, hop_s: float | None) -> None:
    """Refuse more work and memory than a page has for one visitor; the pipeline refuses what makes no sense."""
    for name, value in (("window_s", window_s), ("hop_s", hop_s)):
        if value is not None and not isinstance(value, (int, float)):
            raise Refusal(f"{name} is no number of seconds.")
    if not window_s or window_s < 0:
        return
    hop_s = hop_s if hop_s and hop_s > 0 else window_s
    if duration_s / hop_s > MOST_ASKED or min(window_s, duration_s) / hop_s > MOST_OVERLAP:
        raise Refusal(
            f"hop_s is {hop_s:g} for windows of {window_s:g} s in {duration_s:.1f} s of audio; at most {MOST_ASKED} "
            f"windows, and {MOST_OVERLAP} that overlap, are estimated: give a longer hop_s."
        )


def _file(name: str, file: str, revision: str | None) -> str | None:
    """Path of a checkpoint's file, from its folder or the Hub; None where there is none."""
    try:
        return cached_file(name, file, revision=revision, _raise_exceptions_for_missing_entries=False)
    except (OSError, ValueError):
        return None


def _provenance(path: str | None) -> tuple[str | None, TypicalError | None]:
    """What a run.json tells of corpus and error; None for what it does not, or what is no run.json."""
    try:
        told = json.loads(Path(path or "").read_text(encoding="utf-8"))
        corpus = str(told["corpus"]["name"])
    except (OSError, ValueError, KeyError, TypeError):
        return None, None
    try:
        error = told["typical_error"]
        return corpus, TypicalError({name: float(error["rmse"][name]) for name in DIMENSIONS}, int(error["clips"]))
    except (ValueError, KeyError, TypeError):
        return corpus, None
