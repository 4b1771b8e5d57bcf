"""An hour and ten hours, streamed from disk: seconds of one core, and memory above that of the imports."""

from __future__ import annotations

from pathlib import Path

from .alternating import Turn, take_turns
from .estimators import hear_recording
from .models import exported, forward, saved, student
from .operations import count_operations, parameter_bytes
from .report import Result
from .settings import Settings
from .speech import SAMPLING_RATE, waveform, write_recording
from .workers import Workers


HOURS = {"1h": (3600, 3), "10h": (36000, 1)}  # duration in seconds, rounds
QUICK_HOURS = {"1h": (40, 1), "10h": (80, 1)}
OPTIONS = {
    "estimate": {},
    "curve": {"window_s": 4.0, "batch_size": 8},
    "curve_hop1s": {"window_s": 4.0, "hop_s": 1.0, "batch_size": 8},
}
OVERLAP = {"curve_hop1s": 4}  # each second is heard so often
EVERYWHERE = [("onnx", "estimate"), ("onnx", "curve")]
PIPELINE = [("pipeline", "estimate"), ("pipeline", "curve")]
MOST_S, MOST_MB, FLAT = 3.0, 400.0, 1.1


def run(settings: Settings, machine: dict) -> Result:
    """Rows `ROUTE_estimate_1h`, `ROUTE_curve_1h` and so on; every turn in a fresh process."""
    lengths = QUICK_HOURS if settings.quick else HOURS
    result = Result({"recordings_s": {name: s for name, (s, _) in lengths.items()}, "options": OPTIONS})
    result.settings["rounds"] = {name: rounds for name, (_, rounds) in lengths.items()}
    model = student()
    models = {
        "onnx": exported(model, settings.folder / "student.onnx"),
        "pipeline": saved(model, settings.folder / "student"),
    }
    per_second = count_operations(model, lambda: forward(model, waveform(settings.files, 10))) / 10
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
    if quick:
        return EVERYWHERE if length == "10h" else [*EVERYWHERE, PIPELINE[0]]
    return [*EVERYWHERE, *PIPELINE] if length == "10h" else [*EVERYWHERE, ("onnx", "curve_hop1s"), *PIPELINE]


def _fresh(settings: Settings, route: str, model: Path, recording: Path, options: dict):
    def turn() -> Turn:
        with Workers(hear_recording, settings.cores[:1], route, model, recording, options) as workers:
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
