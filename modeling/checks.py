"""Checks of settings, before anything is built from them, and of checkpoints; errors say what is allowed."""

import json
import math
import re
import sys
from numbers import Real
from pathlib import Path

import torch
from torch import nn
from transformers.configuration_utils import PreTrainedConfig
from transformers.utils import cached_file

from .affect_result import DIMENSIONS


ACOUSTIC_SOURCES = ("mfb", "mfb_f0")
# far beyond any head that was ever of use; what they come to together is bounded by `MAX_HEAD_WEIGHTS`
HEAD_SIZES = {"conv_channels": 8192, "gru_hidden_size": 8192, "num_gru_layers": 32, "embedding_size": 8192}
MASKS = {"mask_time_length": 100_000, "mask_feature_length": 100_000}
MAX_HEAD_WEIGHTS = 10**9
WHOLE_NUMBERS = {**HEAD_SIZES, **MASKS, "num_mel_bins": 1024, "conv_kernel_size": 1024, "conv_stride": 1024}
SHARES = ("dropout", "mask_time_prob", "mask_feature_prob")
LOSS_WEIGHTS = ("emotion_loss_weight", "gender_loss_weight", "uncertainty_loss_weight")
CHOICES = {"fusion_level": ("embedding", "frame"), "normalization": (None, "running")}
SWITCHES = ("predict_uncertainty", "do_normalize", "pad_to_window", "frozen")
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


def check_setting(name: str, value) -> None:
    """Check one setting of a model, a branch or an encoder by itself, as it is set."""
    if name in WHOLE_NUMBERS:
        is_whole = isinstance(value, int) and not isinstance(value, bool)
        if not is_whole or not 1 <= value <= WHOLE_NUMBERS[name]:
            raise ValueError(f"{name} is {value!r:.200}; give a whole number from 1 to {WHOLE_NUMBERS[name]}")
    elif name in SHARES and not (is_number(value) and 0 <= value < 1):
        raise ValueError(f"{name} is {value!r:.200}; it must be in [0, 1)")
    elif name in LOSS_WEIGHTS and not (is_number(value) and value >= 0):
        raise ValueError(f"{name} is {value!r:.200}; it must be finite and at least 0")
    elif name in SWITCHES and not isinstance(value, bool):
        raise ValueError(f"{name} is {value!r:.200}; it must be True or False")
    elif name in CHOICES and value not in CHOICES[name]:
        raise ValueError(f"{name} is {value!r:.200}; allowed are {' and '.join(map(repr, CHOICES[name]))}")
    elif name in _CHECKS:
        _CHECKS[name](name, value)


def _check_label_range(name: str, value) -> None:
    if not are_numbers(value, 2) or not 0 < value[1] - value[0] < math.inf:
        raise ValueError(f"label_range is {value!s:.200}; it must be (lowest, highest), lowest first, both finite")


def _check_ccc_weights(name: str, value) -> None:
    if value is None:
        return
    numbers = isinstance(value, (list, tuple)) and are_numbers(value, len(value))
    if not numbers or min(value, default=-1) < 0 or not 0 < sum(value) < math.inf:
        raise ValueError(f"ccc_weights is {value!s:.200}; give one weight >= 0 for each of the outputs, or None")


def _check_classes(name: str, value) -> None:
    if value is None:
        return
    texts = isinstance(value, (list, tuple)) and all(isinstance(text, str) and text for text in value)
    if not texts or len(value) > MAX_CLASSES:
        raise ValueError(f"{name} is {value!s:.200}; give a list of up to {MAX_CLASSES} names")
    if len(set(value)) != len(value):
        raise ValueError(f"{name} repeat: {value!s:.200}; give each class once")


def _check_sampling_rate(name: str, value) -> None:
    if value != 16000:
        raise ValueError(f"sampling_rate is {value!s:.200}; the models take audio at 16000 Hz")


def _check_source(name: str, value) -> None:
    if not isinstance(value, str):
        raise ValueError(f"source of a branch is {value!r:.200}; give a name")


def _check_hidden_state(name: str, value) -> None:
    if (not isinstance(value, int) or isinstance(value, bool)) and value not in ("last", "weighted_sum"):
        raise ValueError(f"hidden_state is {value!r:.200}; allowed are 'last', 'weighted_sum' or the index of one")


