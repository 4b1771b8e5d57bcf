"""The trained part of a model as an ONNX graph: aligned frames, convolution, GRU, pooling, heads, stream state."""

import math

import numpy as np
import torch

from ..regressor import STD_RANGE, AffectRegressor, TimeConvGRU
from .graph import OnnxGraph


def stream_state(graph: OnnxGraph, tc_gru: TimeConvGRU) -> dict[str, str]:
    """Add the inputs that carry a stream from one block to the next; a stream starts with zeros.

    Returns:
        `context` (batch, width, kernel size - 1), by how much the frames before the block differ from their mean;
        `hidden` (layers, batch, hidden size) of the GRU; `pooled_sum` (batch, hidden size) and `pooled_count`
        (batch, 1) of the hidden frames so far.
    """
    size = tc_gru.gru.hidden_size
    shapes: dict[str, list[int | str]] = {
        "context": ["batch", tc_gru.conv.in_channels, tc_gru.left_context],
        "hidden": [tc_gru.gru.num_layers, "batch", size],
        "pooled_sum": ["batch", size],
        "pooled_count": ["batch", 1],
    }
    return {name: graph.input(name, "float32", shape) for name, shape in shapes.items()}


def time_conv_gru(
    graph: OnnxGraph, tc_gru: TimeConvGRU, frames: str, statistics, lengths: str, state: dict[str, str] | None
):
    """Add a [`TimeConvGRU`] and the sum over its valid frames.

    Args:
        frames: (batch, width, frames), raw.
        statistics: mean and standard deviation of the raw frames, (width,) each.
        lengths: (batch,) int64, valid frames.
        state: of a stream, or `None`.

    Returns:
        Sum over the valid hidden frames (batch, hidden size), their number (batch, 1), and of a stream the state after
        this block: context (otherwise `None`) and hidden.
    """
    batch = graph.size(frames, 0)
    joined, context = _with_context(graph, tc_gru, frames, statistics[0], batch, state)
    weight, bias = _standardising(tc_gru.conv, *statistics)
    stride = tc_gru.stride
    convolved = graph.op("Conv", joined, weight, bias, strides=[stride])
    sequence = graph.op("Transpose", graph.op("Relu", convolved), perm=[2, 0, 1])
    counts = graph.op("Div", graph.op("Add", lengths, [stride - 1]), [stride])
    sequence, hidden = _gru(graph, tc_gru.gru, sequence, graph.cast(counts, "int32"), batch, state)
    # beyond its length a row of a GRU's output is zero
    total = graph.op("ReduceSum", sequence, [0], keepdims=0)
    number = graph.op("Unsqueeze", graph.cast(counts, "float32"), [1])
    return total, number, context, hidden


def affect_heads(graph: OnnxGraph, regressor: AffectRegressor, pooled: str, label_range) -> dict[str, str]:
    """Return all outputs of (batch, pooled width) by name, the logits clipped to the label scale."""
    low, high = label_range
    embedding = graph.op("Tanh", _linear(graph, regressor.embedding, pooled))
    # the label scale is folded into the last layer
    logits = _linear(graph, regressor.output, embedding, (high - low) / 2, (high + low) / 2)
    outputs = {"logits": graph.op("Clip", logits, np.float32(low), np.float32(high)), "embedding": embedding}
    if regressor.uncertainty_output is not None:
        outputs["uncertainty"] = _uncertainty(graph, regressor, embedding, (high - low) / 2)
    for name in ("emotion", "gender"):
        layer = getattr(regressor, f"{name}_output")
        if layer is not None:
            outputs[f"{name}_logits"] = _linear(graph, layer, embedding)
    return outputs


def _uncertainty(graph, regressor, embedding: str, half_range: float) -> str:
    low, high = (math.log(bound) for bound in STD_RANGE)
    share = graph.op("Sigmoid", _linear(graph, regressor.uncertainty_output, embedding))
    log_std = graph.op("Add", graph.op("Mul", share, np.float32(high - low)), np.float32(low))
    scale = array(regressor.uncertainty_scale) * np.float32(half_range)
    return graph.op("Mul", graph.op("Exp", log_std), scale)


