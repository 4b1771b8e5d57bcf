"""A saved folder loads where this package is not installed: models, and the pipeline, which can be saved again."""

import importlib.util
import json
import os
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest
import torch

import speech_affect
from speech_affect import (
    AffectFeatureExtractor,
    AffectFusionConfig,
    AffectFusionModel,
    AffectProcessor,
    AffectStudentConfig,
    AffectStudentModel,
    SpeechEmotionRegressionPipeline,
)

from .conftest import WORDS_BRANCH


COMMIT = "c" * 40
NOT_INSTALLED = """
import json, sys

class NotInstalled:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] == "speech_affect":
            raise ModuleNotFoundError(name)

sys.meta_path.insert(0, NotInstalled())
import numpy as np
"""
MODEL = """
import torch
from transformers import AutoFeatureExtractor, AutoModel, AutoProcessor, AutoTokenizer

folder, wave = sys.argv[1], np.load(sys.argv[2], allow_pickle=False)
model = AutoModel.from_pretrained(folder, trust_remote_code=True).eval()
classes = (AutoProcessor, AutoFeatureExtractor, AutoTokenizer)
processor, extractor, tokenizer = (Auto.from_pretrained(folder, trust_remote_code=True) for Auto in classes)
tokens = tokenizer("they left", return_tensors="pt")
parts = {"input_ids": tokens["input_ids"], **extractor(wave, return_tensors="pt")}
whole = processor(audio=wave, text="they left", return_tensors="pt")
with torch.no_grad():
    print(json.dumps([model(**inputs).logits[0].tolist() for inputs in (whole, parts)]))
"""
PIPELINES = """
from transformers import pipeline

folder, again, wave = sys.argv[1:]
wave = np.load(wave, allow_pickle=False)
task = "speech-emotion-regression"
trusted = {"trust_remote_code": True, "device": "cpu"}
results = {}
first = pipeline(task, model=folder, **trusted)
results["folder"] = first(wave, window_s=32, scale="unit")
str(first.model.config)
first.save_pretrained(again)
results["saved again"] = pipeline(task, model=again, **trusted)(wave, window_s=32, scale="unit")
results["task from the folder"] = pipeline(model=again, **trusted)(wave, window_s=32, scale="unit")
results["hub"] = pipeline(task, model="someone/affect", **trusted)(wave, window_s=32, scale="unit")
stock = pipeline("audio-classification", model=folder, **trusted)
results["stock"] = {entry["label"]: entry["score"] for entry in stock(wave[:16000])}
print(json.dumps(results))
"""


class Hub(BaseHTTPRequestHandler):
    """As much of the Hub's API as loading a public model takes."""

    folder: Path

    def do_HEAD(self):
        self.do_GET()

    def do_GET(self):
        if self.path.startswith("/api/models/someone/affect"):
            files = [{"rfilename": path.name} for path in self.folder.iterdir()]
            return self._send(json.dumps({"id": "someone/affect", "sha": COMMIT, "siblings": files}).encode())
        path = self.folder / self.path.rpartition("/")[2]
        if not self.path.startswith("/someone/affect/resolve/") or not path.is_file():
            return self._send(b"", 404, {"X-Error-Code": "EntryNotFound"})
        return self._send(path.read_bytes(), headers={"ETag": f'"{path.name}"', "X-Repo-Commit": COMMIT})

    def _send(self, content: bytes, status: int = 200, headers: dict | None = None):
        self.send_response(status)
        for name, value in {**(headers or {}), "Content-Length": str(len(content))}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(content)

    def log_message(self, *_):
        pass


@pytest.fixture
def model():
    return AffectStudentModel(AffectStudentConfig(emotion_names=["anger", "joy"], predict_uncertainty=True)).eval()


@pytest.fixture
def hub(model, tmp_path):
    folder = tmp_path / "model"
    model.save_pretrained(folder)
    AffectFeatureExtractor().save_pretrained(folder)
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("OfThisModel", (Hub,), {"folder": folder}))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


