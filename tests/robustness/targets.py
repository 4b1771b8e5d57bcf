"""The four ways into the package that take audio: extractor, pipeline, stream and ONNX file; and a model for them."""

import os
import warnings
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
import torch
from transformers import AutoFeatureExtractor, AutoModel, pipeline
from transformers.utils.logging import disable_progress_bar

from speech_affect import AffectFeatureExtractor, AffectStream, AffectStudentConfig, AffectStudentModel
from speech_affect.audio import open_audio
from speech_affect.onnx.export import export_onnx
from speech_affect.onnx.runtime import OnnxAffect

from .case import Case
from .verdict import check_alike, check_inputs, check_output, check_result


TARGETS = ("extractor", "pipeline", "stream", "onnx")
HEADS = {"emotion_names": ["anger", "joy", "neutral"], "gender_names": ["Female", "Male"], "predict_uncertainty": True}
MOST_PIECES = 12  # of a block
LONGEST_STREAM_S = 40.0  # a header's sampling rate may turn a clip into hours


def prepare_model(source: Path | None, folder: Path) -> Path:
    """Store a trained model (an untrained student if `source` is None) with its extractor and `model.onnx`.

    Returns:
        The folder.
    """
    disable_progress_bar()
    torch.manual_seed(0)
    model = _student() if source is None else AutoModel.from_pretrained(source).eval()
    model.save_pretrained(folder)
    AffectFeatureExtractor(sampling_rate=model.config.sampling_rate).save_pretrained(folder)
    export_onnx(model, folder / "model.onnx")
    return folder


def _student() -> AffectStudentModel:
    model = AffectStudentModel(AffectStudentConfig(**HEADS)).eval()
    # as after training: without statistics, log energies would drive the outputs to the ends of the scale
    model.regressor.set_frame_statistics("mfb", torch.full((40,), -5.0), torch.full((40,), 3.0))
    with torch.no_grad():
        for layer in (model.regressor.output, model.regressor.emotion_output, model.regressor.uncertainty_output):
            layer.weight.mul_(3)
    return model


class Targets:
    """The four targets, loaded."""

    def __init__(self, folder: Path):
        warnings.filterwarnings("ignore", message="no sound stands out")
        # a warning of numpy's is a fault as well: the audio was not checked in time
        warnings.filterwarnings("error", category=RuntimeWarning)
        disable_progress_bar()
        self._model = AutoModel.from_pretrained(folder).eval()
        self._label_range = self._model.config.label_range
        self._extractor = AutoFeatureExtractor.from_pretrained(folder)
        self._pipeline = pipeline("speech-emotion-regression", model=str(folder), device="cpu")
        self._onnx = OnnxAffect(folder / "model.onnx")
        self._pipeline_result = None  # of the case that the ONNX file gets next

    def estimate(self, name: str, case: Case, rng: np.random.Generator) -> str:
        """Run one target on a case.

        Returns:
            The outcome, one of `OUTCOMES`.

        Raises:
            Fault: the result is not allowed.
            Exception: whatever the target raises.
        """
        if name == "pipeline":
            self._pipeline_result = None
        clip = case.make()
        try:
            return getattr(self, f"_run_{name}")(clip, case, rng)
        finally:
            if hasattr(clip, "close"):
                clip.close()

    def _run_extractor(self, clip, case, rng) -> str:
        return check_inputs(self._extractor(clip, sampling_rate=case.sampling_rate, return_tensors="np"))

    def _run_pipeline(self, clip, case, rng) -> str:
        result = _as_list(self._pipeline(clip, sampling_rate=case.sampling_rate, **case.options))
        outcome = check_result(result, self._label_range)
        self._pipeline_result = result
        return outcome

    def _run_onnx(self, clip, case, rng) -> str:
        result = _as_list(self._onnx(clip, sampling_rate=case.sampling_rate, **case.options))
        outcome = check_result(result, self._label_range)
        if self._pipeline_result is not None:
            check_alike([self._pipeline_result, result])
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
            for piece in cut_anywhere(block, rng):
                update = stream.push(piece)
                for point in update.points:
                    check_output(point, self._label_range)
            if update.estimate is not None:
                check_output(update.estimate, self._label_range)
            if stream.duration_s > LONGEST_STREAM_S:
                break
        return check_output(stream.finish(), self._label_range)


def _as_list(result):
    return list(result) if isinstance(result, Iterator) else result


def cut_anywhere(samples, rng: np.random.Generator):
    """Yield pieces of random lengths along the last axis; samples that cannot be cut come as they are."""
    shape = (len(samples),) if isinstance(samples, list) else getattr(samples, "shape", ())
    if len(shape) not in (1, 2) or not isinstance(samples, (list, np.ndarray)):
        yield samples
        return
    places = sorted(int(place) for place in rng.integers(shape[-1] + 1, size=int(rng.integers(MOST_PIECES))))
    for start, stop in zip([0, *places], [*places, shape[-1]], strict=True):
        yield samples[start:stop] if len(shape) == 1 else samples[:, start:stop]
