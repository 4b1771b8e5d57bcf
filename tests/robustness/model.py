"""The model that the cases are put to, as a folder and as an ONNX file."""

from __future__ import annotations

from pathlib import Path

import torch
from transformers import AutoModel
from transformers.utils.logging import disable_progress_bar

from speech_affect import AffectFeatureExtractor, AffectStudentConfig, AffectStudentModel
from speech_affect.onnx.export import export_onnx


HEADS = {"emotion_names": ["anger", "joy", "neutral"], "gender_names": ["Female", "Male"], "predict_uncertainty": True}


def prepare_model(source: Path | None, folder: Path) -> Path:
    """
    Store a model with an extractor and `model.onnx`.

    Args:
        source: folder of a trained model; an untrained student with every kind of output without it.
        folder: to store it in.

    Returns:
        the folder.
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
    # as training leaves them: raw energies would drive the outputs to the ends of the scale
    model.regressor.set_frame_statistics("mfb", torch.full((40,), -5.0), torch.full((40,), 3.0))
    with torch.no_grad():
        for layer in (model.regressor.output, model.regressor.emotion_output, model.regressor.uncertainty_output):
            layer.weight.mul_(3)
    return model
