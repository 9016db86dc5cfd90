"""A small builder of ONNX graphs: every node has a name, every value a producer, every initializer its type."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, checker, helper, numpy_helper

OPSET = 20
"""Operator set of every graph that ann writes; 20 is the first with StringSplit."""
ML_OPSET = 3
IR_VERSION = 10
MICROSOFT = "com.microsoft"
"""Domain of operators that every build of ONNX Runtime has and the standard has not."""

ELEMENT = {
    np.dtype(np.float32): TensorProto.FLOAT,
    np.dtype(np.float64): TensorProto.DOUBLE,
    np.dtype(np.int64): TensorProto.INT64,
    np.dtype(np.uint8): TensorProto.UINT8,
    np.dtype(bool): TensorProto.BOOL,
    np.dtype(object): TensorProto.STRING,
}
Shape = Sequence[int | str]


class GraphBuilder:
    """Collects nodes in the order of computation; `op` returns the name of a node's output."""

    def __init__(self, name: str) -> None:
        self.name = name
        self._nodes: list[onnx.NodeProto] = []
        self._initializers: list[onnx.TensorProto] = []
        self._inputs: list[onnx.ValueInfoProto] = []
        self._outputs: list[onnx.ValueInfoProto] = []

    def input(self, name: str, dtype: type | np.dtype, shape: Shape) -> str:
        """Declare an input of the graph."""
        self._inputs.append(helper.make_tensor_value_info(name, ELEMENT[np.dtype(dtype)], list(shape)))
        return name

    def constant(self, name: str, value: np.ndarray) -> str:
        """Store a constant tensor of numbers."""
        self._initializers.append(numpy_helper.from_array(value, name))
        return name

    def op(self, kind: str, *inputs: str, output: str | None = None, domain: str = "", **attributes: Any) -> str:
        """Append a node with one output and return the output's name, by default one made from the kind."""
        output = output or f"{self.name}/{kind.lower()}_{len(self._nodes)}"
        self._nodes.append(
            helper.make_node(
                kind, list(inputs), [output], name=f"{self.name}/node_{len(self._nodes)}", domain=domain, **attributes
            )
        )
        return output

    def cast(self, value: str, dtype: type | np.dtype) -> str:
        """Append a conversion of type."""
        return self.op("Cast", value, to=ELEMENT[np.dtype(dtype)])

    def output(self, name: str, dtype: type | np.dtype, shape: Shape) -> None:
        """Declare an output of the graph."""
        self._outputs.append(helper.make_tensor_value_info(name, ELEMENT[np.dtype(dtype)], list(shape)))

    def model(self) -> onnx.ModelProto:
        """Return the checked model."""
        graph = helper.make_graph(self._nodes, self.name, self._inputs, self._outputs, self._initializers)
        opsets = [helper.make_opsetid("", OPSET), helper.make_opsetid("ai.onnx.ml", ML_OPSET)]
        if any(node.domain == MICROSOFT for node in self._nodes):
            opsets.append(helper.make_opsetid(MICROSOFT, 1))
        model = helper.make_model(graph, opset_imports=opsets, ir_version=IR_VERSION, producer_name="ann")
        checker.check_model(model, full_check=True)
        return model


def save_model(model: onnx.ModelProto, path: Path) -> None:
    """Write a single file, through a neighbour that takes its place."""
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_suffix(".tmp")
    beside.write_bytes(model.SerializeToString(deterministic=True))
    beside.replace(path)
