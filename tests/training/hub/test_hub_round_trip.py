"""From a Hub on this machine back to the same numbers where this package is not installed."""

import json
import subprocess
import sys

import pytest
import torch
from transformers import AutoConfig, pipeline

from speech_affect import (
    AffectFeatureExtractor,
    AffectFusionConfig,
    AffectFusionModel,
    AffectStudentConfig,
    AffectStudentModel,
)
from speech_affect_training.hub.push import Target, push_checkpoint


NOT_INSTALLED = """
import json, sys
import torch

class NotInstalled:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] == "speech_affect":
            raise ModuleNotFoundError(name)

sys.meta_path.insert(0, NotInstalled())
from transformers import AutoFeatureExtractor, AutoModel, pipeline

wave = torch.load("wave.pt").numpy()
inputs = AutoFeatureExtractor.from_pretrained("alice/whole", trust_remote_code=True)(wave, return_tensors="pt")
model = AutoModel.from_pretrained("alice/parts", trust_remote_code=True, revision="first").eval()
with torch.no_grad():
    outputs = [model(**inputs).logits[0].tolist()]
for name in ("alice/whole", "alice/fusion"):
    values = pipeline("speech-emotion-regression", model=name, trust_remote_code=True)(wave)
    outputs.append([values[name] for name in ("activation", "valence", "dominance")])
print(json.dumps(outputs))
"""


@pytest.fixture
def wave():
    """A tone that comes and goes, as speech does."""
    time = torch.arange(16000)
    return (torch.sin(time / 20) * torch.sin(time / 1500).clamp(min=0)).numpy() / 2


def make_models(encoder) -> tuple[AffectStudentModel, AffectFusionModel]:
    torch.manual_seed(0)
    encoders = {"whisper": {"backbone": AutoConfig.from_pretrained(encoder), "pad_to_window": False}}
    branches = [{"source": "mfb"}, {"source": "whisper", "hidden_state": 1}]
    student = AffectStudentModel(AffectStudentConfig(conv_channels=8, gru_hidden_size=8, embedding_size=8))
    fusion = AffectFusionModel(AffectFusionConfig(branches=branches, encoders=encoders, conv_channels=8))
    return student.eval(), fusion.eval()


def test_pushed_and_loaded(hub, wave, tiny_encoder, tmp_path):
    student, fusion = make_models(tiny_encoder)
    extractor = AffectFeatureExtractor()
    with torch.no_grad():
        inputs = extractor(wave, return_tensors="pt")
        of_student, of_fusion = (model(**inputs).logits[0].tolist() for model in (student, fusion))
    fusion.save_pretrained(tmp_path / "fusion")
    extractor.save_pretrained(tmp_path / "fusion")
    push_checkpoint(tmp_path / "fusion", Target("alice/fusion"))
    student.push_to_hub("alice/parts", private=True, revision="first", commit_message="On a branch")
    whole = pipeline("speech-emotion-regression", model=student, feature_extractor=extractor)
    whole.push_to_hub("alice/whole", private=True)

    parts, whole = hub.model("alice/parts"), hub.model("alice/whole")
    assert parts.messages == ["initial commit", "On a branch"] and parts.private and whole.private
    code = {path.name for path in (tmp_path / "fusion").glob("*.py")}
    assert code and code | {"config.json", "model.safetensors"} <= set(parts.files("first"))
    assert code | {"README.md", "preprocessor_config.json"} <= set(whole.files())
    auto_map = json.loads(whole.files()["config.json"])["auto_map"]
    assert auto_map["AutoModel"] == "modeling_affect.AffectStudentModel"
    assert "AutoFeatureExtractor" in json.loads(whole.files()["preprocessor_config.json"])["auto_map"]

    torch.save(torch.from_numpy(wave), tmp_path / "wave.pt")
    command = [sys.executable, "-c", NOT_INSTALLED]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, cwd=tmp_path)
    assert done.returncode == 0, done.stderr[-3000:]
    outputs = json.loads(done.stdout.splitlines()[-1])
    expected = torch.tensor([of_student, of_student, of_fusion])
    torch.testing.assert_close(torch.tensor(outputs), expected, atol=1e-4, rtol=0)
