"""A folder of clips on disk: files, and seconds of audio, per second."""

from __future__ import annotations

from contextlib import ExitStack

import numpy as np
import torch

from .alternating import summary, take_turns
from .estimators import hear_files
from .models import exported, saved, student
from .operations import count_operations, parameter_bytes
from .report import Result
from .settings import Settings
from .speech import SAMPLING_RATE, read_clip
from .workers import Workers


ROUNDS, QUICK_FILES = 7, 4
BATCH_SIZES = (1, 8)
PROCESSES = {1: "1_process", 2: "2_processes"}


def run(settings: Settings, machine: dict) -> Result:
    """Rows `onnx_batch1_1_process`, `pipeline_batch8_2_processes` and so on."""
    files = settings.files[:QUICK_FILES] if settings.quick else settings.files
    audio_s = sum(len(read_clip(path)) for path in files) / SAMPLING_RATE
    result = Result({"files": len(files), "audio_s": audio_s, "rounds": settings.rounds(ROUNDS)})
    model = student()
    models = {
        "onnx": exported(model, settings.folder / "student.onnx"),
        "pipeline": saved(model, settings.folder / "student"),
    }
    with ExitStack() as stack:
        contenders = {}
        for count, words in PROCESSES.items():
            if count > len(settings.cores):
                result.add_missing(f"onnx_batch1_{words}", f"needs {count} cores")
                continue
            group = stack.enter_context(Workers(hear_files, settings.cores[:count], models, BATCH_SIZES, files))
            contenders |= {f"{name}_{words}": group.contender(name) for name in group.names}
        turns = take_turns(contenders, settings.rounds(ROUNDS))
    result.add_turns(turns)
    waveforms = [torch.from_numpy(read_clip(path))[None] for path in files]
    operations = count_operations(model, lambda: [model(input_values=waveform) for waveform in waveforms])
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
