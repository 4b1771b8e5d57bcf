"""Normalised mel energies through the pipeline and the exported files."""

import numpy as np
import torch

from speech_affect import AffectStudentConfig, AffectStudentModel, SpeechEmotionRegressionPipeline
from speech_affect.onnx.export import export_onnx
from speech_affect.onnx.runtime import OnnxAffect

from ..conftest import talk
from .test_runtime import RATE, assert_same, flat


def test_a_running_mean_starts_anew_with_each_piece(tmp_path):
    torch.manual_seed(0)
    model = AffectStudentModel(AffectStudentConfig(branch={"normalization": "running"})).eval()
    with torch.no_grad():
        model.regressor.output.weight.mul_(3)
    clip = np.concatenate([0.1 * talk(16, seed=1), talk(17, seed=2)])
    pipeline = SpeechEmotionRegressionPipeline(model, device="cpu")
    for int8, tolerance in ((False, 1e-4), (True, 0.05)):
        estimate = OnnxAffect(export_onnx(model, tmp_path / "model.onnx", int8=int8))
        for cut in ({}, {"window_s": 16.5}, {"segments": [(1, 32), (20, 22)]}):  # streams, batches and both
            for ours, theirs in zip(flat(estimate(clip, **cut)), flat(pipeline(clip, **cut)), strict=True):
                assert ours == theirs if isinstance(theirs, str) else abs(ours - theirs) < tolerance
    [first, second] = pipeline(clip, window_s=16.5)
    assert_same({**first, **pipeline(clip[: int(16.5 * RATE)])}, first)
    assert_same({**second, **pipeline(clip[int(16.5 * RATE) :])}, second)
