"""The models of this package that are measured; their weights are random, which changes no time."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from transformers import WhisperConfig, WhisperFeatureExtractor, WhisperModel

from speech_affect import (
    AffectEncoderConfig,
    AffectFusionConfig,
    AffectFusionModel,
    AffectStudentConfig,
    AffectStudentModel,
)
from speech_affect.onnx.export import export_onnx


NANO = {"conv_channels": 64, "gru_hidden_size": 64, "num_gru_layers": 1}
TINY_EN = {"d_model": 384, "encoder_layers": 4, "encoder_attention_heads": 6, "encoder_ffn_dim": 1536}
TOY = {"d_model": 16, "encoder_layers": 2, "encoder_attention_heads": 2, "encoder_ffn_dim": 32}


def student(nano: bool = False) -> AffectStudentModel:
    """The default student, or the small one."""
    torch.manual_seed(0)
    return AffectStudentModel(AffectStudentConfig(**(NANO if nano else {}))).eval()


def teacher(quick: bool) -> AffectFusionModel:
    """Mel-filterbank energies and the last hidden state of an encoder of the size of Whisper tiny."""
    torch.manual_seed(0)
    encoder = AffectEncoderConfig(backbone=whisper_config(TOY if quick else TINY_EN))
    branches = [{"source": "mfb"}, {"source": "whisper", "conv_kernel_size": 5, "conv_stride": 4}]
    return AffectFusionModel(AffectFusionConfig(branches=branches, encoders={"whisper": encoder})).eval()


def whisper_config(sizes: dict[str, int]) -> WhisperConfig:
    """Of an encoder of these sizes; the decoder is not used."""
    tokens = {"pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2, "decoder_start_token_id": 1}
    decoder = {"decoder_layers": 1, "decoder_attention_heads": 2, "decoder_ffn_dim": 16, "vocab_size": 50}
    return WhisperConfig(**sizes, **decoder, **tokens, suppress_tokens=None, begin_suppress_tokens=None)


def toy_whisper(folder: Path) -> Path:
    """A folder with a Whisper of toy size, as transformers saves it."""
    if not folder.is_dir():
        torch.manual_seed(0)
        WhisperModel(whisper_config(TOY)).save_pretrained(folder)
        WhisperFeatureExtractor().save_pretrained(folder)
    return folder


def forward(model: torch.nn.Module, samples: np.ndarray):
    """What a model says of (samples,) at 16 kHz, by PyTorch alone."""
    with torch.inference_mode():
        return model(input_values=torch.from_numpy(samples)[None])


def saved(model, folder: Path) -> Path:
    """Its folder, written at the first call."""
    if not folder.is_dir():
        model.save_pretrained(folder)
    return folder


def exported(model, path: Path, int8: bool = False) -> Path:
    """Its ONNX file, made at the first call."""
    return path if path.is_file() else export_onnx(model, path, int8=int8)
