"""From a Hub on this machine back to the same numbers, with this package and where it is not installed."""

import json
import subprocess
import sys

import pytest
import torch
from transformers import AutoConfig

from speech_affect import (
    AffectFeatureExtractor,
    AffectFusionConfig,
    AffectFusionModel,
    AffectStudentConfig,
    AffectStudentModel,
)
from speech_affect_training.hub.push import push_checkpoint


# pushes by the models' own methods, and reads what was pushed by ours; argv: a folder
INSTALLED = """
import sys
import speech_affect
from transformers import AutoFeatureExtractor, AutoModel, AutoModelForAudioClassification, pipeline

model, extractor = (auto.from_pretrained(sys.argv[1]) for auto in (AutoModel, AutoFeatureExtractor))
model.push_to_hub("alice/parts", private=True, revision="first", commit_message="On a branch")
model.push_to_hub("alice/parts")
extractor.push_to_hub("alice/parts")
whole = pipeline("speech-emotion-regression", model=model, feature_extractor=extractor)
whole.push_to_hub("alice/whole", private=True)
say("alice/whole", speech_affect.AffectStudentModel)
say("alice/fusion", speech_affect.AffectFusionModel)
estimate(pipeline("speech-emotion-regression", model="alice/whole", trust_remote_code=True))
"""

NOT_INSTALLED = """
import sys

class NotInstalled:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] == "speech_affect":
            raise ModuleNotFoundError(name)

sys.meta_path.insert(0, NotInstalled())
from transformers import AutoFeatureExtractor, AutoModel, pipeline

say("alice/fusion", trust_remote_code=True)
say("alice/parts", trust_remote_code=True, revision="first")
for name in ("alice/whole", "alice/fusion"):
    estimate(pipeline("speech-emotion-regression", model=name, trust_remote_code=True))
"""

COMMON = """
import json
import torch

time = torch.arange(16000)
wave = (torch.sin(time / 20) * torch.sin(time / 1500).clamp(min=0)).numpy() / 2  # comes and goes, as speech does
said = []

def say(name, kind=None, **trust):
    model = AutoModel.from_pretrained(name, **trust).eval()
    assert kind is None or type(model) is kind
    inputs = AutoFeatureExtractor.from_pretrained(name, **{**trust, "revision": "main"})(wave, return_tensors="pt")
    with torch.no_grad():
        said.append(model(**inputs).logits[0].tolist())

def estimate(pipe):
    values = pipe({"array": wave, "sampling_rate": 16000})
    said.append([values[name] for name in ("activation", "valence", "dominance")])
"""


@pytest.fixture
def folders(tiny_encoder, tmp_path):
    """A student and a fusion model, as folders, and what they say of a tone."""
    torch.manual_seed(0)
    encoders = {"whisper": {"backbone": AutoConfig.from_pretrained(tiny_encoder), "pad_to_window": False}}
    branches = [{"source": "mfb"}, {"source": "whisper", "hidden_state": 1}]
    models = {
        "student": AffectStudentModel(AffectStudentConfig(conv_channels=8, gru_hidden_size=8, embedding_size=8)),
        "fusion": AffectFusionModel(AffectFusionConfig(branches=branches, encoders=encoders, conv_channels=8)),
    }
    time = torch.arange(16000)
    wave = (torch.sin(time / 20) * torch.sin(time / 1500).clamp(min=0)).numpy() / 2
    made = {}
    for name, model in models.items():
        folder = tmp_path / name
        model.eval().save_pretrained(folder)
        AffectFeatureExtractor().save_pretrained(folder)
        with torch.no_grad():
            logits = model(**AffectFeatureExtractor()(wave, return_tensors="pt")).logits[0]
        made[name] = (folder, logits.tolist())
    return made


def run(script: str, folder, cwd) -> list[list[float]]:
    """What the script says, in a process of its own."""
    script = COMMON + script + "\nprint(json.dumps(said))"
    command = [sys.executable, "-c", script, str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, cwd=cwd)
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(done.stdout.splitlines()[-1])


def agree(said: list[list[float]], expected: list[list[float]]) -> None:
    torch.testing.assert_close(torch.tensor(said), torch.tensor(expected), atol=1e-4, rtol=0)


def test_pushed_and_loaded(hub, folders, tmp_path):
    (student, of_student), (fusion, of_fusion) = folders["student"], folders["fusion"]
    push_checkpoint(fusion, "alice/fusion")
    said = run(INSTALLED, student, tmp_path)
    agree(said, [of_student, of_fusion, of_student])
    parts, whole = hub.model("alice/parts"), hub.model("alice/whole")
    assert parts.messages[1:] == ["On a branch", "Upload model", "Upload feature extractor"] and parts.private
    assert {"config.json", "model.safetensors", "preprocessor_config.json", "README.md"} <= set(parts.files())
    code = {path.name for path in student.glob("*.py")}
    assert code and code <= set(parts.files()) and code <= set(whole.files())
    for files in (parts.files(), whole.files()):
        auto_map = json.loads(files["config.json"])["auto_map"]
        assert auto_map["AutoModel"] == "modeling_affect.AffectStudentModel"
        assert "AutoFeatureExtractor" in json.loads(files["preprocessor_config.json"])["auto_map"]
    said = run(NOT_INSTALLED, student, tmp_path)
    agree(said, [of_fusion, of_student, of_student, of_fusion])
