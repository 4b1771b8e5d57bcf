"""What people use for the same today: large encoders (random weights, which change no time) and openSMILE."""

from __future__ import annotations

import importlib.util
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnxruntime
import torch
from torch import nn
from torch.nn.utils import parametrize
from transformers import HubertConfig, HubertModel, Wav2Vec2Config, Wav2Vec2Model


LARGE = {
    "hidden_size": 1024,
    "num_attention_heads": 16,
    "intermediate_size": 4096,
    "feat_extract_norm": "layer",
    "do_stable_layer_norm": True,
    "conv_bias": True,
}
TOY = LARGE | {
    "hidden_size": 32,
    "num_attention_heads": 2,
    "intermediate_size": 32,
    "conv_dim": (16,) * 7,
    "num_conv_pos_embeddings": 16,
    "num_conv_pos_embedding_groups": 2,
}


class MeanPooled(nn.Module):
    """An encoder, the mean over its frames, a dense layer and three outputs, as the usual emotion models have it."""

    def __init__(self, encoder: nn.Module):
        super().__init__()
        self.encoder = encoder
        self.dense = nn.Linear(encoder.config.hidden_size, encoder.config.hidden_size)
        self.output = nn.Linear(encoder.config.hidden_size, 3)

    def forward(self, input_values: torch.Tensor) -> torch.Tensor:
        pooled = self.encoder(input_values).last_hidden_state.mean(dim=1)
        return self.output(torch.tanh(self.dense(pooled)))


def wav2vec2(quick: bool) -> MeanPooled:
    """wav2vec 2.0 large, its first 12 layers."""
    torch.manual_seed(0)
    sizes, layers = (TOY, 1) if quick else (LARGE, 12)
    config = Wav2Vec2Config(**sizes, num_hidden_layers=layers, attn_implementation="eager")
    return MeanPooled(Wav2Vec2Model(config)).eval()


def hubert(quick: bool) -> MeanPooled:
    """HuBERT large, 24 layers."""
    torch.manual_seed(0)
    sizes, layers = (TOY, 1) if quick else (LARGE, 24)
    return MeanPooled(HubertModel(HubertConfig(**sizes, num_hidden_layers=layers))).eval()


def export_rival(model: MeanPooled, path: Path) -> Path:
    """As an ONNX file for audio of any length."""
    convolution = model.encoder.encoder.pos_conv_embed.conv
    parametrize.remove_parametrizations(convolution, "weight")  # or the graph would normalise it at every call
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the exporter, which will go some day
        torch.onnx.export(
            model,
            (torch.zeros(1, 16000),),
            path,
            input_names=["input_values"],
            output_names=["logits"],
            dynamic_axes={"input_values": {1: "samples"}},
            dynamo=False,
        )
    return path


def one_thread_session(path: Path) -> onnxruntime.InferenceSession:
    """A model in onnxruntime, on one thread."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])


def opensmile_call() -> Callable[[np.ndarray], object] | None:
    """(samples,) at 16 kHz to the 88 eGeMAPSv02 functionals; None where openSMILE is not installed."""
    if importlib.util.find_spec("opensmile") is None:
        return None
    import opensmile

    smile = opensmile.Smile(opensmile.FeatureSet.eGeMAPSv02, opensmile.FeatureLevel.Functionals, num_workers=1)
    return lambda samples: smile.process_signal(samples, 16000)
