"""The GPU memory that a recipe's trained encoders take, worked out from copies of them with one and with two layers.

    python tests/benchmarks/finetuning.py --recipe finetune_w2v2 --seconds 11

On a CPU and without the encoders' weights. What autograd keeps of a second of audio is measured, in bfloat16 as on a
GPU: it grows linearly with layers and seconds. Weights are counted in float32, those trained four times: with their
gradients and the two averages of AdamW.
"""

import argparse
import copy
import sys
from dataclasses import replace
from pathlib import Path

import torch
from transformers import Wav2Vec2Config, WhisperConfig

from speech_affect import AffectEncoderConfig, AffectFusionModel
from speech_affect_training.jobs.job import Job
from speech_affect_training.jobs.trained_encoders import choose_weights
from speech_affect_training.settings.recipe import parse_arguments
from speech_affect_training.settings.systems import SystemSpec, build_config


# as their repositories on the Hub have them
LARGE = {"hidden_size": 1024, "num_attention_heads": 16, "intermediate_size": 4096, "num_hidden_layers": 24}
WIDE = {"d_model": 1280, "encoder_attention_heads": 20, "encoder_ffn_dim": 5120, "encoder_layers": 32}
STABLE = {"feat_extract_norm": "layer", "do_stable_layer_norm": True, "conv_bias": True}
CONFIGS = {
    "facebook/wav2vec2-large-robust": Wav2Vec2Config(**LARGE, **STABLE),
    "openai/whisper-large-v3": WhisperConfig(**WIDE, num_mel_bins=128),
    "openai/whisper-base": WhisperConfig(),
}


def shrunk(spec: SystemSpec, encoders: dict, layers: int) -> tuple[AffectFusionModel, int]:
    """Return a model with a copy of the encoder that has so many layers, and the number of layers that are read."""
    (name,) = spec.train_encoders
    whole = CONFIGS[encoders[name]["id"]]
    (state,) = {branch.get("hidden_state", "last") for branch in spec.branch_settings if branch["source"] == name}
    read = state if isinstance(state, int) else whole.num_hidden_layers
    small = copy.deepcopy(whole)
    small.num_hidden_layers = layers
    small.attention_dropout = 0.0  # for which a CPU keeps what a GPU does not
    branches = [{**b, "hidden_state": "last"} for b in spec.branch_settings if b["source"] == name]
    spec = replace(spec, branches=branches, augmented=False)
    encoder = AffectEncoderConfig(backbone=small, pad_to_window=encoders[name].get("pad_to_window", True))
    config = build_config(spec, {name: encoder}, {}, (1.0, 7.0), [], [])
    arguments = argparse.Namespace(device=torch.device("cpu"))
    job = Job(spec, 0, config, {}, {}, [], arguments, None, Path())
    model = job.new_model()
    job.add_front_end(model, job.trained_branches)
    choose_weights(job, model)
    return model.train(), read


def kept_bytes(model, seconds: float, checkpointing: bool) -> int:
    """Return how many bytes autograd keeps of a clip, weights apart."""
    if checkpointing:
        model.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": False})
    weights = {weight.untyped_storage().data_ptr() for weight in model.state_dict().values()}
    kept: dict[int, torch.UntypedStorage] = {}

    def pack(values: torch.Tensor) -> torch.Tensor:
        storage = values.untyped_storage()
        if storage.data_ptr() not in weights:
            kept[storage.data_ptr()] = storage
        return values

    audio = 0.1 * torch.randn(1, round(seconds * 16000))
    with torch.autograd.graph.saved_tensors_hooks(pack, lambda values: values), torch.autocast("cpu", torch.bfloat16):
        model(input_values=audio)
    return sum(storage.nbytes() for storage in kept.values())


def measure(spec: SystemSpec, encoders: dict, audio_s: float, checkpointing: bool) -> dict[str, float]:
    """Return megabytes of the weights, of what is kept of a batch with so much audio, and of both."""
    weights, kept, plain = [], [], []
    for layers in (1, 2):
        model, read = shrunk(spec, encoders, layers)
        parameters = list(model.parameters())
        weights.append(sum(weight.numel() * (16 if weight.requires_grad else 4) for weight in parameters))
        plain.append(kept_bytes(model, 2, False) - kept_bytes(model, 1, False))
        kept.append(_line([kept_bytes(model, seconds, checkpointing) for seconds in (1, 2)], audio_s))
    batch = _line(kept, read)
    if checkpointing:  # one layer at a time is computed again
        batch += (plain[1] - plain[0]) * audio_s
    total = _line(weights, read)
    return {"weights_mb": total / 1e6, "batch_mb": batch / 1e6, "sum_mb": (total + batch) / 1e6}


def _line(at_one_and_two: list[float], place: float) -> float:
    one, two = at_one_and_two
    return one + (two - one) * (place - 1)


def main(argv: list[str]) -> None:
    """Print a line for each system of a recipe that trains an encoder."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--recipe", required=True)
    parser.add_argument("--seconds", type=float, default=11.0, help="length of every clip of a batch")
    options = parser.parse_args(argv)
    run, training = parse_arguments(["--recipe", options.recipe, "--data_dir", "not_read", "--bf16", "false"])
    for spec in run.systems.values():
        if spec.train_encoders:
            checkpointing = spec.training.get("gradient_checkpointing", training.gradient_checkpointing)
            batch_size = spec.training.get("per_device_train_batch_size", training.per_device_train_batch_size)
            found = measure(spec, run.encoders, batch_size * options.seconds, checkpointing)
            parts = ", ".join(f"{name.removesuffix('_mb')} {value / 1e3:.1f} GB" for name, value in found.items())
            print(f"{spec.name}, {batch_size} clips of {options.seconds:g} s: {parts}")


if __name__ == "__main__":
    main(sys.argv[1:])
