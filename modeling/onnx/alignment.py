"""Frames of several rates on one grid, as an ONNX graph."""

from __future__ import annotations

import numpy as np

from .graph import OnnxGraph


def align_frames(graph: OnnxGraph, sequences: list[str], hops: list[int]) -> list[str]:
    """
    Bring sequences of one clip onto the grid of the slowest, as `align_frames` of the model does.

    Args:
        graph: to add to.
        sequences: (1, width, frames) each, all valid.
        hops: samples between two frames of each; each divides the largest.

    Returns:
        (1, width, frames) each, of equal length.
    """
    averaged = [_average(graph, s, max(hops) // hop) for s, hop in zip(sequences, hops, strict=True)]
    shortest = graph.op("Min", *(graph.size(sequence, 2) for sequence in averaged))
    return [graph.op("Slice", sequence, graph.ints(0), shortest, graph.ints(2)) for sequence in averaged]


def _average(graph: OnnxGraph, frames: str, ratio: int) -> str:
    """Means of `ratio` frames; the last may be of fewer."""
    if ratio == 1:
        return frames
    counts = graph.op("Expand", graph.constant(np.float32(1)), graph.join(1, 1, graph.size(frames, 2)))
    return graph.op("Div", _sums(graph, frames, ratio), _sums(graph, counts, ratio))


def _sums(graph: OnnxGraph, frames: str, ratio: int) -> str:
    size = graph.size(frames, 2)
    # what is missing to a multiple; whole numbers alone, as -size % ratio
    missing = graph.op("Mod", graph.op("Neg", size), graph.ints(ratio))
    whole = graph.op("Pad", frames, graph.join(0, 0, 0, 0, 0, missing))
    return graph.op("ReduceSum", graph.op("Reshape", whole, graph.ints(0, 0, -1, ratio)), graph.ints(3), keepdims=0)
