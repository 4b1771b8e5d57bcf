"""A speech encoder as part of an ONNX graph, for one clip of up to 30 s at a time."""

import contextlib
import io
import warnings

import numpy as np
import onnx
import torch
from torch import nn

from ..encoder import SpeechEncoder, run_unpadded_whisper, select_hidden_state
from ..log_mel import WhisperLogMel
from ..regressor import BranchInput
from .graph import OPSET, OnnxGraph
from .mel import Spectrum, band_energies


EXPORTED_FAMILIES = ("whisper", "hubert", "wav2vec2", "wavlm", "data2vec-audio")
EXAMPLE_SAMPLES = 16_000


class _EncoderFrames(nn.Module):
    """The hidden states of an encoder that branches read, each standardised."""

    def __init__(self, encoder: SpeechEncoder, readers: list[tuple[int | str, BranchInput]]):
        super().__init__()
        self.encoder = encoder
        self.states = [state for state, _ in readers]
        self.inputs = nn.ModuleList(branch_input for _, branch_input in readers)

    def forward(self, values: torch.Tensor) -> tuple[torch.Tensor, ...]:
        encoder = self.encoder
        if encoder.family == "whisper" and not encoder.pad_to_window:
            outputs = run_unpadded_whisper(encoder.backbone, values)
        else:
            if encoder.do_normalize and encoder.family != "whisper":
                values = (values - values.mean()) / (values.var(unbiased=False) + 1e-7).sqrt()
            outputs = encoder.backbone(values, output_hidden_states=True, return_dict=True)
        frames = []
        for state, branch_input in zip(self.states, self.inputs, strict=True):
            frames.append(branch_input(select_hidden_state(outputs, state)).transpose(1, 2))
        return tuple(frames)


def encoder_frames(
    graph: OnnxGraph, encoder: SpeechEncoder, readers: list[tuple[int | str, BranchInput]], clip: str
) -> list[str]:
    """Add an encoder, and return the standardised frames (1, width, frames) of each branch that reads it.

    Args:
        readers: hidden state and input module of each branch that reads it.
        clip: (1, samples), without padding.

    Raises:
        ValueError: an encoder of a family that is not exported, or that torch cannot export.
    """
    if encoder.family not in EXPORTED_FAMILIES:
        raise ValueError(
            f"encoders of the family {encoder.family!r} are not exported to ONNX; "
            f"those that are: {', '.join(EXPORTED_FAMILIES)}"
        )
    is_whisper = encoder.family == "whisper"
    values = _whisper_log_mel(graph, encoder, clip) if is_whisper else clip
    exported = _exported(_EncoderFrames(encoder, readers), encoder)
    frames = graph.inline(exported, [values])
    if is_whisper and encoder.pad_to_window:
        hops = 2 * WhisperLogMel.hop
        count = graph.op("Div", graph.op("Add", graph.size(clip, 1), [hops - 1]), [hops])
        frames = [graph.op("Slice", values, [0], count, [2]) for values in frames]
    return frames


def _exported(module: nn.Module, encoder) -> onnx.ModelProto:
    if encoder.family == "whisper":
        example = torch.zeros(1, encoder.log_mel.num_mel_bins, encoder.window_size // WhisperLogMel.hop)
        dynamic = None if encoder.pad_to_window else {2: torch.export.Dim("frames", min=2, max=example.shape[2])}
    else:
        example = torch.randn(1, EXAMPLE_SAMPLES, generator=torch.Generator().manual_seed(0)) / 10
        dynamic = {1: torch.export.Dim("samples", min=1600, max=encoder.window_size)}
    try:
        with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()), torch.no_grad():
            warnings.simplefilter("ignore")
            program = torch.onnx.export(
                module.eval(), (example,), dynamo=True, dynamic_shapes=(dynamic,), opset_version=OPSET, verbose=False
            )
    except Exception as error:  # the exporter's exceptions have no common base class
        raise ValueError(f"torch cannot export this encoder ({encoder.family}) to ONNX: {error}") from error
    return program.model_proto


def _whisper_log_mel(graph: OnnxGraph, encoder, clip: str) -> str:
    """Add the features of [`WhisperLogMel`], (1, mel bins, frames)."""
    log_mel, half = encoder.log_mel, WhisperLogMel.fft_size // 2
    if encoder.pad_to_window:
        missing = graph.op("Sub", [encoder.window_size], graph.size(clip, 1))
        clip = graph.op("Pad", clip, graph.join(0, 0, 0, missing))
    centred = graph.op("Pad", clip, [0, half, 0, half], mode="reflect")
    spectrum = Spectrum(
        log_mel.window.float().numpy(), WhisperLogMel.hop, WhisperLogMel.fft_size, log_mel.filters.float().numpy()
    )
    energies, _ = band_energies(graph, centred, spectrum)
    energies = graph.op("Slice", energies, [0], [-1], [2])
    decades = graph.op("Log", graph.op("Max", energies, np.float32(1e-10)))
    decades = graph.op("Mul", decades, np.float32(1 / np.log(10)))
    loudest = graph.op("ReduceMax", decades, [1, 2], keepdims=1)
    floored = graph.op("Max", decades, graph.op("Sub", loudest, np.float32(8)))
    return graph.op("Div", graph.op("Add", floored, np.float32(4)), np.float32(4))
