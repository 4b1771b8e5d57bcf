"""The pipeline travels with the weights: to a folder or the Hub, and on from there, without this package."""

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

from speech_affect import (
    AffectFeatureExtractor,
    AffectStudentConfig,
    AffectStudentModel,
    SpeechEmotionRegressionPipeline,
)


COMMIT = "c" * 40
SCRIPT = """
import json, sys

class NotInstalled:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] == "speech_affect":
            raise ModuleNotFoundError(name)

sys.meta_path.insert(0, NotInstalled())
import numpy as np
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
scores = stock(wave[:16000], function_to_apply="none")  # given above, transformers 5.20 forgets it when called
results["stock"] = {entry["label"]: entry["score"] for entry in scores}
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


def test_without_the_package(model, hub, tmp_path):
    generator = np.random.default_rng(0)
    times = np.arange(16000 * 33) / 16000
    wave = (0.3 * np.sin(700 * times) * (np.sin(9 * times) > 0) + 0.01 * generator.standard_normal(len(times))).astype(
        "f4"
    )
    np.save(tmp_path / "wave.npy", wave)
    environment = {
        **os.environ,
        "HF_ENDPOINT": hub,
        "HF_HOME": str(tmp_path / "home"),
        "HF_MODULES_CACHE": str(tmp_path / "modules"),
        "HF_HUB_OFFLINE": "0",
        "no_proxy": "127.0.0.1",
    }
    command = [
        sys.executable,
        "-c",
        SCRIPT,
        str(tmp_path / "model"),
        str(tmp_path / "again"),
        str(tmp_path / "wave.npy"),
    ]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, cwd=tmp_path, env=environment)
    assert done.returncode == 0, done.stderr[-3000:]
    results = json.loads(done.stdout.splitlines()[-1])
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
