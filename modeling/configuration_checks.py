"""Bounds and types of what a configuration may say, checked before anything is built from it."""

from __future__ import annotations

import re
import sys
from collections.abc import Mapping
from numbers import Real

import torch
from transformers.configuration_utils import PreTrainedConfig


def is_number(value) -> bool:
    """Whether a value is a finite number, which a float can hold, and no truth value."""
    return isinstance(value, Real) and not isinstance(value, bool) and abs(value) <= sys.float_info.max


def are_numbers(values, count: int) -> bool:
    """Whether a value is a list or tuple of so many finite numbers."""
    return isinstance(values, (list, tuple)) and len(values) == count and all(map(is_number, values))


def check_whole_numbers(config, limits: Mapping[str, int]) -> None:
    """
    Check that fields are whole numbers from 1 to their limits.

    Raises:
        ValueError: names the field, its value, and what is allowed.
    """
    for name, limit in limits.items():
        value = getattr(config, name)
        if not isinstance(value, int) or isinstance(value, bool) or not 1 <= value <= limit:
            raise ValueError(f"{name} is {value!r:.200}; give a whole number from 1 to {limit}")


def check_numbers(config, names, low: float, high: float, allowed: str) -> None:
    """
    Check that fields are numbers in [low, high).

    Raises:
        ValueError: names the field, its value, and what is `allowed`.
    """
    for name in names:
        value = getattr(config, name)
        if not is_number(value) or not low <= value < high:
            raise ValueError(f"{name} is {value!r:.200}; it must be {allowed}")


def check_flags(config, names) -> None:
    """
    Check that fields are true or false.

    Raises:
        ValueError: names the field and its value.
    """
    for name in names:
        if not isinstance(getattr(config, name), bool):
            raise ValueError(f"{name} is {getattr(config, name)!r:.200}; give true or false")


# far beyond any head that was ever of use; what they come to together is checked as weights (`MOST_WEIGHTS`)
HEAD_LIMITS = {
    "conv_channels": 8192,
    "gru_hidden_size": 8192,
    "num_gru_layers": 32,
    "embedding_size": 8192,
    "mask_time_length": 100_000,
    "mask_feature_length": 100_000,
}
BRANCH_LIMITS = {"num_mel_bins": 1024, "conv_kernel_size": 1024, "conv_stride": 1024}
LONGEST_WINDOW_S = 1.0
MOST_BRANCHES = 64
MOST_CLASSES = 1000
# of an encoder: a vocabulary has up to 2**18 tokens, and everything else is less
LARGEST_NUMBER = 2**24
# what a Python loop builds one by one, whether or not it takes memory
MOST_LAYERS = 1024
_COUNTS_MODULES = re.compile("layer|block|depth|group")
_SIZES = ("hidden_size", "num_hidden_layers", "num_attention_heads", "intermediate_size")


def check_dtype(dtype) -> None:
    """
    Check that a dtype is one, or the name of one: transformers would take any name in torch.

    Raises:
        ValueError: it is neither.
    """
    named = getattr(torch, dtype, None) if isinstance(dtype, str) else dtype
    if dtype is not None and not isinstance(named, torch.dtype):
        raise ValueError(f"dtype is {dtype!r:.200}; give the name of one of torch, such as 'float32'")


def check_backbone(backbone: dict | PreTrainedConfig | None) -> None:
    """
    Check what is said of an encoder, before a configuration of transformers is made of it: that alone can take
    memory without end, such as for the names of a billion labels.

    Raises:
        ValueError: names the setting, its value, and the most that is allowed.
    """
    if backbone is None:
        return
    if not isinstance(backbone, (dict, PreTrainedConfig)):
        raise ValueError(f"backbone is {backbone!r:.200}; give the configuration of an encoder of transformers")
    settings = backbone if isinstance(backbone, dict) else backbone.to_dict()
    for name in _SIZES:
        value = settings.get(name)
        if isinstance(value, int) and value < 1:
            raise ValueError(f"{name} of an encoder's backbone is {value!s:.50}; it must be at least 1")
    for name in ("dtype", "torch_dtype"):
        check_dtype(settings.get(name))
    _check_values("backbone", settings)


def _check_values(name: str, value) -> None:
    if isinstance(value, dict):
        for key, entry in value.items():
            _check_values(str(key), entry)
    elif isinstance(value, (list, tuple)):
        if len(value) > MOST_LAYERS:
            raise ValueError(
                f"{name:.100} of an encoder's backbone has {len(value)} values; give {MOST_LAYERS} at most"
            )
        for entry in value:
            _check_values(name, entry)
    elif isinstance(value, int):
        limit = MOST_LAYERS if _COUNTS_MODULES.search(name) else LARGEST_NUMBER
        if abs(value) > limit:
            raise ValueError(f"{name:.100} of an encoder's backbone is {value!s:.50}; give {limit} at most")
