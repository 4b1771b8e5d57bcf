"""Checks of settings, before anything is built from them, and of checkpoints; errors say what is allowed."""

import json
import math
import re
import sys
from collections.abc import Iterable, Mapping
from numbers import Real
from pathlib import Path

import torch
from torch import nn
from transformers.configuration_utils import PreTrainedConfig
from transformers.utils import cached_file


# far beyond any head that was ever of use; what they come to together is bounded by `MAX_HEAD_WEIGHTS`
HEAD_LIMITS = {
    "conv_channels": 8192,
    "gru_hidden_size": 8192,
    "num_gru_layers": 32,
    "embedding_size": 8192,
    "mask_time_length": 100_000,
    "mask_feature_length": 100_000,
}
MAX_HEAD_WEIGHTS = 10**9
BRANCH_LIMITS = {"num_mel_bins": 1024, "conv_kernel_size": 1024, "conv_stride": 1024}
MAX_WINDOW_S = 1.0
MAX_BRANCHES = 64
MAX_CLASSES = 1000
# of an encoder: a vocabulary has up to 2**18 tokens, and every other number is smaller
MAX_ENCODER_NUMBER = 2**24
# what Python builds in a loop, whether or not it takes memory
MAX_ENCODER_LAYERS = 1024
_MODULE_COUNTS = re.compile("layer|block|depth|group")
_ENCODER_SIZES = ("hidden_size", "num_hidden_layers", "num_attention_heads", "intermediate_size")
# where a setting other than the checkpoint's own adds weights; a new encoder has to be given, or it would be random
ADDED_WEIGHTS = {
    "emotion_names": "regressor.emotion_output.",
    "gender_names": "regressor.gender_output.",
    "predict_uncertainty": "regressor.uncertainty_",
    "num_gru_layers": "regressor.tc_grus.",
    "fusion_level": "regressor.tc_grus.",
    "branches": "regressor.",
    "branch": "regressor.",
}


def is_number(value) -> bool:
    """Whether a value is a finite number, which a float can hold, and no truth value."""
    is_real = isinstance(value, Real) and not isinstance(value, bool)
    return is_real and abs(value) <= sys.float_info.max


def are_numbers(values, count: int) -> bool:
    """Whether a value is a list or tuple of so many finite numbers."""
    return isinstance(values, (list, tuple)) and len(values) == count and all(map(is_number, values))


def check_whole_numbers(config, limits: Mapping[str, int]) -> None:
    """Check that settings are whole numbers from 1 to their limits."""
    for name, limit in limits.items():
        value = getattr(config, name)
        if not isinstance(value, int) or isinstance(value, bool) or not 1 <= value <= limit:
            raise ValueError(f"{name} is {value!r:.200}; give a whole number from 1 to {limit}")


def check_numbers(config, names: Iterable[str], low: float, high: float, allowed: str) -> None:
    """Check that settings are numbers in [low, high); `allowed` describes that range."""
    for name in names:
        value = getattr(config, name)
        if not is_number(value) or not low <= value < high:
            raise ValueError(f"{name} is {value!r:.200}; it must be {allowed}")


def check_transformers_settings(config, others: dict, dimensions: tuple[str, ...]) -> None:
    """Check the settings that `PreTrainedConfig` takes without a check; `others` are those that are no fields."""
    names = ", ".join(dimensions)
    if others.get("num_labels", len(dimensions)) != len(dimensions):
        raise ValueError(f"num_labels is {others['num_labels']!r:.200}; the outputs are {names}: leave it out")
    weights = others.get("transformers_weights")
    if weights is not None and not str(weights).endswith(".safetensors"):
        raise ValueError(f"transformers_weights is {weights!r:.200}; name a safetensors file, or leave it out")
    for name in others:
        if callable(getattr(type(config), name, None)):
            raise ValueError(f"{name!r} is no setting of {config.model_type}: leave it out")
    if not isinstance(config.id2label or {}, dict):
        raise ValueError(f"id2label is {config.id2label!r:.200}; give a mapping of 0, 1, 2 to {names}")


def name_outputs(config, dimensions: tuple[str, ...]) -> None:
    """Name a model's outputs, which `PreTrainedConfig` would call LABEL_0 and LABEL_1."""
    if config.id2label is None:
        config.id2label = dict(enumerate(dimensions))
        config.label2id = {name: index for index, name in enumerate(dimensions)}
    config.problem_type = config.problem_type or "regression"


