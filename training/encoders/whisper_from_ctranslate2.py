"""Turn a Whisper model in the file format of CTranslate2 into an ordinary Hugging Face folder.

The file has no magic number and no types beyond numbers, so everything is checked: every length against the bytes that
are left, every variable against the one model it is meant to be.
"""

import math
import re
import shutil
import struct
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from transformers import WhisperConfig, WhisperFeatureExtractor, WhisperForConditionalGeneration


# the numbers of the format: ctranslate2/specs/model_spec.py and include/ctranslate2/types.h
_HEADER = (6, "WhisperSpec", 3)
_DTYPES = {0: np.dtype("<f4"), 1: np.dtype("<i1"), 2: np.dtype("<i2"), 3: np.dtype("<i4"), 4: np.dtype("<f2")}
_MAX_RANK = 8

# numbers that describe the architecture; WhisperForConditionalGeneration is built for these and for no others
_SETTINGS = {
    **dict.fromkeys(("decoder/alignment_heads", "decoder/pre_norm"), 1),
    **dict.fromkeys(("decoder/alibi", "decoder/scale_embeddings", "decoder/start_from_zero_embedding"), 0),
    "decoder/activation": 3,  # GELU
    "decoder/alignment_layer": -1,
}
_ALIASES = {"decoder/projection/weight": "decoder/embeddings/weight"}
# parts of CTranslate2's names and of transformers', replaced in this order
_RENAMED = (
    (r"/", "."),
    (r"position_encodings\.encodings", "embed_positions.weight"),
    (r"embeddings\.", "embed_tokens."),
    (r"layer_(\d+)\.", r"layers.\1."),
    (r"self_attention\.layer_norm", "self_attn_layer_norm"),
    (r"self_attention\.", "self_attn."),
    (r"attention\.layer_norm", "encoder_attn_layer_norm"),
    (r"attention\.", "encoder_attn."),
    (r"ffn\.layer_norm", "final_layer_norm"),
    (r"ffn\.linear_0", "fc1"),
    (r"ffn\.linear_1", "fc2"),
    (r"\.gamma$", ".weight"),
    (r"\.beta$", ".bias"),
)
# projections that are stacked in one variable along axis 0
_STACKED = {
    "self_attn.linear_0": ("q_proj", "k_proj", "v_proj"),
    "self_attn.linear_1": ("out_proj",),
    "encoder_attn.linear_0": ("q_proj",),
    "encoder_attn.linear_1": ("k_proj", "v_proj"),
    "encoder_attn.linear_2": ("out_proj",),
}


class _Model(NamedTuple):
    config: dict  # what differs from the defaults of WhisperConfig
    settings: dict  # beside those of every model


MODELS = {
    "openai/whisper-tiny.en": _Model(
        {
            "vocab_size": 51864,
            "bos_token_id": 50257,
            "eos_token_id": 50256,
            "pad_token_id": 50256,
            "decoder_start_token_id": 50257,
        },
        dict.fromkeys(("encoder/num_heads", "decoder/num_heads"), 6),
    ),
    "openai/whisper-base": _Model(
        {
            "vocab_size": 51865,
            "d_model": 512,
            **dict.fromkeys(("encoder_layers", "decoder_layers"), 6),
            **dict.fromkeys(("encoder_attention_heads", "decoder_attention_heads"), 8),
            **dict.fromkeys(("encoder_ffn_dim", "decoder_ffn_dim"), 2048),
            **dict.fromkeys(("bos_token_id", "eos_token_id", "pad_token_id"), 50257),
            "decoder_start_token_id": 50258,
        },
        {
            **dict.fromkeys(("encoder/num_heads", "decoder/num_heads"), 8),
            **dict.fromkeys(("decoder/alibi_use_positive_positions", "decoder/scale_alibi"), 0),
        },
    ),
}


def convert_whisper(name: str, parts: Sequence[Path], target: Path, *, card: str) -> None:
    """Write a Whisper model as a folder of transformers, without a tokenizer, with weights in float32.

    Args:
        name: Hub id of the model, one of `MODELS`.
        parts: Files that together, one after the other, are CTranslate2's `model.bin`.
        target: Existing, empty folder.
        card: Text of the model card.

    Raises:
        ValueError: A file is damaged, or describes another model.
        OSError: A file is missing.
    """
    model = whisper_model(name, *read_ctranslate2(parts))
    model.save_pretrained(target)
    # safetensors makes files that only their owner can read, and a cache may be shared
    shutil.copymode(target / "config.json", target / "model.safetensors")
    WhisperFeatureExtractor(feature_size=model.config.num_mel_bins).save_pretrained(target)
    (target / "README.md").write_text(card, encoding="utf-8")