_CHECKS = {
    "label_range": _check_label_range,
    "ccc_weights": _check_ccc_weights,
    "emotion_names": _check_classes,
    "gender_names": _check_classes,
    "sampling_rate": _check_sampling_rate,
    "source": _check_source,
    "hidden_state": _check_hidden_state,
}


def names_of_outputs(value) -> dict[int, str]:
    """Check `id2label`, and return it by ascending index: any of the dimensions, in any order; all without a value."""
    if value is None:
        return dict(enumerate(DIMENSIONS))
    by_index = {str(key): name for key, name in value.items()} if isinstance(value, dict) else {}
    names = [by_index.get(str(index), "") for index in range(len(by_index))]
    if not names or not all(name in DIMENSIONS for name in names) or len(set(names)) < len(names):
        raise ValueError(
            f"id2label is {value!s:.200}; give a mapping of 0, 1, ... to any of {', '.join(DIMENSIONS)}, each once"
        )
    return dict(enumerate(names))


def index_of_outputs(value, id2label: dict[int, str]) -> dict[str, int]:
    """Check `label2id`, and return it: the inverse of `id2label`."""
    inverse = {name: index for index, name in id2label.items()}
    if value not in (None, inverse):
        raise ValueError(f"label2id is {value!s:.200}, but id2label says {inverse}: set id2label, and leave this out")
    return inverse


def check_attention(config, implementation) -> None:
    """Check that a mapping of attention implementations names encoders of the model; transformers drops the others."""
    names = implementation if isinstance(implementation, dict) else {}
    if unknown := [name for name in names if name and name not in config.sub_configs]:
        raise ValueError(
            f"attn_implementation names {unknown!s:.200}; this model's encoders are {list(config.sub_configs)}"
        )


def check_other_settings(config, others: dict) -> None:
    """Check settings that are no fields, which `PreTrainedConfig` takes without a check."""
    names = ", ".join(config.id2label.values())
    if others.get("num_labels", config.num_labels) != config.num_labels:
        raise ValueError(f"num_labels is {others['num_labels']!r:.200}; the outputs are {names}: leave it out")
    weights = others.get("transformers_weights")
    if weights is not None and not str(weights).endswith(".safetensors"):
        raise ValueError(f"transformers_weights is {weights!r:.200}; name a safetensors file, or leave it out")
    for name in others:
        if callable(getattr(type(config), name, None)):
            raise ValueError(f"{name!r} is no setting of {config.model_type}: leave it out")


def check_losses(config) -> None:
    """Check that the weights of the losses suit the outputs."""
    weights, names = config.ccc_weights, list(config.id2label.values())
    if weights is not None and len(weights) != len(names):
        raise ValueError(f"ccc_weights is {weights}; give one weight >= 0 for each of {', '.join(names)}, or None")
    if config.predict_uncertainty and not config.uncertainty_loss_weight:
        raise ValueError(
            "uncertainty_loss_weight is 0 with predict_uncertainty=True, which would leave the predicted standard "
            "deviations untrained; give a weight greater than 0, or predict_uncertainty=False"
        )


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


def check_branches(config) -> None:
    """Check the branches by each other, and by the encoders that they read."""
    for name, encoder in config.encoders.items():
        if not isinstance(encoder.backbone, PreTrainedConfig):
            raise ValueError(f"backbone of encoder {name!r} is {encoder.backbone!r:.200}; give a configuration")
    names = [branch.name for branch in config.branches]
    if len(set(names)) != len(names):
        raise ValueError(f"branches repeat: {names}; give each source and hidden state once")
    for branch in config.branches:
        check_frame_grid(branch, config.sampling_rate)
        if branch.is_acoustic:
            continue
        if branch.source not in config.encoders:
            allowed = ", ".join([*ACOUSTIC_SOURCES, *config.encoders])
            raise ValueError(f"branch source {branch.source!r} is unknown; allowed are {allowed}")
        if branch.normalization is not None:
            raise ValueError(
                f"normalization of branch {branch.name!r} is {branch.normalization!r}; only acoustic branches have it"
            )
        layers = config.encoders[branch.source].backbone.num_hidden_layers
        if isinstance(branch.hidden_state, int) and not 0 <= branch.hidden_state <= layers:
            raise ValueError(
                f"hidden_state {branch.hidden_state} of {branch.source!r} does not exist: it has 0 to {layers}"
            )
    texts = [name for name, encoder in config.encoders.items() if encoder.is_text]
    if len(texts) > 1:
        raise ValueError(f"text encoders are {texts}; give one at most: input_ids are tokens of one tokenizer")
    if config.reads_text and config.fusion_level == "frame":
        raise ValueError("fusion_level is 'frame', but tokens of a text branch have no time; choose 'embedding'")