def check_labels(config, dimensions: tuple[str, ...]) -> None:
    """Check the scale and the names of the labels, and the weights of their losses."""
    low_high, weights = config.label_range, config.ccc_weights
    if not are_numbers(low_high, 2) or not 0 < low_high[1] - low_high[0] < math.inf:
        raise ValueError(f"label_range is {low_high}; it must be (lowest, highest), lowest first, both finite")
    if list((config.id2label or {}).values()) != list(dimensions):
        given = f"{config.id2label!s:.200}"
        raise ValueError(f"id2label is {given}; the outputs are {', '.join(dimensions)}, in this order")
    if not are_numbers(weights, len(dimensions)) or min(weights) < 0 or not 0 < sum(weights) < math.inf:
        raise ValueError(f"ccc_weights is {weights}; give one weight >= 0 for each of {dimensions}")


def check_second_tasks(config) -> None:
    """Check the classes of emotion and gender, and the weights of the second tasks' losses."""
    for setting in ("emotion_names", "gender_names"):
        names = getattr(config, setting)
        if names is None:
            continue
        texts = isinstance(names, (list, tuple)) and all(isinstance(text, str) and text for text in names)
        if not texts or len(names) > MAX_CLASSES:
            raise ValueError(f"{setting} is {names!s:.200}; give a list of up to {MAX_CLASSES} names")
        if len(set(names)) != len(names):
            raise ValueError(f"{setting} repeat: {names}; give each class once")
    weights = ("emotion_loss_weight", "gender_loss_weight", "uncertainty_loss_weight")
    check_numbers(config, weights, 0, math.inf, "finite and at least 0")
    if config.predict_uncertainty and not config.uncertainty_loss_weight:
        raise ValueError(
            "uncertainty_loss_weight is 0 with predict_uncertainty=True, which would leave the predicted standard "
            "deviations untrained; give a weight greater than 0, or predict_uncertainty=False"
        )


def check_head(config) -> None:
    """Check the sizes of the head, dropout and SpecAugment, and the sampling rate."""
    check_whole_numbers(config, HEAD_LIMITS)
    check_numbers(config, ("dropout", "mask_time_prob", "mask_feature_prob"), 0, 1, "in [0, 1)")
    if config.sampling_rate != 16000:
        raise ValueError(f"sampling_rate is {config.sampling_rate}; the models take audio at 16000 Hz")


def check_head_size(config) -> None:
    """Check how many weights the TC-GRUs have together, once branches and encoders are checked."""
    inputs = sum(config.branch_width(branch) * branch.conv_kernel_size for branch in config.branches)
    width, layers = config.gru_hidden_size, config.num_gru_layers
    gru = 3 * width * (config.conv_channels + (2 * layers - 1) * width)
    weights = config.conv_channels * inputs + gru * len(config.branches)
    if weights > MAX_HEAD_WEIGHTS:
        raise ValueError(
            f"the head has {weights:.1e} weights, and {MAX_HEAD_WEIGHTS:.0e} at most are allowed: lower "
            "gru_hidden_size, num_gru_layers, conv_channels or conv_kernel_size"
        )


def check_frame_grid(branch, sampling_rate: int) -> None:
    """Check the window and the hop of an acoustic branch, in seconds: both must be whole numbers of samples."""
    numbers = is_number(branch.hop_s) and is_number(branch.window_s)
    if not numbers or not 0 < branch.hop_s <= branch.window_s <= MAX_WINDOW_S:
        raise ValueError(
            f"window_s is {branch.window_s} and hop_s {branch.hop_s}; both are seconds, with 0 < hop_s <= window_s "
            f"and window_s up to {MAX_WINDOW_S:g}"
        )
    for name in ("window_s", "hop_s"):
        samples = getattr(branch, name) * sampling_rate
        if samples % 1 > 1e-6 or samples < 1:
            raise ValueError(f"{name} of branch {branch.name!r} is no whole number of samples")


