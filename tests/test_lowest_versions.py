"""Pins of the lowest versions, as the environment that tries them is made."""

import re
import subprocess
import sys
from pathlib import Path

import pytest


SCRIPT = Path(__file__).with_name("lowest_versions.py")
PROJECT = {
    "name": "speech-affect",
    "dependencies": ["torch>=2.11,<2.15", "numpy>=1.26"],
    "optional-dependencies": {
        "train": ["vaderSentiment==3.3.2", "numpy>=1.26"],
        "onnx": ["onnxruntime~=1.20", "tomli>=2.0 ; python_version < '3.11'"],
        "dev": ["speech-affect[onnx]", "pytest"],
    },
}


@pytest.fixture
def lowest_pins(monkeypatch):
    monkeypatch.syspath_prepend(str(SCRIPT.parent))
    from lowest_versions import lowest_pins

    return lowest_pins


def test_pins_of_a_project(lowest_pins):
    assert lowest_pins(PROJECT, []) == ["torch==2.11", "numpy==1.26"]
    assert lowest_pins(PROJECT, ["train"]) == ["torch==2.11", "numpy==1.26", "vaderSentiment==3.3.2"]
    assert lowest_pins(PROJECT, ["onnx"])[2:] == ["onnxruntime==1.20", 'tomli==2.0 ; python_version < "3.11"']


def test_what_cannot_be_pinned(lowest_pins):
    with pytest.raises(ValueError, match="no extra moon in pyproject.toml; it has dev, onnx, train"):
        lowest_pins(PROJECT, ["moon"])
    with pytest.raises(ValueError, match="pytest names 0 lowest versions; write one, as in name>=1.2,<3"):
        lowest_pins(PROJECT, ["dev"])


def test_every_requirement_of_this_package_has_a_lowest_version():
    done = subprocess.run([sys.executable, SCRIPT, "train", "dev"], capture_output=True, text=True, check=True)
    pins = done.stdout.splitlines()
    assert len(pins) > 25 and len(set(pins)) == len(pins)
    assert all(re.fullmatch(r"[A-Za-z0-9-]+==[0-9.]+", pin) for pin in pins)
    names = {pin.split("==")[0] for pin in pins}
    assert {"torch", "transformers", "datasets", "onnxruntime", "gradio", "pytest"} <= names
    done = subprocess.run([sys.executable, SCRIPT, "moon"], capture_output=True, text=True)
    assert done.returncode == 1 and "no extra moon" in done.stderr
