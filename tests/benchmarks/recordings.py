"""Benchmarks `folder` (many clips on disk) and `long_audio` (an hour and ten hours, streamed from disk)."""

from contextlib import ExitStack
from pathlib import Path

import numpy as np
import torch

from .contenders import student_files
from .estimators import estimate_files, estimate_recording
from .machine import Settings, count_operations, parameter_bytes
from .measuring import Turn, Workers, summary, take_turns
from .report import Result
from .speech import SAMPLING_RATE, read_clip, waveform, write_recording


FOLDER_ROUNDS, QUICK_FILES = 7, 4
BATCH_SIZES = (1, 8)
PROCESSES = {1: "1_process", 2: "2_processes"}
HOURS = {"1h": (3600, 3), "10h": (36000, 1)}  # duration in seconds, rounds
QUICK_HOURS = {"1h": (20, 1), "10h": (40, 1)}
OPTIONS = {
    "estimate": {},
    "curve": {"window_s": 4.0, "batch_size": 8},
    "curve_hop1s": {"window_s": 4.0, "hop_s": 1.0, "batch_size": 8},
}
OVERLAP = {"curve_hop1s": 4}  # how often each second passes through the model
ONNX = [("onnx", "estimate"), ("onnx", "curve")]
PIPELINE = [("pipeline", "estimate"), ("pipeline", "curve")]
MOST_S, MOST_MB, FLAT = 3.0, 400.0, 1.1


def run_folder(settings: Settings, machine: dict) -> Result:
    """Rows `onnx_batch1_1_process`, `pipeline_batch8_2_processes` and so on."""
    files = settings.files[:QUICK_FILES] if settings.quick else settings.files
    audio_s = sum(len(read_clip(path)) for path in files) / SAMPLING_RATE
    result = Result({"files": len(files), "audio_s": audio_s, "rounds": settings.rounds(FOLDER_ROUNDS)})
    model, models = student_files(settings.folder)
    with ExitStack() as stack:
        contenders = {}
        for count, words in PROCESSES.items():
            if count > len(settings.cores[: 1 if settings.quick else None]):
                result.add_missing(f"onnx_batch1_{words}", f"needs {count} cores")
                continue
            group = stack.enter_context(Workers(estimate_files, settings.cores[:count], models, BATCH_SIZES, files))
            contenders |= {f"{name}_{words}": group.contender(name) for name in group.names}
        turns = take_turns(contenders, settings.rounds(FOLDER_ROUNDS))
    result.add_turns(turns)
    waveforms = [torch.from_numpy(read_clip(path))[None] for path in files]
    operations = count_operations(lambda: [model(input_values=waveform) for waveform in waveforms])
    num_bytes = parameter_bytes(model) + 2 * SAMPLING_RATE * audio_s  # the files have 16 bits
    for label, values in turns.items():
        seconds = np.array([turn["seconds"] for turn in values])
        result.rows[label]["files_per_s"] = summary((len(files) / seconds).tolist())
        result.rows[label]["audio_s_per_s"] = summary((audio_s / seconds).tolist())
        share = 2 if label.endswith(PROCESSES[2]) else 1
        result.add_floor(label, operations / share, num_bytes / share, machine)
    for name in (f"{route}_batch{size}" for route in models for size in BATCH_SIZES):
        result.add_ratio(turns, f"{name}_1_process", f"{name}_2_processes")
    result.add_ratio(turns, "pipeline_batch1_1_process", "onnx_batch1_1_process")
    return result


def run_long_audio(settings: Settings, machine: dict) -> Result:
    """Rows `ROUTE_estimate_1h`, `ROUTE_curve_10h` and so on; every turn in a fresh process."""
    lengths = QUICK_HOURS if settings.quick else HOURS
    result = Result({"recordings_s": {name: s for name, (s, _) in lengths.items()}, "options": OPTIONS})
    result.settings["rounds"] = {name: rounds for name, (_, rounds) in lengths.items()}
    model, models = student_files(settings.folder)
    per_second = count_operations(lambda: model(torch.from_numpy(waveform(settings.files, 10))[None])) / 10
    for name, (duration_s, rounds) in lengths.items():
        recording = write_recording(settings.folder / f"{name}.wav", settings.files, duration_s)
        contenders = {
            f"{route}_{curve}_{name}": _fresh(settings, route, models[route], recording, OPTIONS[curve])
            for route, curve in _cases(name, settings.quick)
        }
        turns = take_turns(contenders, rounds)
        recording.unlink()
        result.add_turns(turns)
        for label in turns:
            operations = per_second * duration_s * OVERLAP.get(label.split("_", 1)[1].rsplit("_", 1)[0], 1)
            num_bytes = parameter_bytes(model) + 2 * SAMPLING_RATE * duration_s
            result.add_floor(label, operations, num_bytes, machine, "cpu_seconds")
    _add_targets(result)
    return result


def _cases(length: str, quick: bool) -> list[tuple[str, str]]:
    if quick:  # a process of each takes seconds, and `folder` has the pipeline too
        return ONNX
    return [*ONNX, *PIPELINE] if length == "10h" else [*ONNX, ("onnx", "curve_hop1s"), *PIPELINE]


def _fresh(settings: Settings, route: str, model: Path, recording: Path, options: dict):
    def turn() -> Turn:
        with Workers(estimate_recording, settings.cores[:1], route, model, recording, options) as workers:
            return workers.contender("turn")()

    return turn


def _add_targets(result: Result) -> None:
    for name in ("estimate", "curve"):
        hour, ten = result.rows[f"onnx_{name}_1h"], result.rows[f"onnx_{name}_10h"]
        seconds, megabytes = (hour[quantity]["median"] for quantity in ("cpu_seconds", "peak_mb_above_import"))
        result.add_target(f"hour_{name}_s", f"1 h, {name}: seconds of one core", seconds, at_most=MOST_S)
        result.add_target(f"hour_{name}_mb", f"1 h, {name}: MB above import", megabytes, at_most=MOST_MB)
        times = ten["peak_mb_above_import"]["median"] / megabytes
        result.add_target(f"flat_{name}", f"{name}: memory of 10 h to that of 1 h", times, at_most=FLAT)
