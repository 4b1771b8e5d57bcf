"""How many floating-point operations a PyTorch model carries out for an input."""

from __future__ import annotations

import math
from collections.abc import Callable
from contextlib import ExitStack

import torch
from torch import nn
from torch.nn.utils.rnn import PackedSequence


def count_operations(model: nn.Module, call: Callable[[], object]) -> float:
    """
    Count those of matrix products, convolutions, recurrent layers, attention and spectra; the rest is small.

    Args:
        model: whose modules are watched.
        call: runs it once.

    Returns:
        operations, a multiplication and an addition being two.
    """
    total = 0.0

    def add(module, inputs, output):
        nonlocal total
        total += _operations(module, inputs, output)

    with ExitStack() as hooks, torch.inference_mode():
        for module in model.modules():
            hooks.callback(module.register_forward_hook(add).remove)
        call()
    return total


def parameter_bytes(model: nn.Module) -> int:
    """Of the model's parameters in memory."""
    return sum(parameter.numel() * parameter.element_size() for parameter in model.parameters())


def _operations(module: nn.Module, inputs: tuple, output) -> float:
    name = type(module).__name__
    if isinstance(module, nn.Linear):
        return 2 * output.numel() * module.in_features
    if isinstance(module, nn.Conv1d):
        return 2 * output.numel() * module.kernel_size[0] * module.in_channels / module.groups
    if isinstance(module, nn.GRU):
        return _gru_operations(module, inputs[0])
    if name.endswith("LogMelFilterbank") or name == "WhisperLogMel":
        time_axis = 1 if name.endswith("Filterbank") else 2
        bins = module.fft_size // 2 + 1
        # half of a complex FFT; per bin the square of its size, and its share in two overlapping mel bands
        per_frame = 2.5 * module.fft_size * math.log2(module.fft_size) + 3 * bins + 4 * bins
        return len(output) * output.shape[time_axis] * per_frame
    if name.endswith("Attention") and isinstance(output, tuple):
        batch, time, width = output[0].shape
        return 4 * batch * time**2 * width  # scores, and the sum that they weigh
    return 0


def _gru_operations(module: nn.GRU, sequence) -> float:
    values = sequence.data if isinstance(sequence, PackedSequence) else sequence
    steps, hidden = values.numel() / module.input_size, module.hidden_size
    directions = 2 if module.bidirectional else 1
    widths = [module.input_size] + [directions * hidden] * (module.num_layers - 1)
    return sum(steps * directions * 2 * 3 * hidden * (width + hidden) for width in widths)
