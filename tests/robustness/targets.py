"""The four ways into the package: each takes a case and says what came of it."""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
from transformers import AutoFeatureExtractor, AutoModel, pipeline
from transformers.utils.logging import disable_progress_bar

from speech_affect import AffectStream
from speech_affect.audio import open_audio
from speech_affect.onnx.runtime import OnnxAffect

from .case import Case
from .verdict import check_alike, check_inputs, check_output, check_result


TARGETS = ("extractor", "pipeline", "stream", "onnx")
MOST_PIECES = 12  # of a block
HEARD_S = 40.0  # by a stream; a header's rate may make hours of a clip


class Targets:
    """
    The four, loaded.

    Args:
        folder: of a model and its extractor; `model.onnx` beside them is exported from it.
    """

    def __init__(self, folder: Path):
        warnings.filterwarnings("ignore", message="no sound stands out")
        # a stray warning of numpy's is a fault as well: the audio was not checked in time
        warnings.filterwarnings("error", category=RuntimeWarning)
        disable_progress_bar()
        self._model = AutoModel.from_pretrained(folder).eval()
        self._label_range = self._model.config.label_range
        self._extractor = AutoFeatureExtractor.from_pretrained(folder)
        self._pipeline = pipeline("speech-emotion-regression", model=str(folder), device="cpu")
        self._onnx = OnnxAffect(folder / "model.onnx")
        self._answer = None  # of the pipeline, to the case that the ONNX file is asked next

    def estimate(self, name: str, case: Case, rng: np.random.Generator) -> str:
        """
        Run one target.

        Args:
            name: one of `TARGETS`.
            case: what it is given.
            rng: cuts what goes into a stream.

        Returns:
            the outcome.

        Raises:
            Fault: a result that must not be.
            Exception: whatever the target raises.
        """
        if name == "pipeline":
            self._answer = None
        clip = case.make()
        try:
            return getattr(self, f"_run_{name}")(clip, case, rng)
        finally:
            if hasattr(clip, "close"):
                clip.close()

    def _run_extractor(self, clip, case, rng) -> str:
        return check_inputs(self._extractor(clip, sampling_rate=case.sampling_rate, return_tensors="np"))

    def _run_pipeline(self, clip, case, rng) -> str:
        result = _whole(self._pipeline(clip, sampling_rate=case.sampling_rate, **case.options))
        outcome = check_result(result, self._label_range)
        self._answer = result
        return outcome

    def _run_onnx(self, clip, case, rng) -> str:
        result = _whole(self._onnx(clip, sampling_rate=case.sampling_rate, **case.options))
        outcome = check_result(result, self._label_range)
        if self._answer is not None:
            check_alike([self._answer, result])
        return outcome

    def _run_stream(self, clip, case, rng) -> str:
        if isinstance(clip, list) and len(clip) == 1 and isinstance(clip[0], str):
            clip = clip[0]
        if isinstance(clip, Mapping) and clip.get("array") is not None:
            return self._push([clip["array"]], clip.get("sampling_rate"), rng)
        if isinstance(clip, (str, os.PathLike, bytes, bytearray, Mapping)) or hasattr(clip, "read"):
            with open_audio(clip, case.sampling_rate or 16000) as source:
                blocks = source.blocks(source.sampling_rate * int(rng.integers(1, 12)))
                return self._push(blocks, source.sampling_rate, rng)
        return self._push([clip], 16000 if case.sampling_rate is None else case.sampling_rate, rng)

    def _push(self, blocks, sampling_rate, rng) -> str:
        stream = AffectStream(self._model, sampling_rate=sampling_rate)
        for block in blocks:
            for piece in _cut(block, rng):
                update = stream.push(piece)
                for point in update.points:
                    check_output(point, self._label_range)
            if update.estimate is not None:
                check_output(update.estimate, self._label_range)
            if stream.duration_s > HEARD_S:
                break
        return check_output(stream.finish(), self._label_range)


def _whole(result):
    return list(result) if isinstance(result, Iterator) else result


def _cut(samples, rng: np.random.Generator):
    """Pieces of any sizes, of what can be cut along its last axis; all at once of what cannot."""
    shape = (len(samples),) if isinstance(samples, list) else getattr(samples, "shape", ())
    if len(shape) not in (1, 2) or not isinstance(samples, (list, np.ndarray)):
        yield samples
        return
    places = sorted(int(place) for place in rng.integers(shape[-1] + 1, size=int(rng.integers(MOST_PIECES))))
    for start, stop in zip([0, *places], [*places, shape[-1]], strict=True):
        yield samples[start:stop] if len(shape) == 1 else samples[:, start:stop]
