"""Write static int8 into a graph: pairs of QuantizeLinear and DequantizeLinear, which ONNX Runtime turns into kernels.

Weights have 7 bits and a scale an output, which processors without VNNI add without overflow; biases 32 bits and the
scale of the product; activations 8 bits and a scale a tensor.
"""

from dataclasses import dataclass
from typing import NamedTuple, TypeAlias

import numpy as np
import onnx
from onnx import helper, numpy_helper

from ann.compression.affine import Numbers, affine_of, quantize_affine
from ann.compression.layers import Layer

WEIGHT_BITS, ACTIVATION_BITS = 7, 8
BIAS_CODES = 2.0**30
"""A bias takes at most half of what 32 bits hold, so that the sum of products has room."""


class Range(NamedTuple):
    """Least and greatest value of an activation."""

    low: float
    high: float


@dataclass(frozen=True)
class LayerRange:
    """Ranges of what enters a layer and, where a kernel wants it, of what leaves it (behind its Relu)."""

    input: Range
    output: Range | None = None


Ranges: TypeAlias = dict[str, LayerRange]
"""By the name of the layer's weight in the network."""


@dataclass(frozen=True)
class Place:
    """A layer to quantize, and the value at which its output is quantized, too."""

    layer: Layer
    ranges: LayerRange
    output: str | None


def write_qdq(model: onnx.ModelProto, places: list[Place]) -> onnx.ModelProto:
    """Return a copy in which the layers of `places` compute in int8; all others stay as they are."""
    result = onnx.ModelProto()
    result.CopyFrom(model)
    _Writer(result.graph, places).write()
    return result


class _Writer:
    """Goes through a graph once, in the order of computation, and puts pairs between its nodes."""

    def __init__(self, graph: onnx.GraphProto, places: list[Place]) -> None:
        self._graph = graph
        self._places = {place.layer.node: place for place in places}
        self._outputs = {place.output: place.ranges.output for place in places if place.output is not None}
        self._constants = {tensor.name: tensor for tensor in graph.initializer}
        self._nodes: list[onnx.NodeProto] = []
        self._instead: dict[str, str] = {}
        """What is read in place of a value."""
        self._pairs: dict[tuple[str, Range], str] = {}

    def write(self) -> None:
        for node in list(self._graph.node):
            for index, name in enumerate(node.input):
                node.input[index] = self._instead.get(name, name)
            if (place := self._places.get(node.name)) is not None:
                self._quantize(node, place)
            self._nodes.append(node)
            for name in node.output:
                if (found := self._outputs.get(name)) is not None:
                    self._instead[name] = self._pair(name, found)
        del self._graph.node[:]
        self._graph.node.extend(self._nodes)
        read = {name for node in self._nodes for name in node.input}
        del self._graph.initializer[:]
        self._graph.initializer.extend(tensor for name, tensor in self._constants.items() if name in read)

    def _quantize(self, node: onnx.NodeProto, place: Place) -> None:
        layer, entering = place.layer, place.ranges.input
        if self._outputs.get(layer.x) != entering:  # else what enters has this very range already
            node.input[0] = self._pair(node.input[0], entering)
        x_scale, _ = affine_of(*entering, ACTIVATION_BITS, symmetric=False)
        values = numpy_helper.to_array(self._constants[layer.weight])
        bias = None if layer.bias is None else numpy_helper.to_array(self._constants[layer.bias])
        least = 0.0 if bias is None else np.abs(bias) / (x_scale * BIAS_CODES)
        codes, scale, zero_point = quantize_affine(values, WEIGHT_BITS, symmetric=True, axis=layer.axis, least=least)
        node.input[1] = self._constant_pair(layer.weight, layer.node, codes, scale, zero_point, layer.axis)
        if bias is not None and layer.bias is not None:
            codes = np.rint(bias / (x_scale * scale)).astype(np.int32)
            zero_point = np.zeros(scale.shape, np.int32)
            node.input[2] = self._constant_pair(layer.bias, layer.node, codes, x_scale * scale, zero_point, 0)

    def _pair(self, value: str, covered: Range) -> str:
        """Quantize a value and take it back."""
        if (value, covered) not in self._pairs:
            number = sum(name == value for name, _ in self._pairs)
            stem = f"{value}/int8" + (f"_{number}" if number else "")
            scale, zero_point = affine_of(*covered, ACTIVATION_BITS, symmetric=False)
            zero_point = (zero_point.astype(np.int16) + 128).astype(np.uint8)  # the kernels' own type on x86
            how = [self._constant(f"{stem}_scale", scale), self._constant(f"{stem}_zero_point", zero_point)]
            self._node("QuantizeLinear", [value, *how], stem)
            self._node("DequantizeLinear", [stem, *how], f"{stem}_back")
            self._pairs[value, covered] = f"{stem}_back"
        return self._pairs[value, covered]

    def _constant_pair(
        self, name: str, node: str, codes: Numbers, scale: Numbers, zero_point: Numbers, axis: int
    ) -> str:
        """Store a constant in codes and take it back; `node` tells layers apart that share it."""
        stem = f"{name}/{node}" if f"{name}/codes" in self._constants else name
        parts = [
            self._constant(f"{stem}/{kind}", part)
            for kind, part in (("codes", codes), ("scale", scale), ("zero_point", zero_point))
        ]
        self._node("DequantizeLinear", parts, f"{stem}/back")
        self._nodes[-1].attribute.append(helper.make_attribute("axis", axis))
        return f"{stem}/back"

    def _constant(self, name: str, values: Numbers) -> str:
        self._constants[name] = numpy_helper.from_array(values, name)
        return name

    def _node(self, kind: str, inputs: list[str], output: str) -> None:
        self._nodes.append(helper.make_node(kind, inputs, [output], name=f"{output}_node"))