def _with_context(
    graph, tc_gru: TimeConvGRU, frames: str, mean, batch: str, state: dict[str, str] | None
) -> tuple[str, str | None]:
    """Return the frames with their left context, and the context of the next block of a stream."""
    mean = mean.reshape(1, -1, 1)
    if state is None:
        before = graph.op("Expand", mean, graph.join(batch, 1, tc_gru.left_context))
        return graph.op("Concat", before, frames, axis=2), None
    joined = graph.op("Concat", graph.op("Add", state["context"], mean), frames, axis=2)
    start = graph.op("Sub", graph.size(joined, 2), [tc_gru.left_context])
    last = graph.op("Slice", joined, start, graph.size(joined, 2), [2])
    return joined, graph.op("Sub", last, mean)


def _standardising(conv: torch.nn.Conv1d, mean: np.ndarray, std: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return weight and bias of the convolution for raw frames, which are padded with their mean."""
    weight = array(conv.weight).astype(np.float64) / std[:, None]
    bias = array(conv.bias) - (weight * mean[:, None]).sum(axis=(1, 2))
    return weight.astype(np.float32), bias.astype(np.float32)


def _gru(
    graph, gru: torch.nn.GRU, sequence: str, counts: str, batch: str, state: dict[str, str] | None
) -> tuple[str, str]:
    """Return (frames, batch, hidden size), zero beyond each row's count, and the last states (layers, batch, size)."""
    if state is None:
        start = graph.op("Expand", np.float32(0), graph.join(gru.num_layers, batch, gru.hidden_size))
    else:
        start = state["hidden"]
    starts = [start]
    if gru.num_layers > 1:
        starts = graph.op("Split", start, outputs=gru.num_layers, axis=0, num_outputs=gru.num_layers)
    lasts = []
    for layer, initial in enumerate(starts):
        weights = [
            _gate_order(getattr(gru, f"{name}_l{layer}")) for name in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
        ]
        tensors = [weight[None] for weight in (*weights[:2], np.concatenate(weights[2:]))]
        sequence, last = graph.op(
            "GRU", sequence, *tensors, counts, initial, outputs=2, hidden_size=gru.hidden_size, linear_before_reset=1
        )
        sequence = graph.op("Squeeze", sequence, [1])
        lasts.append(last)
    return sequence, lasts[0] if len(lasts) == 1 else graph.op("Concat", *lasts, axis=0)


def _gate_order(parameter: torch.Tensor) -> np.ndarray:
    """Reorder gates from torch's reset, update, new to ONNX's update, reset, new."""
    reset, update, new = np.split(array(parameter), 3)
    return np.concatenate([update, reset, new])


def _linear(graph, layer: torch.nn.Linear, values: str, scale: float = 1.0, shift: float = 0.0) -> str:
    weight, bias = array(layer.weight) * np.float32(scale), array(layer.bias) * np.float32(scale) + np.float32(shift)
    return graph.op("Gemm", values, weight, bias, transB=1)


def array(parameter: torch.Tensor) -> np.ndarray:
    """Return a parameter as float32 numpy."""
    return parameter.detach().float().cpu().numpy()


def align_frames(graph: OnnxGraph, sequences: list[str], hops: list[int]) -> list[str]:
    """Bring sequences (1, width, frames) of one clip onto the grid of the slowest, as the model does."""
    averaged = [_average(graph, s, max(hops) // hop) for s, hop in zip(sequences, hops, strict=True)]
    shortest = graph.op("Min", *(graph.size(sequence, 2) for sequence in averaged))
    return [graph.op("Slice", sequence, [0], shortest, [2]) for sequence in averaged]


def _average(graph: OnnxGraph, frames: str, ratio: int) -> str:
    """Return the means of `ratio` frames each; the last may be of fewer."""
    if ratio == 1:
        return frames
    counts = graph.op("Expand", np.float32(1), graph.join(1, 1, graph.size(frames, 2)))
    return graph.op("Div", _sums(graph, frames, ratio), _sums(graph, counts, ratio))


def _sums(graph: OnnxGraph, frames: str, ratio: int) -> str:
    size = graph.size(frames, 2)
    # frames missing to a multiple: -size % ratio
    missing = graph.op("Mod", graph.op("Neg", size), [ratio])
    whole = graph.op("Pad", frames, graph.join(0, 0, 0, 0, 0, missing))
    return graph.op("ReduceSum", graph.op("Reshape", whole, [0, 0, -1, ratio]), [3], keepdims=0)
