"""Benchmark `latency`: a waveform in memory to three numbers, by this package's routes and by other models."""

from collections.abc import Callable
from functools import partial

import numpy as np
import torch
from transformers.pipelines import pipeline

from speech_affect_onnx import OnnxAffect

from .contenders import (
    export_rival,
    exported,
    forward,
    hubert,
    one_thread_session,
    opensmile_call,
    student,
    teacher,
    wav2vec2,
)
from .machine import Settings, count_operations, parameter_bytes
from .measuring import take_turns, timed
from .report import Result
from .speech import waveform


ROUNDS = {1: 15, 3: 11, 10: 11, 60: 3}  # duration in seconds -> rounds
QUICK_DURATIONS = (10,)
LONGEST_TEACHER_S = 30  # limit of an exported model with an encoder
NOT_INSTALLED = "not installed: pip install opensmile"
STUDENTS = ("student_onnx", "student_onnx_session", "student_model", "student_pipeline")
NANOS = ("nano_onnx", "nano_int8_onnx")

Calls = dict[str, Callable[[np.ndarray], object]]


def run_latency(settings: Settings, machine: dict) -> Result:
    """Rows `NAME_10s` and so on, for every contender and duration."""
    rounds = {s: settings.rounds(ROUNDS[s]) for s in (QUICK_DURATIONS if settings.quick else ROUNDS)}
    result = Result({"durations_s": list(rounds), "rounds": {f"{s}s": n for s, n in rounds.items()}})
    models, calls = _contenders(settings)
    for duration_s, count in rounds.items():
        samples = waveform(settings.files, duration_s)
        _check(calls, samples)
        at_this = {n: c for n, c in calls.items() if n != "teacher_onnx" or duration_s <= LONGEST_TEACHER_S}
        turn_s = 0.0 if settings.quick else 0.2
        contenders = {f"{n}_{duration_s}s": timed(partial(c, samples), turn_s) for n, c in at_this.items()}
        turns = take_turns(contenders, count)
        result.add_turns(turns)
        if "egemaps" not in calls:
            result.add_missing(f"egemaps_{duration_s}s", NOT_INSTALLED)
        for name in at_this:
            if name in models:
                operations = count_operations(partial(models[name], torch.from_numpy(samples)[None]))
                num_bytes = parameter_bytes(models[name]) + samples.nbytes
                result.add_floor(f"{name}_{duration_s}s", operations, num_bytes, machine)
        _add_ratios(result, turns, f"{duration_s}s")
    _add_targets(result)
    return result


def _contenders(settings: Settings) -> tuple[dict[str, torch.nn.Module], Calls]:
    """By contender its model, to count operations, and its call."""
    ours, nano, fusion = student(), student(nano=True), teacher(settings.quick)
    large, larger = wav2vec2(settings.quick), hubert(settings.quick)
    files = {
        "student": exported(ours, settings.folder / "student.onnx"),
        "nano": exported(nano, settings.folder / "nano.onnx"),
        "nano_int8": exported(nano, settings.folder / "nano_int8.onnx", int8=True),
        "teacher": exported(fusion, settings.folder / "teacher.onnx"),
    }
    rival = one_thread_session(export_rival(large, settings.folder / "wav2vec2.onnx"))
    (settings.folder / "wav2vec2.onnx").unlink()
    bare = one_thread_session(files["student"])
    calls: Calls = {f"{name}_onnx": OnnxAffect(path) for name, path in files.items()}
    calls |= {
        "student_onnx_session": lambda samples: bare.run(
            ["logits"], {"input_values": samples[None], "num_samples": np.array([len(samples)])}
        ),
        "student_model": lambda samples: forward(ours, samples),
        "student_pipeline": pipeline("speech-emotion-regression", model=ours),
        "teacher_pipeline": pipeline("speech-emotion-regression", model=fusion),
        "wav2vec2_12_layers_onnx": lambda samples: rival.run(None, {"input_values": samples[None]}),
        "hubert_large_model": lambda samples: forward(larger, samples),
        **opensmile_call(),
    }
    models = {
        **dict.fromkeys(STUDENTS, ours),
        **dict.fromkeys(NANOS, nano),
        **dict.fromkeys(("teacher_onnx", "teacher_pipeline"), fusion),
        "wav2vec2_12_layers_onnx": large,
        "hubert_large_model": larger,
    }
    return models, calls


def _check(calls: Calls, samples: np.ndarray) -> None:
    """Routes of one model agree, and did not take the audio for silence, for which no model runs."""
    full, plain = calls["student_onnx"](samples), calls["student_pipeline"](samples)
    for dimension in ("activation", "valence", "dominance"):
        if full[dimension] is None or abs(full[dimension] - plain[dimension]) > 1e-3:
            raise RuntimeError(f"the routes differ: {full} by onnxruntime, {plain} by the pipeline")


def _add_ratios(result: Result, turns: dict, at: str) -> None:
    for rival in ("wav2vec2_12_layers_onnx", "hubert_large_model", "egemaps"):
        for ours in ("student_onnx", *NANOS):
            result.add_ratio(turns, f"{rival}_{at}", f"{ours}_{at}")
        # holds on a busy machine too
        result.add_ratio(turns, f"{rival}_{at}", f"student_onnx_{at}", "cpu_seconds")
    for slower in ("student_model", "student_pipeline", "teacher_onnx", "teacher_pipeline"):
        result.add_ratio(turns, f"{slower}_{at}", f"student_onnx_{at}")


def _add_targets(result: Result) -> None:
    for rival, words, least in (
        ("wav2vec2_12_layers_onnx", "wav2vec2-large (12 layers) in onnxruntime", 400),
        ("egemaps", "openSMILE eGeMAPSv02 functionals", 15),
    ):
        for ours in ("student_onnx", "nano_onnx"):
            name = f"{rival}_10s_over_{ours}_10s"
            what = f"{ours}: times as fast as {words}, 10 s"
            result.add_target(name, what, result.ratio_median(name), at_least=least)
