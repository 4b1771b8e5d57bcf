"""Turn a Whisper model in the file format of CTranslate2 into an ordinary Hugging Face folder.

The file has no magic number and no types beyond numbers, so everything is checked: every length against the bytes that
are left, every variable against the one model it is meant to be.
"""

from __future__ import annotations

import json
import math
import shutil
import struct
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save_file
from tokenizers import Tokenizer
from transformers import (
    GenerationConfig,
    WhisperConfig,
    WhisperFeatureExtractor,
    WhisperForConditionalGeneration,
)


# What the numbers in the file stand for: ctranslate2/specs/model_spec.py and include/ctranslate2/types.h.
_BINARY_VERSION = 6
_SPECIFICATION = ("WhisperSpec", 3)
_DTYPES = {0: np.dtype("<f4"), 1: np.dtype("<i1"), 2: np.dtype("<i2"), 3: np.dtype("<i4"), 4: np.dtype("<f2")}
_MAX_RANK = 8

# Numbers that describe the architecture. WhisperForConditionalGeneration is built for these and for no others.
_SETTINGS = {
    "encoder/num_heads": 6,
    "decoder/num_heads": 6,
    "decoder/activation": 3,  # GELU
    "decoder/alibi": 0,
    "decoder/alignment_heads": 1,
    "decoder/alignment_layer": -1,
    "decoder/pre_norm": 1,
    "decoder/scale_embeddings": 0,
    "decoder/start_from_zero_embedding": 0,
}
_ALIASES = {"decoder/projection/weight": "decoder/embeddings/weight"}

_END_OF_TEXT, _START_OF_TRANSCRIPT, _START_OF_PREVIOUS, _NO_TIMESTAMPS = 50256, 50257, 50360, 50362


def whisper_tiny_en_config() -> WhisperConfig:
    """The architecture of openai/whisper-tiny.en: 80 mels, width 384, 4 + 4 layers of 6 heads, 51,864 tokens."""
    return WhisperConfig(
        vocab_size=51864,
        num_mel_bins=80,
        d_model=384,
        encoder_layers=4,
        encoder_attention_heads=6,
        encoder_ffn_dim=1536,
        decoder_layers=4,
        decoder_attention_heads=6,
        decoder_ffn_dim=1536,
        max_source_positions=1500,
        max_target_positions=448,
        pad_token_id=_END_OF_TEXT,
        bos_token_id=_START_OF_TRANSCRIPT,
        eos_token_id=_END_OF_TEXT,
        decoder_start_token_id=_START_OF_TRANSCRIPT,
        architectures=["WhisperForConditionalGeneration"],
        dtype="float32",
    )


def convert_whisper_tiny_en(source: Path, target: Path, *, card: str) -> None:
    """Write openai/whisper-tiny.en as a Hugging Face folder.

    Weights are written as float32, the type they were published in and the one that CPUs compute in; values that were
    stored as float16 stay what they are.

    Args:
        source: Folder with CTranslate2's `model.bin` and `config.json`, and with `tokenizer.json`.
        target: Existing, empty folder to write to.
        card: Text of the model card, `README.md`.

    Raises:
        ValueError: A file is damaged, or describes another model.
        OSError: A file is missing.
    """
    config = whisper_tiny_en_config()
    state = whisper_state_dict(*read_ctranslate2(source / "model.bin"), config)
    save_file(state, target / "model.safetensors", metadata={"format": "pt"})
    config.save_pretrained(target)
    # safetensors makes files that only their owner can read, and a cache may be shared.
    shutil.copymode(target / "config.json", target / "model.safetensors")
    _generation_config(source / "config.json").save_pretrained(target)
    WhisperFeatureExtractor(feature_size=config.num_mel_bins).save_pretrained(target)
    _save_tokenizer(source / "tokenizer.json", target, config.vocab_size)
    (target / "README.md").write_text(card, encoding="utf-8")