def run(script: str, *arguments, folder, **environment):
    """What a script prints as JSON in its last line, run where this package is not installed."""
    command = [sys.executable, "-c", NOT_INSTALLED + script, *map(str, arguments)]
    environment = {**os.environ, "HF_MODULES_CACHE": str(folder / "modules"), **environment}
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, cwd=folder, env=environment)
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(done.stdout.splitlines()[-1])


@pytest.mark.parametrize("how", ["as one", "in parts"])
def test_a_fusion_with_text(how, tiny_backbone, words_encoder, tokenizer, tmp_path):
    whisper = {"backbone": tiny_backbone("whisper"), "pad_to_window": False}
    encoders = {"whisper": whisper, "words": words_encoder}
    branches = [{"source": "mfb_f0"}, {"source": "whisper", "hidden_state": 1}, WORDS_BRANCH]
    model = AffectFusionModel(AffectFusionConfig(branches=branches, encoders=encoders)).eval()
    model.save_pretrained(tmp_path / "model")
    processor = AffectProcessor(AffectFeatureExtractor(), tokenizer)
    for part in [processor] if how == "as one" else (processor.feature_extractor, tokenizer):
        part.save_pretrained(tmp_path / "model")
    wave = np.sin(np.arange(8000) / 20).astype("f4") / 2
    np.save(tmp_path / "wave.npy", wave)
    got = torch.tensor(run(MODEL, tmp_path / "model", tmp_path / "wave.npy", folder=tmp_path))
    expected = model(**processor(audio=wave, text="they left", return_tensors="pt")).logits
    torch.testing.assert_close(got, expected.detach().expand(2, -1), atol=1e-5, rtol=0)


def test_a_student_and_its_pipeline(model, hub, tmp_path):
    generator = np.random.default_rng(0)
    times = np.arange(16000 * 33) / 16000
    voice = 0.3 * np.sin(700 * times) * (np.sin(9 * times) > 0)
    wave = (voice + 0.01 * generator.standard_normal(len(times))).astype("f4")
    np.save(tmp_path / "wave.npy", wave)
    environment = {
        "HF_ENDPOINT": hub,
        "HF_HOME": str(tmp_path / "home"),
        "HF_HUB_OFFLINE": "0",
        "no_proxy": "127.0.0.1",
    }
    folders = (tmp_path / "model", tmp_path / "again", tmp_path / "wave.npy")
    results = run(PIPELINES, *folders, folder=tmp_path, **environment)
    expected = SpeechEmotionRegressionPipeline(model, device="cpu")(wave, window_s=32, scale="unit")
    assert [piece["end_s"] for piece in expected] == [32, 33]
    for way in ("folder", "saved again", "task from the folder", "hub"):
        for piece, got in zip(expected, results[way], strict=True):
            assert list(got) == list(piece), way
            for name, value in piece.items():
                assert got[name] == pytest.approx(value, abs=1e-5), (way, name)
    with torch.no_grad():
        logits = model(torch.from_numpy(wave[None, :16000])).logits[0].tolist()
    assert results["stock"] == pytest.approx(dict(zip(model.config.label2id, logits, strict=True)), abs=1e-5)
    names = {path.name for path in (tmp_path / "model").iterdir()}
    assert {path.name for path in (tmp_path / "again").iterdir() if path.name != "__pycache__"} == names
    for name in names:
        assert (tmp_path / "again" / name).read_bytes() == (tmp_path / "model" / name).read_bytes(), name


def test_under_another_name_the_package_would_be_a_second_copy():
    """In the repository's root, `import modeling` finds the folder."""
    spec = importlib.util.spec_from_file_location("modeling", speech_affect.__file__)
    with pytest.raises(ImportError, match="^import speech_affect, not modeling$"):
        spec.loader.exec_module(importlib.util.module_from_spec(spec))
