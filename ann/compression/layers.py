"""What of an ONNX graph can be quantized: products with constant weights, and where their inputs and outputs lie."""

from collections.abc import Iterable, Set
from dataclasses import dataclass

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

OPERATORS = ("Conv", "Gemm", "MatMul")
"""Softmax and the arithmetic around them lose accuracy in int8 and gain nothing; so do products of two activations."""
RELAYS = ("Flatten", "MaxPool", "Reshape", "Squeeze", "Transpose", "Unsqueeze")
"""Operators that only move or choose values, so that ONNX Runtime takes a quantization over them."""


@dataclass(frozen=True)
class Layer:
    """A node that multiplies its input by constant weights."""

    node: str
    kind: str
    """One of OPERATORS."""
    x: str
    weight: str
    bias: str | None
    """A constant that is added within the node."""
    output: str
    axis: int
    """Axis of the weight along which outputs lie."""


def layers_of(model: onnx.ModelProto) -> list[Layer]:
    """Return the layers in the order of computation.

    Left out are weights of more than two axes in a MatMul (one matrix a member: no kernel takes their scales), and a
    Gemm with factors or a transposed input.
    """
    constants = {tensor.name: tensor for tensor in model.graph.initializer}
    layers = []
    for node in model.graph.node:
        if node.domain or node.op_type not in OPERATORS or node.input[0] in constants:
            continue
        weight = constants.get(node.input[1])
        if weight is None or weight.data_type != TensorProto.FLOAT or not _fits(node, weight):
            continue
        bias = node.input[2] if len(node.input) > 2 and node.input[2] else None
        if bias is not None and (bias not in constants or len(constants[bias].dims) != 1):
            continue
        layers.append(Layer(node.name, node.op_type, node.input[0], weight.name, bias, node.output[0], _axis(node)))
    return layers


def output_place(model: onnx.ModelProto, layer: Layer, quantized: Iterable[Layer]) -> str | None:
    """Return the value whose range a convolution needs so that ONNX Runtime computes it in int8, or None.

    It needs none where all that follows it, but for a Relu and relays, are inputs of `quantized` layers, whose ranges
    hold there, too. A Relu is taken into the convolution, so the place lies behind it. Dense layers have kernels that
    answer in float.
    """
    if layer.kind != "Conv":
        return None
    readers = _readers(model)
    place = behind_relu(model, layer.output)
    inputs = {(other.node, other.x) for other in quantized}
    outputs = {output.name for output in model.graph.output}

    def absorbed(value: str) -> bool:
        following = readers.get(value, [])
        if value in outputs or not following:
            return False
        return all(
            (node.name, value) in inputs or (_relays(node, value) and absorbed(node.output[0])) for node in following
        )

    return None if absorbed(place) else place


def behind_relu(model: onnx.ModelProto, value: str) -> str:
    """Return the output of the Relu that alone reads `value`, or `value`."""
    following = _readers(model).get(value, [])
    if len(following) == 1 and following[0].op_type == "Relu" and value not in _names(model.graph.output):
        return str(following[0].output[0])
    return value


def reached(model: onnx.ModelProto, value: str) -> Set[str]:
    """Return `value` and what relays make of it."""
    found, waiting = {value}, [value]
    readers = _readers(model)
    while waiting:
        current = waiting.pop()
        for node in readers.get(current, []):
            if _relays(node, current) and node.output[0] not in found:
                found.add(node.output[0])
                waiting.append(node.output[0])
    return found


def weights_of(model: onnx.ModelProto, state: dict[str, np.ndarray]) -> dict[str, str]:
    """Return by layer's node the name of its weight in a network's state, as far as it is found.

    Gemm and Conv keep the name; of a MatMul the exporter transposes the matrix and forgets it, so values are compared.
    """
    constants = {tensor.name: tensor for tensor in model.graph.initializer}
    prints: dict[bytes, str] = {}
    for name, values in state.items():
        prints.setdefault(_print(values), name)
    found = {}
    for layer in layers_of(model):
        if layer.weight in state:
            found[layer.node] = layer.weight
            continue
        values = numpy_helper.to_array(constants[layer.weight])
        same = prints.get(_print(values.T)) or prints.get(_print(values))
        if same is not None:
            found[layer.node] = same
    return found


def _print(values: np.ndarray) -> bytes:
    return repr(values.shape).encode() + np.ascontiguousarray(values).tobytes()


def _fits(node: onnx.NodeProto, weight: TensorProto) -> bool:
    if node.op_type == "Conv":
        return True
    attributes = {attribute.name: helper.get_attribute_value(attribute) for attribute in node.attribute}
    plain = attributes.get("alpha", 1.0) == attributes.get("beta", 1.0) == 1.0 and not attributes.get("transA", 0)
    return plain and len(weight.dims) == 2


def _axis(node: onnx.NodeProto) -> int:
    if node.op_type == "Conv":
        return 0
    transposed = any(attribute.name == "transB" and attribute.i for attribute in node.attribute)
    return 0 if transposed else 1


def _readers(model: onnx.ModelProto) -> dict[str, list[onnx.NodeProto]]:
    readers: dict[str, list[onnx.NodeProto]] = {}
    for node in model.graph.node:
        for name in dict.fromkeys(node.input):
            readers.setdefault(name, []).append(node)
    return readers


def _relays(node: onnx.NodeProto, value: str) -> bool:
    return node.op_type in RELAYS and not node.domain and node.input[0] == value


def _names(values: Iterable[onnx.ValueInfoProto]) -> set[str]:
    return {value.name for value in values}
