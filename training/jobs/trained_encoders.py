"""Encoders that a job trains: their place in its model, which of their weights learn how fast, and what is kept."""

from __future__ import annotations

import os
from collections.abc import Collection, Sequence
from pathlib import Path

import torch
from peft import LoraConfig, LoraModel
from safetensors.torch import save_model
from torch import nn
from torch.utils.data import DataLoader, Subset

from speech_affect.encoder import FreezableEncoder
from speech_affect.front_end import AffectFrontEnd

from ..frames.audio_dataset import AudioDataset
from ..frames.frame_dataset import collate_frames
from ..settings.encoder_training import EncoderTraining, Lora
from .data_splits import TRAIN
from .job import Job


# clips that mean and standard deviation of a trained encoder's first frames are taken of
SAMPLED_CLIPS = 64
# layers before all others, over the waveform or the spectrum
CONVOLUTIONS = ("feature_extractor.", "conv1.", "conv2.")


def add_encoders(job: Job, model) -> None:
    """Give a job's model the front end of the branches that it computes, with the run's encoders.

    Raises:
        ValueError: Weights are to be sharded by FSDP.
    """
    check_not_sharded(f"system {job.spec.name!r} trains encoders")
    job.add_front_end(model, job.computed_branches)
    for name, encoder in model.front_end.encoders.items():
        encoder.backbone.load_state_dict(job.audio.library.backbone(name).state_dict())


def check_not_sharded(place: str) -> None:
    """Raise a `ValueError` that begins with the place if weights are to be sharded by FSDP."""
    if os.environ.get("ACCELERATE_USE_FSDP") == "true":
        raise ValueError(f"{place}, which FSDP does not shard: give training/launch/ddp.yaml")


def standardise_computed(job: Job, model, names: Collection[str]) -> None:
    """Give the model mean and standard deviation of branches' first frames, over some of the training clips."""
    front_end = model.front_end.eval().to(job.arguments.device)
    given = [branch.name for branch in front_end.branches if branch.name not in names]
    statistics = frame_statistics(front_end, job.dataset(job.tables[TRAIN]), given) if names else {}
    for name, (mean, std) in statistics.items():
        model.regressor.set_frame_statistics(name, mean, std)


