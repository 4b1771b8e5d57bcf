"""A checkpoint where nothing but torch, transformers and soundfile is installed.

Two steps, run by `.ci/run`: with the package installed,

    python tests/minimal_environment.py save FOLDER

writes a student and a fusion model there, with a clip and their outputs for it. Then, in an environment without it,

    python tests/minimal_environment.py load FOLDER

loads both by remote code, through the Auto classes and both pipelines, and compares. `tests/minimal_packages.py` makes
such an environment.
"""

import json
import sys
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import soundfile
import torch
from transformers import AutoModel, AutoProcessor, WhisperConfig, pipeline


RATE = 44100
DIMENSIONS = ("activation", "valence", "dominance")
ABSENT = ("speech_affect", "torchaudio", "torchcodec", "datasets", "evaluate", "accelerate", "onnxruntime", "scipy")
TOLERANCE = 1e-5


def tiny_models() -> dict:
    """A student, and a fusion of the filterbank with an untrained Whisper of three small layers."""
    from speech_affect import AffectFusionConfig, AffectFusionModel, AffectStudentConfig, AffectStudentModel

    backbone = WhisperConfig(d_model=32, encoder_layers=3, encoder_attention_heads=2, encoder_ffn_dim=64).to_dict()
    encoders = {"whisper": {"backbone": backbone, "pad_to_window": False}}
    branches = [{"source": "mfb"}, {"source": "whisper", "hidden_state": 2}]
    fusion = AffectFusionConfig(branches=branches, encoders=encoders, predict_uncertainty=True)
    return {"student": AffectStudentModel(AffectStudentConfig()), "fusion": AffectFusionModel(fusion)}


def save(folder: Path) -> None:
    from speech_affect import AffectFeatureExtractor, AffectProcessor

    torch.manual_seed(0)
    clip = 0.1 * np.random.default_rng(0).standard_normal((3 * RATE, 2)) * np.linspace(0, 1, 3 * RATE)[:, None]
    folder.mkdir(parents=True)
    soundfile.write(folder / "clip.ogg", clip, RATE)
    extractor, expected = AffectFeatureExtractor(), {}
    for kind, model in tiny_models().items():
        model.eval().save_pretrained(folder / kind)
        AffectProcessor(extractor).save_pretrained(folder / kind)
        with torch.inference_mode():
            expected[kind] = model(**extractor(folder / "clip.ogg", return_tensors="pt")).logits[0].tolist()
    (folder / "expected.json").write_text(json.dumps(expected))


def load(folder: Path) -> None:
    present = [name for name in ABSENT if find_spec(name)]
    if present:
        sys.exit(f"this environment is not minimal: it has {', '.join(present)}")
    clip = folder / "clip.ogg"
    for kind, expected in json.loads((folder / "expected.json").read_text()).items():
        path = str(folder / kind)
        model = AutoModel.from_pretrained(path, trust_remote_code=True).eval()
        processor = AutoProcessor.from_pretrained(path, trust_remote_code=True)
        inputs = processor(audio=clip, return_tensors="pt")
        with torch.inference_mode():
            compare(f"{kind}: AutoModel", model(**inputs).logits[0].tolist(), expected)
        stock = pipeline("audio-classification", model=path, trust_remote_code=True)
        scores = stock(inputs["input_values"][0].numpy())
        scores = {entry["label"]: entry["score"] for entry in scores}
        compare(f"{kind}: audio-classification", [scores[name] for name in DIMENSIONS], expected)
        estimate = pipeline("speech-emotion-regression", model=path, trust_remote_code=True)
        values = estimate(str(clip))
        compare(f"{kind}: speech-emotion-regression", [values[name] for name in DIMENSIONS], expected)
        curve = estimate(str(clip), window_s=1)
        if [window["end_s"] for window in curve] != [1.0, 2.0, 3.0]:
            sys.exit(f"{kind}: the curve's windows are {curve}")


def compare(what: str, values: list[float], expected: list[float]) -> None:
    difference = float(np.abs(np.subtract(values, expected)).max())
    if not difference <= TOLERANCE:
        sys.exit(f"{what} gives {values}; {expected} is right")
    print(f"{what}: {[round(value, 3) for value in values]}, difference {difference:.1e}")


if __name__ == "__main__":
    {"save": save, "load": load}[sys.argv[1]](Path(sys.argv[2]))
