"""A small builder of ONNX graphs: operators by name, constants shared, one file at the end."""

from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper


# the lowest that have all operators in use: onnxruntime 1.20 and later read them, and so do most converters
OPSET = 18
IR_VERSION = 9
_ELEMENT_TYPES = {"float32": TensorProto.FLOAT, "float64": TensorProto.DOUBLE, "int64": TensorProto.INT64}


class OnnxGraph:
    """Collects nodes, constants, inputs and outputs in the order in which they are added.

    A tensor is the name that [`OnnxGraph.op`] returned, or that of an input.
    """

    def __init__(self):
        self._nodes, self._initializers, self._inputs, self._outputs = [], [], [], []
        self._constants: dict[tuple, str] = {}
        self._computed: dict[tuple, str | list[str]] = {}
        self._count = 0

    def input(self, name: str, dtype: str, shape: list[int | str]) -> str:
        """Add an input and return its name.

        Args:
            dtype: `"float32"`, `"float64"` or `"int64"`.
            shape: per axis its size, or a name where it varies.
        """
        self._inputs.append(helper.make_tensor_value_info(name, _ELEMENT_TYPES[dtype], shape))
        return name

    def output(self, name: str, tensor: str, shape: list[int | str], dtype: str = "float32") -> None:
        """Give a tensor the name and the shape under which it leaves the graph."""
        self._nodes.append(helper.make_node("Identity", [tensor], [name]))
        self._outputs.append(helper.make_tensor_value_info(name, _ELEMENT_TYPES[dtype], shape))

    def constant(self, array) -> str:
        """Return a constant tensor of a numpy array or scalar, or a list of integers; equal ones are stored once."""
        array = np.array(array, np.int64) if isinstance(array, list) else np.asarray(array, order="C")
        key = (array.dtype.str, array.shape, array.tobytes())
        if key not in self._constants:
            self._constants[key] = self._new_name("c")
            self._initializers.append(numpy_helper.from_array(array, self._constants[key]))
        return self._constants[key]

    def range(self, values: range) -> str:
        """Return the int64 numbers of a range without storing them."""
        return self.op("Range", *map(np.int64, (values.start, values.stop, values.step)))

    def op(self, op_type: str, *inputs, outputs: int = 1, **attributes) -> Any:
        """Add an operator and return its output, or a list where `outputs` is above 1; equal ones are added once.

        Inputs are tensors, numpy arrays or scalars, or lists of integers (int64); `""` is one left out.
        """
        inputs = tuple(value if isinstance(value, str) else self.constant(value) for value in inputs)
        key = (op_type, inputs, outputs, repr(sorted(attributes.items())))
        if key not in self._computed:
            names = [self._new_name(op_type.lower()) for _ in range(outputs)]
            self._nodes.append(helper.make_node(op_type, list(inputs), names, **attributes))
            self._computed[key] = names[0] if outputs == 1 else names
        return self._computed[key]

    def cast(self, tensor, dtype: str) -> str:
        """Return the tensor as another numpy type."""
        return self.op("Cast", tensor, to=helper.np_dtype_to_tensor_dtype(np.dtype(dtype)))

    def size(self, tensor: str, axis: int) -> str:
        """Return the tensor's size along an axis, (1,) int64."""
        return self.op("Shape", tensor, start=axis, end=axis + 1)

    def join(self, *parts: str | int) -> str:
        """Return a shape from numbers and (1,) tensors."""
        return self.op("Concat", *([part] if isinstance(part, int) else part for part in parts), axis=0)

    def inline(self, model: onnx.ModelProto, inputs: list[str]) -> list[str]:
        """Add another model's nodes, with tensors in place of its inputs, and return those in place of its outputs.

        The model has the same opset and all its weights inside; a node that holds a graph of its own, as loops do,
        raises a `ValueError`.
        """
        names = {"": "", **dict(zip((value.name for value in model.graph.input), inputs, strict=True))}
        prefix = self._new_name("inlined")

        def renamed(name: str) -> str:
            return names.setdefault(name, f"{prefix}.{name}")

        for initializer in model.graph.initializer:
            copy = TensorProto.FromString(initializer.SerializeToString())
            copy.name = renamed(initializer.name)
            self._initializers.append(copy)
        for node in model.graph.node:
            if any(attribute.HasField("g") for attribute in node.attribute):
                raise ValueError(f"{node.op_type} holds a graph of its own, which is not inlined here")
            copy = onnx.NodeProto.FromString(node.SerializeToString())
            copy.name = ""
            copy.input[:] = [renamed(name) for name in node.input]
            copy.output[:] = [renamed(name) for name in node.output]
            del copy.metadata_props[:]
            self._nodes.append(copy)
        return [renamed(value.name) for value in model.graph.output]

    def model(self, name: str, metadata: dict[str, str]) -> onnx.ModelProto:
        """Return the whole as a checked model with these metadata."""
        graph = helper.make_graph(self._nodes, name, self._inputs, self._outputs, self._initializers)
        model = helper.make_model(
            graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=IR_VERSION, producer_name="speech-affect"
        )
        helper.set_model_props(model, metadata)
        onnx.checker.check_model(model, full_check=True)
        return model

    def _new_name(self, kind: str) -> str:
        self._count += 1
        return f"{kind}{self._count}"
