"""How the weights of an encoder are trained: which layers, how fast, or low-rank changes of them (LoRA)."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal, get_type_hints

from .checks import check_mapping, did_you_mean


@dataclass(frozen=True)
class Lora:
    """Low-rank matrices beside those of linear layers, merged into them at the end (Hu et al. 2021).

    Args:
        r: Their rank, at least 1.
        alpha: Their product is multiplied by alpha / r.
        targets: Names of the linear layers, such as `q_proj`.
    """

    r: int = 8
    alpha: float = 16.0
    targets: tuple[str, ...] = ("q_proj", "v_proj")

    def __post_init__(self):
        object.__setattr__(self, "targets", tuple(self.targets))  # YAML has lists
        if self.r < 1 or not 0 < self.alpha < math.inf or not self.targets:
            raise ValueError(f"{self} is not allowed; give r of 1 or more, alpha above 0 and targets")


@dataclass(frozen=True)
class EncoderTraining:
    """What is trained of an encoder, beside the head; without LayerDrop and SpecAugment of its own.

    Args:
        layers: `all`, with what comes before and after them, or the last n of those that a branch reads, and no more.
        convolutions: Also the first convolutions over the waveform or spectrum; only with all layers.
        learning_rate: Greater than 0; that of the head is the system's.
        layer_decay: In (0, 1], the factor by which each layer learns slower than the next.
        lora: Train low-rank changes of these layers alone.
    """

    layers: int | Literal["all"] = "all"
    convolutions: bool = False
    learning_rate: float = 1e-5
    layer_decay: float = 1.0
    lora: Lora | None = None

    def __post_init__(self):
        if self.layers != "all" and self.layers < 1:
            raise ValueError(f"layers is {self.layers}; give all, or the last 1 or more")
        if self.convolutions and (self.layers != "all" or self.lora):
            raise ValueError("convolutions are trained with all layers alone, without lora; leave them out")
        if not 0 < self.learning_rate < math.inf:
            raise ValueError(f"learning_rate is {self.learning_rate}; give a finite number above 0")
        if not 0 < self.layer_decay <= 1:
            raise ValueError(f"layer_decay is {self.layer_decay}; give a number above 0, up to 1")


def read_encoder_training(place: str, given: dict, read: list[str]) -> dict[str, EncoderTraining]:
    """Check what a system trains of the encoders that its branches read; messages begin with the place.

    Raises:
        ValueError: A setting does not exist or is not allowed, or an encoder is none of those.
    """
    trained = {}
    for name, settings in given.items():
        if name not in read:
            known = ", ".join(read) or "none"
            raise ValueError(f"{place} names {name!r}; encoders of its branches are {known}{did_you_mean(name, read)}")
        entry = f"{name!r} in {place}"
        check_mapping(entry, settings, get_type_hints(EncoderTraining) | {"lora": dict | None})
        lora = settings.get("lora")
        if lora is not None:
            check_mapping(f"lora of {entry}", lora, get_type_hints(Lora) | {"targets": list[str]})
        try:
            trained[name] = EncoderTraining(**settings | {"lora": None if lora is None else Lora(**lora)})
        except ValueError as error:
            raise ValueError(f"{entry}: {error}") from error
    return trained