def read_ctranslate2(parts: Sequence[Path]) -> tuple[dict[str, np.ndarray], dict[str, str]]:
    """Read a Whisper model in CTranslate2's binary format, version 6. Nothing in the file is trusted.

    Args:
        parts: Files that together, one after the other, are the model.

    Returns:
        Variables by name, in the type they are stored in, and aliases: name -> name of the variable it stands for.

    Raises:
        ValueError: The file is not such a model, is cut short, or contradicts itself.
    """
    cursor = _Cursor(parts)
    header = cursor.number("I"), cursor.name(), cursor.number("I")
    if header != _HEADER:
        found, expected = ("{1!r} revision {2} in binary version {0}".format(*each) for each in (header, _HEADER))
        raise cursor.error(f"holds {found}, not {expected}")
    variables: dict[str, np.ndarray] = {}
    for _ in range(cursor.number("I")):
        name = cursor.name()
        if name in variables:
            raise cursor.error(f"holds variable {name!r} twice")
        variables[name] = cursor.array(name)
    aliases: dict[str, str] = {}
    for _ in range(cursor.number("I")):
        alias, name = cursor.name(), cursor.name()
        if alias in variables or alias in aliases or name not in variables:
            raise cursor.error(f"has an alias {alias!r} for {name!r} that is taken or leads nowhere")
        aliases[alias] = name
    if cursor.remaining:
        raise cursor.error(f"goes on for {cursor.remaining} bytes after its end")
    return variables, aliases


def whisper_model(
    name: str, variables: dict[str, np.ndarray], aliases: dict[str, str]
) -> WhisperForConditionalGeneration:
    """Build a model in float32 from what [`read_ctranslate2`] returns.

    Args:
        name: Hub id of the model, one of `MODELS`.
        variables, aliases: As read.

    Raises:
        ValueError: Names, shapes, settings or values are not those of this model.
    """
    if aliases != _ALIASES:
        raise ValueError(f"The file has the aliases {aliases}, expected {_ALIASES}.")
    settings = _SETTINGS | MODELS[name].settings
    for setting, expected in settings.items():
        found = variables[setting].tolist() if setting in variables else None
        if found != expected:
            raise ValueError(f"The file has {setting} = {found}, expected {expected}.")
    state: dict[str, torch.Tensor] = {}
    for variable in variables.keys() - settings.keys():
        for target, part in _parameters(variable, variables[variable]).items():
            if target in state:
                raise ValueError(f"Two variables lead to {target}.")
            if not target.endswith("k_proj.bias"):
                state[target] = torch.from_numpy(part.astype(np.float32))
            elif part.any():
                raise ValueError(f"The key bias in {variable} is not 0, and Whisper's keys have no bias.")
    if "model.decoder.embed_tokens.weight" in state:
        state["proj_out.weight"] = state["model.decoder.embed_tokens.weight"]
    with torch.device("meta"):
        model = WhisperForConditionalGeneration(WhisperConfig(**MODELS[name].config, dtype="float32"))
    try:
        model.load_state_dict(state, assign=True)
    except RuntimeError as error:
        raise ValueError(f"The file is not {name}: {' '.join(str(error).split())}") from error
    model.tie_weights()
    return model


class _Cursor:
    """A place in a file's bytes that cannot leave them. Numbers are little-endian."""

    def __init__(self, parts: Sequence[Path]):
        self._path, self._data, self._position = parts[0], b"".join(part.read_bytes() for part in parts), 0

    @property
    def remaining(self) -> int:
        return len(self._data) - self._position

    def error(self, what: str) -> ValueError:
        return ValueError(f"{self._path} {what}.")

    def bytes(self, count: int) -> memoryview:
        if count > self.remaining:
            raise self.error(f"ends early: {count} bytes wanted at {self._position}, {self.remaining} left")
        self._position += count
        return memoryview(self._data)[self._position - count : self._position]

    def number(self, kind: str) -> int:
        return struct.unpack("<" + kind, self.bytes(struct.calcsize("<" + kind)))[0]

    def name(self) -> str:
        raw = bytes(self.bytes(self.number("H")))
        if not raw.endswith(b"\0") or b"\0" in raw[:-1] or not raw.isascii():
            raise self.error(f"has a damaged name before byte {self._position}")
        return raw[:-1].decode("ascii")

    def array(self, name: str) -> np.ndarray:
        rank = self.number("B")
        if rank > _MAX_RANK:
            raise self.error(f"gives variable {name!r} {rank} dimensions, at most {_MAX_RANK} are allowed")
        shape = tuple(self.number("I") for _ in range(rank))
        dtype_id, num_bytes = self.number("B"), self.number("I")
        if dtype_id not in _DTYPES:
            raise self.error(f"gives variable {name!r} the unknown type {dtype_id}")
        dtype = _DTYPES[dtype_id]
        if math.prod(shape) * dtype.itemsize != num_bytes:
            raise self.error(f"gives variable {name!r} {num_bytes} bytes for shape {shape} of {dtype}")
        return np.frombuffer(self.bytes(num_bytes), dtype=dtype).reshape(shape)


def _parameters(variable: str, array: np.ndarray) -> dict[str, np.ndarray]:
    """The parameters that are stacked in a variable of CTranslate2, by their names in transformers."""
    name = f"model/{variable}"
    for theirs, ours in _RENAMED:
        name = re.sub(theirs, ours, name)
    layer, _, kind = name.rpartition(".")
    names = [name]
    for stack, projections in _STACKED.items():
        if layer.endswith(stack):
            names = [f"{layer.rpartition('.')[0]}.{projection}.{kind}" for projection in projections]
    if array.dtype.kind != "f":
        raise ValueError(f"{variable} is stored as {array.dtype}; only float16 and float32 can be converted.")
    if not np.isfinite(array).all():
        raise ValueError(f"{variable} holds values that are not finite.")
    if array.ndim == 0 or len(array) % len(names):
        raise ValueError(f"{variable} has shape {array.shape}, which does not split into {len(names)} parts.")
    return dict(zip(names, np.split(array, len(names)), strict=True))
