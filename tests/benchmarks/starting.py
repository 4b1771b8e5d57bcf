"""Benchmarks `cold_start` (start of Python to the first result) and `export_size` (parameters and bytes)."""

import json
import subprocess
import sys
import time
from pathlib import Path

import soundfile

from .contenders import exported, student, student_files
from .machine import Settings
from .measuring import Turn, take_turns
from .report import Result
from .speech import SAMPLING_RATE, waveform


ROUNDS, QUICK_ROUNDS, CLIP_S, MOST_S = 11, 1, 5, 1.0
MOST_NANO_PARAMETERS, MOST_NANO_BYTES = 72_000, 100_000
# called with the paths of a model and of a clip; the parent reads the same clock
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
CALL = "assert estimate(clip)['valence'] is not None"
ROUTES = {
    "python_alone": ("", "", ""),
    "onnxruntime_imports_alone": ("import numpy, onnxruntime, soundfile", "", ""),
    "onnx_light": ("from speech_affect_onnx import OnnxAffect", "estimate = OnnxAffect(model)", CALL),
    "pipeline": (
        "import speech_affect; from transformers import pipeline",
        "estimate = pipeline('speech-emotion-regression', model=model)",
        CALL,
    ),
}


def run_cold_start(settings: Settings, machine: dict) -> Result:
    """Rows `onnx_light` and `pipeline`, and what Python and the libraries need by themselves."""
    rounds = QUICK_ROUNDS if settings.quick else ROUNDS
    result = Result({"clip_s": CLIP_S, "rounds": rounds})
    clip = settings.folder / "clip.wav"
    soundfile.write(clip, waveform(settings.files, CLIP_S), SAMPLING_RATE)
    _, models = student_files(settings.folder)
    contenders = {name: _starting(name, models.get(name, models["onnx"]), clip) for name in ROUTES}
    if not settings.quick:
        take_turns(contenders, 1)  # files are read from disk once
    turns = take_turns(contenders, rounds)
    result.add_turns(turns)
    for name in turns:
        alone = "python_alone" if name == "python_alone" else "onnxruntime_imports_alone"
        least = result.rows[alone]["seconds"]["median"]
        times = result.rows[name]["seconds"]["median"] / least
        result.rows[name]["floor"] = {"floor_s": least, "bound_by": f"row {alone}", "times_floor": times}
    result.add_ratio(turns, "pipeline", "onnx_light")
    light = result.rows["onnx_light"]["seconds"]["median"]
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


def run_export_size(settings: Settings, machine: dict) -> Result:
    """Rows `student_fp32`, `student_int8`, `nano_fp32` and `nano_int8`, without times."""
    result = Result({})
    for name in ("student", "nano"):
        model = student(nano=name == "nano")
        parameters = sum(parameter.numel() for parameter in model.parameters())
        for precision, width in (("fp32", 4), ("int8", 1)):
            suffix = "_int8" if precision == "int8" else ""
            path = exported(model, settings.folder / f"{name}{suffix}.onnx", int8=precision == "int8")
            size = path.stat().st_size
            result.rows[f"{name}_{precision}"] = {
                "parameters": parameters,
                "bytes": size,
                "least_bytes": parameters * width,  # of the weights alone
                "times_least": size / (parameters * width),
            }
    nano = result.rows["nano_int8"]
    result.add_target("nano_parameters", "nano: parameters", nano["parameters"], at_most=MOST_NANO_PARAMETERS)
    result.add_target("nano_bytes", "nano in int8: bytes", nano["bytes"], at_most=MOST_NANO_BYTES)
    return result