def fixed_settings(config) -> dict:
    """Return the settings that decide which weights a model has: they cannot change once it is built."""
    branches = [(b.name, b.num_mel_bins, b.hop_s, b.conv_kernel_size, b.conv_stride) for b in config.branches]
    sizes = {name: getattr(config, name) for name in ("fusion_level", *HEAD_SIZES)}
    return {**config.outputs, **sizes, "branches": branches, "encoders": list(config.encoders)}


def check_unchanged(built: dict, now: dict) -> None:
    """Raise a `ValueError` for a setting that is another now than when a model was built."""
    for name, value in now.items():
        if value != built[name]:
            raise ValueError(
                f"config.{name} is {value!s:.100}, but the model was built with {built[name]!s:.100}, and its weights "
                "do not change with it: set it back, or build another model from a copy of the configuration"
            )


def as_config(value, config_class):
    """Return the configuration of a part, from one or from its settings."""
    # by model_type, not isinstance: remote code can load one class twice under two module names
    if isinstance(value, PreTrainedConfig) and value.model_type == config_class.model_type:
        return value
    if not isinstance(value, dict):
        given = type(value).__name__ if isinstance(value, PreTrainedConfig) else f"{value!r:.200}"
        raise ValueError(f"expected an {config_class.__name__} or a dict, got {given}")
    return config_class(**{key: entry for key, entry in value.items() if key != "model_type"})


def merged(name: str, own, given):
    """Update the settings of parts by those that are given, as transformers does for parts of a configuration."""
    if not isinstance(own, dict) or not isinstance(given, dict) or name not in ("branch", "encoder", "encoders"):
        return given
    if name == "encoders":
        given = {key: merged("encoder", own.get(key), value) for key, value in given.items()}
    return {**own, **given}


def check_encoder_names(config, encoders) -> None:
    """Check that these are a mapping of names that modules and attributes can bear, and no acoustic source's."""
    if not isinstance(encoders, dict):
        raise ValueError(f"encoders is {encoders!r:.200}; give a mapping of names to encoders")
    for name in encoders:
        if not isinstance(name, str) or not name or "." in name or name in ACOUSTIC_SOURCES:
            raise ValueError(
                f"an encoder is named {name!r}; its name is that of a module: give one without dots, other than "
                f"{' and '.join(ACOUSTIC_SOURCES)}"
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


def own_config(config, source, kwargs: dict):
    """Return the configuration in a checkpoint's own `config.json`, or where it has none the one that was given."""
    try:
        return type(config).from_pretrained(source, **_hub_options(kwargs))
    except OSError:
        return config


def check_missing(missing: set[str], config, own, source) -> None:
    """Raise a `ValueError` for missing weights, but for those that settings other than the checkpoint's own add."""
    before, given = own.to_dict(), config.to_dict()
    added = tuple(prefix for name, prefix in ADDED_WEIGHTS.items() if before.get(name) != given.get(name))
    missing = {name for name in missing if not name.startswith(added)}
    if missing:
        raise ValueError(
            f"{source}: {len(missing)} weights that its configuration asks for are not in it, such as {min(missing)}; "
            "fetch or save it anew, add a further encoder with attach_front_end after loading with "
            "with_front_end=False, or pass output_loading_info=True to go on with new weights"
        )


def check_output_names(config, own, source) -> None:
    """Raise a `ValueError` for other names of the checkpoint's outputs, or another order; a new head may have any."""
    for setting in ("id2label", "emotion_names", "gender_names"):
        given, trained = config.outputs[setting], own.outputs[setting]
        if given != trained and len(given) == len(trained):
            raise ValueError(
                f"{source}: {setting} is {given!s:.100}, but the weights were trained for {trained!s:.100}, in this "
                "order: leave it out, and read the outputs by name"
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