def read_ctranslate2(path: Path) -> tuple[dict[str, np.ndarray], dict[str, str]]:
    """Read the variables of a Whisper model in CTranslate2's binary format, version 6.

    Args:
        path: The file `model.bin`. Nothing in it is trusted.

    Returns:
        Variables by name, in the type they are stored in, and aliases: name -> name of the variable it stands for.

    Raises:
        ValueError: The file is not such a model, is cut short, or contradicts itself.
    """
    cursor = _Cursor(path.read_bytes(), path)
    version, name, revision = cursor.number("I"), cursor.name(), cursor.number("I")
    if (version, name, revision) != (_BINARY_VERSION, *_SPECIFICATION):
        raise cursor.error(
            f"holds {name!r} revision {revision} in binary version {version}, not {_SPECIFICATION[0]!r} revision "
            f"{_SPECIFICATION[1]} in binary version {_BINARY_VERSION}"
        )
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


def whisper_state_dict(
    variables: dict[str, np.ndarray], aliases: dict[str, str], config: WhisperConfig
) -> dict[str, torch.Tensor]:
    """The parameters of `WhisperForConditionalGeneration` from the variables of CTranslate2.

    Args:
        variables: As from `read_ctranslate2`; each must be used, and none may be missing.
        aliases: As from `read_ctranslate2`: the output projection is the embedding.
        config: The architecture.

    Returns:
        float32 tensors by their Hugging Face names, each once, without the tied `proj_out.weight`.

    Raises:
        ValueError: Names, shapes, settings or values other than those of this architecture.
    """
    layout = _layout(config)
    _check_equal_names(set(variables), set(layout) | set(_SETTINGS), "CTranslate2 variables")
    if aliases != _ALIASES:
        raise ValueError(f"The file has the aliases {aliases}, expected {_ALIASES}.")
    for name, expected in _SETTINGS.items():
        if variables[name].shape != () or variables[name] != expected:
            raise ValueError(f"The file has {name} = {variables[name].tolist()}, expected {expected}.")
    state: dict[str, torch.Tensor] = {}
    for name, targets in layout.items():
        for target, part in zip(targets, _split(name, variables[name], len(targets)), strict=True):
            if target in state:
                raise ValueError(f"Two variables lead to {target}.")
            if target is not None:
                state[target] = torch.from_numpy(part.astype(np.float32))
            elif part.any():
                raise ValueError(f"The key bias in {name} is not 0, and Whisper's keys have no bias.")
    with torch.device("meta"):
        shapes = {k: v.shape for k, v in WhisperForConditionalGeneration(config).state_dict().items()}
    del shapes["proj_out.weight"]
    _check_equal_names(set(state), set(shapes), "parameters")
    for name, shape in shapes.items():
        if state[name].shape != shape:
            raise ValueError(f"Parameter {name} has shape {tuple(state[name].shape)}, expected {tuple(shape)}.")
    return state


class _Cursor:
    """A place in a file's bytes that cannot leave them. Numbers are little-endian."""

    def __init__(self, data: bytes, path: Path):
        self._data, self._path, self._position = data, path, 0

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


def _layout(config: WhisperConfig) -> dict[str, tuple[str | None, ...]]:
    """Variable of CTranslate2 -> the parameters stacked in it along axis 0; None is a key's bias, always 0."""
    layout: dict[str, tuple[str | None, ...]] = {}
    for side, num_layers in (("encoder", config.encoder_layers), ("decoder", config.decoder_layers)):
        layout[f"{side}/position_encodings/encodings"] = (f"model.{side}.embed_positions.weight",)
        layout |= _norm(f"{side}/layer_norm", f"model.{side}.layer_norm")
        for i in range(num_layers):
            ours, theirs = f"{side}/layer_{i}", f"model.{side}.layers.{i}"
            layout |= _norm(f"{ours}/self_attention/layer_norm", f"{theirs}.self_attn_layer_norm")
            layout |= _attention(f"{ours}/self_attention", f"{theirs}.self_attn", ("qkv", "o"))
            if side == "decoder":
                layout |= _norm(f"{ours}/attention/layer_norm", f"{theirs}.encoder_attn_layer_norm")
                layout |= _attention(f"{ours}/attention", f"{theirs}.encoder_attn", ("q", "kv", "o"))
            layout |= _norm(f"{ours}/ffn/layer_norm", f"{theirs}.final_layer_norm")
            layout |= _linear(f"{ours}/ffn/linear_0", [f"{theirs}.fc1"])
            layout |= _linear(f"{ours}/ffn/linear_1", [f"{theirs}.fc2"])
    for convolution in ("conv1", "conv2"):
        layout |= _linear(f"encoder/{convolution}", [f"model.encoder.{convolution}"])
    layout["decoder/embeddings/weight"] = ("model.decoder.embed_tokens.weight",)
    return layout


