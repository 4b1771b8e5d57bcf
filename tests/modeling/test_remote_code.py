"""A saved folder loads where this package is not installed."""

import subprocess
import sys

import pytest
import torch

from speech_affect import (
    AffectFeatureExtractor,
    AffectFusionConfig,
    AffectFusionModel,
    AffectStudentConfig,
    AffectStudentModel,
)


SCRIPT = """
import sys

class NotInstalled:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] == "speech_affect":
            raise ModuleNotFoundError(name)

sys.meta_path.insert(0, NotInstalled())
import torch
from transformers import AutoFeatureExtractor, AutoModel

folder = sys.argv[1]
model = AutoModel.from_pretrained(folder, trust_remote_code=True).eval()
extractor = AutoFeatureExtractor.from_pretrained(folder, trust_remote_code=True)
wave = torch.sin(torch.arange(8000) / 20).numpy() / 2
with torch.no_grad():
    print(*model(**extractor(wave, return_tensors="pt")).logits[0].tolist())
"""


@pytest.mark.parametrize("kind", ["student", "fusion"])
def test_without_the_package(kind, tiny_backbone, tmp_path, monkeypatch):
    if kind == "student":
        model = AffectStudentModel(AffectStudentConfig()).eval()
    else:
        encoders = {"whisper": {"backbone": tiny_backbone("whisper"), "pad_to_window": False}}
        branches = [{"source": "mfb_f0"}, {"source": "whisper", "hidden_state": 1}]
        model = AffectFusionModel(AffectFusionConfig(branches=branches, encoders=encoders)).eval()
    folder = tmp_path / kind
    model.save_pretrained(folder)
    AffectFeatureExtractor().save_pretrained(folder)
    monkeypatch.setenv("HF_MODULES_CACHE", str(tmp_path / "modules"))
    command = [sys.executable, "-c", SCRIPT, str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=200, cwd=tmp_path)
    assert done.returncode == 0, done.stderr[-3000:]
    wave = torch.sin(torch.arange(8000) / 20).numpy() / 2
    expected = model(**AffectFeatureExtractor()(wave, return_tensors="pt")).logits[0]
    got = torch.tensor([float(number) for number in done.stdout.split()])
    torch.testing.assert_close(got, expected.detach(), atol=1e-5, rtol=0)
