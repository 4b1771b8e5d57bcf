"""The models that are measured, ours and those that people use today; random weights change no time."""

import importlib.util
import warnings
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import onnxruntime
import torch
from torch import nn
from torch.nn.utils import parametrize
from transformers import (
    HubertConfig,
    HubertModel,
    Wav2Vec2Config,
    Wav2Vec2Model,
    WhisperConfig,
    WhisperFeatureExtractor,
    WhisperModel,
)

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
TOY_WHISPER = {"d_model": 16, "encoder_layers": 2, "encoder_attention_heads": 2, "encoder_ffn_dim": 32}
LARGE = {
    "hidden_size": 1024,
    "num_attention_heads": 16,
    "intermediate_size": 4096,
    "feat_extract_norm": "layer",
    "do_stable_layer_norm": True,
    "conv_bias": True,
}
TOY_LARGE = LARGE | {
    "hidden_size": 32,
    "num_attention_heads": 2,
    "intermediate_size": 32,
    "conv_dim": (16,) * 7,
    "num_conv_pos_embeddings": 16,
    "num_conv_pos_embedding_groups": 2,
}


def student(nano: bool = False) -> AffectStudentModel:
    """The default student, or the small one."""
    torch.manual_seed(0)
    return AffectStudentModel(AffectStudentConfig(**(NANO if nano else {}))).eval()


def teacher(quick: bool) -> AffectFusionModel:
    """A fusion of filterbank energies and the last hidden state of an encoder of the size of Whisper tiny."""
    torch.manual_seed(0)
    encoder = AffectEncoderConfig(backbone=whisper_config(TOY_WHISPER if quick else TINY_EN))
    branches = [{"source": "mfb"}, {"source": "whisper", "conv_kernel_size": 5, "conv_stride": 4}]
    return AffectFusionModel(AffectFusionConfig(branches=branches, encoders={"whisper": encoder})).eval()


def whisper_config(sizes: dict[str, int]) -> WhisperConfig:
    """A configuration with an encoder of these sizes; the decoder is not used."""
    tokens = {"pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2, "decoder_start_token_id": 1}
    decoder = {"decoder_layers": 1, "decoder_attention_heads": 2, "decoder_ffn_dim": 16, "vocab_size": 50}
    return WhisperConfig(**sizes, **decoder, **tokens, suppress_tokens=None, begin_suppress_tokens=None)


def toy_whisper(folder: Path) -> Path:
    """A folder with a Whisper of toy size, as transformers saves it."""
    if not folder.is_dir():
        torch.manual_seed(0)
        WhisperModel(whisper_config(TOY_WHISPER)).save_pretrained(folder)
        WhisperFeatureExtractor().save_pretrained(folder)
    return folder


def forward(model: nn.Module, samples: np.ndarray):
    """The output of a model for (samples,) at 16 kHz, in PyTorch."""
    with torch.inference_mode():
        return model(input_values=torch.from_numpy(samples)[None])


def student_files(folder: Path) -> tuple[AffectStudentModel, dict[str, Path]]:
    """The default student, and by route (`onnx`, `pipeline`) what [`estimator`] loads."""
    model = student()
    files = {"onnx": exported(model, folder / "student.onnx"), "pipeline": folder / "student"}
    if not files["pipeline"].is_dir():
        model.save_pretrained(files["pipeline"])
    return model, files


def exported(model, path: Path, int8: bool = False) -> Path:
    """The model's ONNX file, made at the first call."""
    return path if path.is_file() else export_onnx(model, path, int8=int8)


class MeanPooled(nn.Module):
    """An encoder, the mean over its frames, a dense layer and three outputs: the usual emotion model."""

    def __init__(self, encoder: nn.Module):
        super().__init__()
        self.encoder = encoder
        self.dense = nn.Linear(encoder.config.hidden_size, encoder.config.hidden_size)
        self.output = nn.Linear(encoder.config.hidden_size, 3)

    def forward(self, input_values: torch.Tensor) -> torch.Tensor:
        pooled = self.encoder(input_values).last_hidden_state.mean(dim=1)
        return self.output(torch.tanh(self.dense(pooled)))


def wav2vec2(quick: bool) -> MeanPooled:
    """The first 12 layers of wav2vec 2.0 large."""
    torch.manual_seed(0)
    sizes, layers = (TOY_LARGE, 1) if quick else (LARGE, 12)
    config = Wav2Vec2Config(**sizes, num_hidden_layers=layers, attn_implementation="eager")
    return MeanPooled(Wav2Vec2Model(config)).eval()


def hubert(quick: bool) -> MeanPooled:
    """HuBERT large, 24 layers."""
    torch.manual_seed(0)
    sizes, layers = (TOY_LARGE, 1) if quick else (LARGE, 24)
    return MeanPooled(HubertModel(HubertConfig(**sizes, num_hidden_layers=layers))).eval()


def export_rival(model: MeanPooled, path: Path) -> Path:
    """Export to an ONNX file for audio of any length."""
    convolution = model.encoder.encoder.pos_conv_embed.conv
    parametrize.remove_parametrizations(convolution, "weight")  # or the graph would normalise it at every call
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the exporter is deprecated
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


def opensmile_call() -> Mapping[str, Callable[[np.ndarray], object]]:
    """`egemaps`: (samples,) at 16 kHz to the 88 eGeMAPSv02 functionals; empty where openSMILE is not installed."""
    if importlib.util.find_spec("opensmile") is None:
        return {}
    import opensmile

    smile = opensmile.Smile(opensmile.FeatureSet.eGeMAPSv02, opensmile.FeatureLevel.Functionals, num_workers=1)
    return {"egemaps": lambda samples: smile.process_signal(samples, 16000)}
