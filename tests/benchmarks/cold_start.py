"""From the start of Python to the first result: import, load and first call of each route."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
import time
from pathlib import Path

import soundfile

from .alternating import Turn, take_turns
from .models import exported, saved, student
from .report import Result
from .settings import Settings
from .speech import SAMPLING_RATE, waveform


ROUNDS, QUICK_ROUNDS, CLIP_S, MOST_S = 11, 1, 5, 1.0
LIGHT = "speech_affect_onnx"
# each gets the model's path and the clip's; the clock is the one that the parent reads
SCRIPT = """
import json, sys, time
model, clip = sys.argv[1:]
started = time.monotonic()
{imports}
imported = time.monotonic()
{load}
loaded = time.monotonic()
{call}
ended = time.monotonic()
print(json.dumps([started, imported, loaded, ended]))
"""
ONNX_LOAD = "estimate = OnnxAffect(model)"
CALL = "assert estimate(clip)['valence'] is not None"
ROUTES = {
    "python_alone": ("", "", ""),
    "onnxruntime_imports_alone": ("import numpy, onnxruntime, soundfile", "", ""),
    "onnx_light": (f"from {LIGHT} import OnnxAffect", ONNX_LOAD, CALL),
    "pipeline": (
        "import speech_affect; from transformers import pipeline",
        "estimate = pipeline('speech-emotion-regression', model=model)",
        CALL,
    ),
}


def run(settings: Settings, machine: dict) -> Result:
    """Rows `onnx_light`, `pipeline` ..., and what Python and the libraries underneath need by themselves."""
    rounds = QUICK_ROUNDS if settings.quick else ROUNDS
    result = Result({"clip_s": CLIP_S, "rounds": rounds})
    clip = settings.folder / "clip.wav"
    soundfile.write(clip, waveform(settings.files, CLIP_S), SAMPLING_RATE)
    model = student()
    folder = saved(model, settings.folder / "student")
    model_file = exported(model, settings.folder / "student.onnx")
    contenders = {}
    for name in ROUTES:
        if name == "onnx_light" and importlib.util.find_spec(LIGHT) is None:
            result.add_missing(name, f"this version has no {LIGHT}")
            continue
        contenders[name] = _starting(name, folder if name == "pipeline" else model_file, clip)
    if not settings.quick:
        take_turns(contenders, 1)  # files are read from disk once
    turns = take_turns(contenders, rounds)
    result.add_turns(turns)
    for name in turns:
        # what cannot be avoided is no operation nor byte of ours, but the interpreter and the libraries
        alone = "python_alone" if name == "python_alone" else "onnxruntime_imports_alone"
        least = result.rows[alone]["seconds"]["median"]
        times = result.rows[name]["seconds"]["median"] / least
        result.rows[name]["floor"] = {"floor_s": least, "bound_by": f"row {alone}", "times_floor": times}
    result.add_ratio(turns, "pipeline", "onnx_light")
    light = result.rows["onnx_light"].get("seconds", {}).get("median")
    result.add_target("cold_start_s", "ONNX route: start to first result, seconds", light, at_most=MOST_S)
    return result


def _starting(name: str, model: Path, clip: Path):
    imports, load, call = ROUTES[name]
    script = SCRIPT.format(imports=imports, load=load, call=call)

    def turn() -> Turn:
        spawned = time.monotonic()
        command = [sys.executable, "-c", script, str(model), str(clip)]
        done = subprocess.run(command, capture_output=True, text=True, cwd=model.parent)
        if done.returncode:
            raise RuntimeError(f"{name} failed:\n{done.stderr}")
        started, imported, loaded, ended = json.loads(done.stdout.splitlines()[-1])
        return {
            "seconds": ended - spawned,
            "python_seconds": started - spawned,
            "import_seconds": imported - started,
            "load_seconds": loaded - imported,
            "first_call_seconds": ended - loaded,
        }

    return turn