def _attention(ours: str, theirs: str, stacks: tuple[str, ...]) -> dict[str, tuple[str | None, ...]]:
    projections = {"q": "q_proj", "k": "k_proj", "v": "v_proj", "o": "out_proj"}
    layout = {}
    for i, stack in enumerate(stacks):
        layout |= _linear(f"{ours}/linear_{i}", [f"{theirs}.{projections[letter]}" for letter in stack])
    return layout


def _linear(ours: str, theirs: list[str]) -> dict[str, tuple[str | None, ...]]:
    biases = tuple(None if name.endswith("k_proj") else f"{name}.bias" for name in theirs)
    return {f"{ours}/weight": tuple(f"{name}.weight" for name in theirs), f"{ours}/bias": biases}


def _norm(ours: str, theirs: str) -> dict[str, tuple[str | None, ...]]:
    return {f"{ours}/gamma": (f"{theirs}.weight",), f"{ours}/beta": (f"{theirs}.bias",)}


def _split(name: str, array: np.ndarray, num_parts: int) -> list[np.ndarray]:
    if array.dtype.kind != "f":
        raise ValueError(f"{name} is stored as {array.dtype}; only float16 and float32 can be converted.")
    if not np.isfinite(array).all():
        raise ValueError(f"{name} holds values that are not finite.")
    if array.ndim == 0 or len(array) % num_parts:
        raise ValueError(f"{name} has shape {array.shape}, which does not split into {num_parts} parts.")
    return np.split(array, num_parts)


def _check_equal_names(given: set[str], expected: set[str], what: str) -> None:
    if given != expected:
        raise ValueError(f"{what}: missing {sorted(expected - given)[:5]}, unexpected {sorted(given - expected)[:5]}.")


def _generation_config(path: Path) -> GenerationConfig:
    """How to generate text, with the tokens to suppress from CTranslate2's `config.json`."""
    with open(path, encoding="utf-8") as file:
        try:
            given = json.load(file)
        except (ValueError, RecursionError) as error:
            raise ValueError(f"{path} is no JSON: {error}.") from error
    tokens = [given.get(key) if isinstance(given, dict) else None for key in ("suppress_ids", "suppress_ids_begin")]
    if not all(
        isinstance(ids, list) and all(type(i) is int and 0 <= i <= _NO_TIMESTAMPS for i in ids) for ids in tokens
    ):
        raise ValueError(f"{path} must list token ids under suppress_ids and suppress_ids_begin.")
    return GenerationConfig(
        bos_token_id=_START_OF_TRANSCRIPT,
        eos_token_id=_END_OF_TEXT,
        pad_token_id=_END_OF_TEXT,
        decoder_start_token_id=_START_OF_TRANSCRIPT,
        prev_sot_token_id=_START_OF_PREVIOUS,
        no_timestamps_token_id=_NO_TIMESTAMPS,
        suppress_tokens=tokens[0],
        begin_suppress_tokens=tokens[1],
        alignment_heads=given.get("alignment_heads"),
        is_multilingual=False,
        return_timestamps=False,
        max_initial_timestamp_index=50,
        max_length=448,
    )


def _save_tokenizer(source: Path, target: Path, vocab_size: int) -> None:
    """Complete the tokenizer with the time stamps from 0 to 30 s in steps of 0.02 s, which close the vocabulary."""
    try:
        tokenizer = Tokenizer.from_str(source.read_text(encoding="utf-8"))
    except Exception as error:  # the library raises bare exceptions
        raise ValueError(f"{source} is not a tokenizer: {error}.") from error
    tokenizer.add_tokens([f"<|{0.02 * step:.2f}|>" for step in range(1501)])
    if tokenizer.get_vocab_size() != vocab_size:
        raise ValueError(f"{source} gives {tokenizer.get_vocab_size()} tokens, expected {vocab_size}.")
    tokenizer.save(str(target / "tokenizer.json"))
    settings = dict.fromkeys(("bos_token", "eos_token", "pad_token", "unk_token"), "<|endoftext|>")
    settings |= {"tokenizer_class": "WhisperTokenizer", "add_prefix_space": False, "model_max_length": 1024}
    (target / "tokenizer_config.json").write_text(json.dumps(settings, indent=2) + "\n", encoding="utf-8")
