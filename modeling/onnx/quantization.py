"""Weights of an ONNX model stored in eight bits."""

import numpy as np
import onnx
from onnx import helper, numpy_helper


# smaller ones cost accuracy and save nothing
SMALLEST_WEIGHT = 1024
# operator: which of its inputs are weights, and the axis of their outputs
ENCODER_AXIS = -1
_CHANNEL_AXES = {"Conv": {1: 0}, "GRU": {1: 1, 2: 1}, "MatMul": {1: ENCODER_AXIS}}


def store_int8(model: onnx.ModelProto) -> None:
    """Store the weights of convolutions, GRUs and linear layers as integers with a scale per output channel.

    The integers are -127 to 127; everything is still computed in float32.
    The linear layers of an encoder have a scale per input as well: the few large channels of a transformer meet small
    weights, which would be rounded to zero beside the others. A Cast and a Mul restore the weights, which onnxruntime
    computes once when it loads the file; it would compute a DequantizeLinear at every run. The model is changed in
    place.
    """
    graph = model.graph
    axes = _weight_axes(graph)
    nodes, kept = [], []
    for initializer in graph.initializer:
        axis = axes.get(initializer.name)
        if axis is None:
            kept.append(initializer)
            continue
        parts, restoring = _quantized(numpy_helper.to_array(initializer), axis, initializer.name)
        kept += parts
        nodes += restoring
    nodes += graph.node
    del graph.initializer[:], graph.node[:]
    graph.initializer.extend(kept)
    graph.node.extend(nodes)
    onnx.checker.check_model(model, full_check=True)


def _weight_axes(graph: onnx.GraphProto) -> dict[str, int]:
    """Return the axis of the output channels for each initializer that is a weight of a layer."""
    large = {
        initializer.name
        for initializer in graph.initializer
        if initializer.data_type == onnx.TensorProto.FLOAT
        and len(initializer.dims) > 1
        and np.prod(initializer.dims) >= SMALLEST_WEIGHT
    }
    axes = {}
    for node in graph.node:
        channel_axes = _CHANNEL_AXES.get(node.op_type, {})
        if node.op_type == "Gemm":
            transposed = any(attribute.name == "transB" and attribute.i for attribute in node.attribute)
            channel_axes = {1: 0 if transposed else 1}
        for place, axis in channel_axes.items():
            if node.input[place] in large:
                axes[node.input[place]] = axis
    return axes


def _quantized(weight: np.ndarray, axis: int, name: str) -> tuple[list, list]:
    """Return initializers and nodes that restore the weight under its name."""
    scales = []
    if axis == ENCODER_AXIS:
        scales.append(np.sqrt(np.square(weight).mean(axis=-1, keepdims=True)))
        weight = weight / _nonzero(scales[0])
    others = tuple(i for i in range(weight.ndim) if i != axis % weight.ndim)
    scales.append(_nonzero(np.abs(weight).max(axis=others, keepdims=True) / 127))
    whole = np.rint(weight / scales[-1]).astype(np.int8)
    initializers = [numpy_helper.from_array(whole, f"{name}.int8")]
    nodes = [helper.make_node("Cast", [f"{name}.int8"], [f"{name}.0"], to=onnx.TensorProto.FLOAT)]
    for number, scale in enumerate(scales):
        last = number == len(scales) - 1
        initializers.append(numpy_helper.from_array(scale.astype(np.float32), f"{name}.scale{number}"))
        inputs = [f"{name}.{number}", f"{name}.scale{number}"]
        nodes.append(helper.make_node("Mul", inputs, [name if last else f"{name}.{number + 1}"]))
    return initializers, nodes


def _nonzero(scale: np.ndarray) -> np.ndarray:
    return np.where(scale > 0, scale, 1)