@torch.no_grad()
def frame_statistics(
    front_end: AffectFrontEnd, dataset: AudioDataset, given: Collection[str] = ()
) -> dict[str, tuple[torch.Tensor, torch.Tensor]]:
    """Return mean and standard deviation (width,) of the frames of each branch that is not given, over some clips."""
    device = next(front_end.parameters()).device
    rows = range(0, len(dataset), -(-len(dataset) // SAMPLED_CLIPS))
    sums: dict[str, list] = {b.name: [0, 0.0, 0.0] for b in front_end.branches if b.name not in given}
    for batch in DataLoader(Subset(dataset, rows), batch_size=8, collate_fn=collate_frames):
        inputs = [batch[name].to(device) for name in ("input_values", "attention_mask")]
        frames, masks = front_end(*inputs, given=given)
        for name, values in frames.items():
            valid = values[masks[name]].double()
            parts = (len(valid), valid.sum(dim=0), valid.square().sum(dim=0))
            sums[name] = [total + part for total, part in zip(sums[name], parts, strict=True)]
    found = {}
    for name, (count, total, squares) in sums.items():
        mean = total / count
        std = (squares / count - mean.square()).clamp(min=0).sqrt()
        found[name] = (mean.float(), std.float())
    return found


def choose_weights(job: Job, model) -> tuple[dict[str, float], list[LoraModel]]:
    """Freeze all weights of the job's encoders but those that it trains, adding LoRA's.

    Returns:
        Name of each trained weight in the model -> its learning rate; and the encoders that have LoRA, as peft's
        models, whose `merge_and_unload` adds it to their weights.

    Raises:
        ValueError: More layers than the encoder has, or LoRA's targets are none of its layers or not trained.
    """
    rates, with_lora = {}, []
    for name, training in job.spec.train_encoders.items():
        place = f"system {job.spec.name!r}, train_encoders: {name}"
        encoder = model.front_end.encoders[name]
        states = [branch.hidden_state for branch in job.config.branches if branch.source == name]
        chosen, adapted = _choose(place, encoder, training, states)
        with_lora += adapted
        prefix = f"front_end.encoders.{name}.backbone."
        rates |= {f"{prefix}{weight}": rate for weight, rate in chosen.items()}
    _freeze_unreached(job, model)
    return rates, with_lora


def _choose(place: str, encoder: FreezableEncoder, training: EncoderTraining, states: Sequence):
    """Make the chosen weights of an encoder trainable; return their learning rates, and peft's model if there is."""
    backbone = encoder.backbone
    path, layers = transformer_layers(backbone)
    read = max(state if isinstance(state, int) else len(layers) for state in states)
    count = read if training.layers == "all" else training.layers
    if count > read:
        raise ValueError(f"{place} has layers: {count}; its branches read {read} layers: give at most these, or all")
    encoder.freeze(False)
    first = {f"{path}.{index}.": read - 1 - index for index in range(read - count, read)}
    adapted = [_add_lora(place, backbone, training.lora, tuple(first))] if training.lora else []
    rates = {}
    for name, weight in backbone.named_parameters():
        distance = next((below for layer, below in first.items() if name.startswith(layer)), None)
        if distance is None and training.layers == "all" and not name.startswith(f"{path}."):
            distance = read if training.convolutions or not name.startswith(CONVOLUTIONS) else None
        weight.requires_grad_(weight.requires_grad and distance is not None)
        if weight.requires_grad:
            rates[name] = training.learning_rate * training.layer_decay**distance
    encoder.train(encoder.training)
    return rates, adapted


def transformer_layers(backbone: nn.Module) -> tuple[str, nn.ModuleList]:
    """Find the transformer's layers of an encoder, and the path to them."""
    found = [
        (name, module)
        for name, module in backbone.named_modules()
        if name.rpartition(".")[2] in ("layers", "layer")
        and isinstance(module, nn.ModuleList)
        and len(module) == backbone.config.num_hidden_layers
    ]
    if not found:
        raise ValueError(f"no layers are found in an encoder of the family {backbone.config.model_type!r}")
    return min(found, key=lambda pair: pair[0].count("."))


def _add_lora(place: str, backbone: nn.Module, lora: Lora, layers: tuple[str, ...]) -> LoraModel:
    linear = [name for name, module in backbone.named_modules() if isinstance(module, nn.Linear)]
    inside = [name for name in linear if name.startswith(layers)]
    targets = [name for name in inside if name.endswith(tuple(f".{target}" for target in lora.targets))]
    for target in lora.targets:
        if not any(name.endswith(f".{target}") for name in targets):
            known = ", ".join(sorted({name.rpartition(".")[2] for name in inside}))
            raise ValueError(f"{place} has lora with target {target!r}; its layers have {known}")
    return LoraModel(backbone, LoraConfig(r=lora.r, lora_alpha=lora.alpha, target_modules=targets), "default")


def _freeze_unreached(job: Job, model) -> None:
    """Freeze what no branch depends on.

    Raises:
        ValueError: Weights of LoRA are among it: some families read the weights of a linear layer, not its output.
    """
    front_end = model.front_end.eval().to(job.arguments.device)
    for name in freeze_unreached(front_end, set(job.computed_branches) - set(job.trained_branches)):
        if "lora_" in name:
            raise ValueError(
                f"system {job.spec.name!r}: lora does not reach {name.partition('.lora_')[0]}, whose encoder "
                "computes without this layer's output; give other targets"
            )


def freeze_unreached(front_end: AffectFrontEnd, given: Collection[str] = ()) -> list[str]:
    """Freeze the trained weights that no branch depends on but those given, such as layers above those read: processes
    would wait for their gradient. Returns their names.
    """
    device = next(front_end.parameters()).device
    noise = torch.randn((1, 16000), generator=torch.Generator().manual_seed(0)).to(device)
    frames, _ = front_end(0.1 * noise, given=given)
    total = sum(values.float().sum() for values in frames.values())
    if total.requires_grad:
        total.backward()
    unreached = []
    for name, weight in front_end.named_parameters():
        if weight.requires_grad and weight.grad is None:
            weight.requires_grad_(False)
            unreached.append(name)
        weight.grad = None
    return unreached


def save_encoders(job: Job, model, folder: Path) -> None:
    """Keep the weights of the encoders that a job has trained."""
    folder.mkdir(exist_ok=True)
    for name in job.spec.train_encoders:
        save_model(model.front_end.encoders[name].backbone, folder / f"{name}.safetensors")
