"""Models that come with the package are found in a checkout and in an installed wheel."""

import json
import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch

import speech_affect
from speech_affect import AffectFeatureExtractor, AffectStudentConfig, AffectStudentModel, released
from speech_affect.onnx import OnnxAffect
from speech_affect.onnx.export import export_onnx

from .conftest import SIZES, talk
from .onnx.test_distribution import ROOT, build


NAMES = ("student", "student_nano")
FILES = {"README.md", "config.json", "model.safetensors", "model_int8.onnx", "model_int8_streaming.onnx"}
FILES |= {"preprocessor_config.json"}
RUN = """
import json, sys
import numpy as np
sys.path.insert(0, sys.argv[1])
import speech_affect
from transformers import pipeline
from speech_affect.onnx import OnnxAffect
clip, results = np.load(sys.argv[2]), []
for name in sys.argv[3:]:
    folder = speech_affect.released(name)
    estimates = pipeline("speech-emotion-regression", model=folder), OnnxAffect(folder / "model_int8.onnx")
    results += [str(folder), *(estimate(clip) for estimate in estimates)]
from speech_affect.cli.serve import PAGE
print(json.dumps([str(PAGE), *results]))
"""


@pytest.fixture(scope="module")
def checkout(tmp_path_factory) -> Path:
    """What a build reads, with two tiny models beside the cards of others."""
    root = tmp_path_factory.mktemp("released") / "checkout"
    ignored = shutil.ignore_patterns("__pycache__", "*.egg-info")
    for room in ("modeling", "training", "space"):
        shutil.copytree(ROOT / room, root / room, ignore=ignored)
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, root)
    cards = root / "model_cards"
    for seed, name in enumerate(NAMES):
        torch.manual_seed(seed)
        model = AffectStudentModel(AffectStudentConfig(**SIZES, branch={"normalization": "running"})).eval()
        model.save_pretrained(cards / name)
        AffectFeatureExtractor().save_pretrained(cards / name)
        export_onnx(model, cards / name / "model_int8.onnx", int8=True)
        (cards / name / "README.md").write_text(f"# {name}\n")
    for other in ("README.md", "emodb/fusion.md", "results/emodb/results.json"):
        (cards / other).parent.mkdir(parents=True, exist_ok=True)
        (cards / other).write_text("{}")
    return root


@pytest.fixture
def in_checkout(checkout, monkeypatch):
    monkeypatch.setattr(speech_affect, "__file__", str(checkout / "modeling" / "__init__.py"))
    return checkout / "model_cards"


def test_a_checkout_has_them_beside_the_cards(in_checkout):
    for name in NAMES:
        assert released(name) == in_checkout / name
        assert AffectStudentModel.from_pretrained(released(name)).config.branch.normalization == "running"


@pytest.mark.parametrize("name", ["teacher", "", "emodb", "../model_cards/student", None, ["student"]])
def test_names_that_there_are_not(in_checkout, name):
    with pytest.raises(
        ValueError, match=r"there is no released model .*; those that are installed: student, student_nano$"
    ):
        released(name)


def test_an_installation_without_any(tmp_path, monkeypatch):
    monkeypatch.setattr(speech_affect, "__file__", str(tmp_path / "speech_affect" / "__init__.py"))
    (tmp_path / "model_cards" / "student").mkdir(parents=True)
    (tmp_path / "model_cards" / "student" / "model.safetensors").touch()  # of another package
    with pytest.raises(ValueError, match="no released model 'student'; those that are installed: none$"):
        released("student")


def test_the_wheel_holds_them_and_finds_them(checkout, tmp_path):
    wheel, source = build(checkout, "wheel", "sdist")
    contents = zipfile.ZipFile(wheel).namelist()
    held = {f"speech_affect/checkpoints/{name}/{file}" for name in NAMES for file in FILES}
    assert {name for name in contents if "checkpoints" in name or "model_cards" in name} == held
    page = {str(path.relative_to(checkout)) for path in (checkout / "space").rglob("*") if path.is_file()}
    page -= {"space/README.md", "space/requirements.txt"}
    assert {name.removeprefix("speech_affect/") for name in contents if "/space/" in name} == page
    with tarfile.open(source) as archive:
        archived = {name.partition("/")[2] for name in archive.getnames()}
    assert {f"model_cards/{name}/{file}" for name in NAMES for file in FILES} <= archived
    zipfile.ZipFile(wheel).extractall(tmp_path / "site")
    clip = talk(1.3)
    np.save(tmp_path / "clip.npy", clip)
    command = [sys.executable, "-c", RUN, str(tmp_path / "site"), str(tmp_path / "clip.npy"), *NAMES]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    page, *results = json.loads(done.stdout)
    assert page == str(tmp_path / "site" / "speech_affect" / "space")
    for name, folder, in_torch, in_onnx in zip(NAMES, results[::3], results[1::3], results[2::3], strict=True):
        assert Path(folder) == tmp_path / "site" / "speech_affect" / "checkpoints" / name
        assert in_onnx == OnnxAffect(checkout / "model_cards" / name / "model_int8.onnx")(clip)
        assert in_torch["valence"] == pytest.approx(in_onnx["valence"], abs=0.1)
    assert results[1] != results[4]