def check_encoder_names(config, reserved: tuple[str, ...]) -> None:
    """Check that `encoders` is a mapping of names that modules and attributes can bear, other than the reserved."""
    if not isinstance(config.encoders or {}, dict):
        raise ValueError(f"encoders is {config.encoders!r:.200}; give a mapping of names to encoders")
    for name in config.encoders or {}:
        if not isinstance(name, str) or not name or "." in name or name in reserved:
            raise ValueError(
                f"an encoder is named {name!r}; its name is that of a module: give one without dots, other than "
                f"{' and '.join(reserved)}"
            )
        if hasattr(type(config), name):
            raise ValueError(f"an encoder is named {name!r}, which is a setting of its own; give it another name")


def check_backbone(backbone: dict | PreTrainedConfig | None) -> None:
    """Check an encoder's settings before transformers, say, makes the names of a billion labels of them."""
    if backbone is None:
        return
    if not isinstance(backbone, (dict, PreTrainedConfig)):
        raise ValueError(f"backbone is {backbone!r:.200}; give the configuration of an encoder of transformers")
    settings = backbone if isinstance(backbone, dict) else backbone.to_dict()
    for name in _ENCODER_SIZES:
        value = settings.get(name)
        if isinstance(value, int) and value < 1:
            raise ValueError(f"{name} of an encoder's backbone is {value!s:.50}; it must be at least 1")
    _check_values("backbone", settings)


def _check_values(name: str, value) -> None:
    if isinstance(value, dict):
        for key, entry in value.items():
            _check_values(str(key), entry)
    elif isinstance(value, (list, tuple)):
        if len(value) > MAX_ENCODER_LAYERS:
            raise ValueError(
                f"{name:.100} of an encoder's backbone has {len(value)} values; give {MAX_ENCODER_LAYERS} at most"
            )
        for entry in value:
            _check_values(name, entry)
    elif isinstance(value, int):
        limit = MAX_ENCODER_LAYERS if _MODULE_COUNTS.search(name) else MAX_ENCODER_NUMBER
        if abs(value) > limit:
            raise ValueError(f"{name:.100} of an encoder's backbone is {value!s:.50}; give {limit} at most")


def _hub_options(kwargs: dict) -> dict:
    """Of the arguments of `from_pretrained`, those that say where a file lies."""
    names = ("cache_dir", "revision", "token", "subfolder", "local_files_only", "proxies")
    return {name: kwargs[name] for name in names if name in kwargs}


def check_index(source, kwargs: dict) -> None:
    """Raise an `OSError` for an index of shards that names pickled files, which transformers would read."""
    variant = f".{kwargs['variant']}" if kwargs.get("variant") else ""
    try:
        index = cached_file(source, f"model.safetensors.index{variant}.json", **_hub_options(kwargs))
    except OSError:  # no index
        return
    for name in json.loads(Path(index).read_text(encoding="utf-8"))["weight_map"].values():
        if not name.endswith(".safetensors"):
            raise OSError(f"{name} is no safetensors file; only those are loaded: convert it")


def check_missing(missing: set[str], config, source, kwargs: dict) -> None:
    """Raise a `ValueError` for missing weights, but for those that settings other than the checkpoint's own add."""
    try:
        own = type(config).from_pretrained(source, **_hub_options(kwargs)).to_dict()
    except OSError:  # it has none: the one that was given is all there is
        own = config.to_dict()
    given = config.to_dict()
    added = tuple(prefix for name, prefix in ADDED_WEIGHTS.items() if own.get(name) != given.get(name))
    missing = {name for name in missing if not name.startswith(added)}
    if missing:
        raise ValueError(
            f"{source}: {len(missing)} weights that its configuration asks for are not in it, such as {min(missing)}; "
            "fetch or save it anew, add a further encoder with attach_front_end after loading with "
            "with_front_end=False, or pass output_loading_info=True to go on with new weights"
        )


def check_finite(model: nn.Module, source) -> None:
    """Raise a `ValueError` for weights that are NaN or infinite; those on the meta device (offloaded) are skipped."""
    for name, values in model.state_dict().items():
        if not values.is_floating_point() or values.is_meta or values.sum(dtype=torch.float32).isfinite():
            continue  # the sum is fast; only where it is not finite, each is looked at
        if not torch.isfinite(values).all():
            raise ValueError(
                f"{source}: {name} holds NaN or infinite weights in {values.dtype}; the checkpoint is damaged, or its "
                "weights do not fit this dtype: fetch it anew, or load it in float32"
            )
