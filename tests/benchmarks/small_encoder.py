"""How much smaller and faster than its source a recipe's distilled encoder is, within the models that read them.

    python tests/benchmarks/small_encoder.py --recipe encoder_kd --systems encoder_teacher encoder_kd --seconds 10

Prints for each system the parameters that its encoder's frames are computed with, and the time of one core that the
exported model takes for a clip. Random weights change no time.
"""

import argparse
import statistics
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnxruntime
import torch
from transformers import WhisperConfig

from speech_affect import AffectEncoderConfig, AffectFusionModel
from speech_affect.encoder import build_backbone, truncate_layers
from speech_affect.onnx.export import export_onnx
from speech_affect_training.settings.distilled_encoder import fetched
from speech_affect_training.settings.recipe import parse_arguments
from speech_affect_training.settings.run_settings import RunSettings
from speech_affect_training.settings.systems import SystemSpec, build_config


# as their repositories on the Hub have them
CONFIGS = {
    "openai/whisper-base": {
        "d_model": 512,
        "encoder_layers": 6,
        "encoder_attention_heads": 8,
        "encoder_ffn_dim": 2048,
        "decoder_layers": 0,
    }
}


def fusion(run: RunSettings, spec: SystemSpec) -> tuple[AffectFusionModel, int]:
    """Return a system's model, and how many parameters the frames that it reads of its encoder are computed with."""
    (branch,) = [branch for branch in spec.branch_settings if branch["source"] in run.encoders]
    name, state = branch["source"], branch.get("hidden_state", "last")
    source = fetched(name, run.encoders)
    backbone = WhisperConfig(**CONFIGS[source["id"]] | run.encoders[name].get("config", {}))
    if isinstance(state, int):
        truncate_layers(backbone, state)
    encoder = AffectEncoderConfig(backbone=backbone, pad_to_window=source.get("pad_to_window", True))
    with torch.device("meta"):
        weights = build_backbone(backbone).named_parameters()
    unread = (f"layers.{state}.", "layer_norm.") if isinstance(state, int) else ()
    count = sum(weight.numel() for name, weight in weights if not name.startswith(unread))
    torch.manual_seed(0)
    spec = replace(spec, emotions=None, gender=False)
    return AffectFusionModel(build_config(spec, {name: encoder}, run.head, (1.0, 7.0), [], [])).eval(), count


def measure(paths: dict[str, Path], seconds: float, rounds: int) -> dict[str, float]:
    """Return the median seconds that one thread takes for a clip by each exported model, which take turns."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    sessions = {
        name: onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
        for name, path in paths.items()
    }
    samples = (0.1 * np.random.default_rng(0).standard_normal((1, round(16000 * seconds)))).astype(np.float32)
    inputs = {"input_values": samples, "num_samples": np.array([samples.shape[1]])}
    taken: dict[str, list[float]] = {name: [] for name in sessions}
    for turn in range(rounds + 1):
        for name, session in sessions.items():
            started = time.process_time()  # of a busy machine, where others take turns too
            session.run(None, inputs)
            taken[name] += [time.process_time() - started] if turn else []
    return {name: statistics.median(times) for name, times in taken.items()}


def main(argv: list[str]) -> None:
    """Print a line for each system."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--recipe", default="encoder_kd")
    parser.add_argument("--systems", nargs="+", default=["encoder_teacher", "encoder_kd"])
    parser.add_argument("--seconds", type=float, default=10.0, help="length of the clip")
    parser.add_argument("--rounds", type=int, default=9)
    options = parser.parse_args(argv)
    run, _ = parse_arguments(["--recipe", options.recipe, "--data_dir", "not_read", "--unlabelled_dir", "not_read"])
    models = {name: fusion(run, run.systems[name]) for name in options.systems}
    with tempfile.TemporaryDirectory() as folder:
        paths = {name: export_onnx(model, Path(folder) / f"{name}.onnx") for name, (model, _) in models.items()}
        times = measure(paths, options.seconds, options.rounds)
    first = options.systems[0]
    for name, (_, count) in models.items():
        share, faster = count / models[first][1], times[first] / times[name]
        print(
            f"{name}: {count / 1e6:.2f} M parameters ({share:.1%}), {times[name] * 1000:.0f} ms of one core for "
            f"{options.seconds:g} s ({faster:.1f} times as fast)"
        )


if __name__ == "__main__":
    main(sys.argv[1:])
