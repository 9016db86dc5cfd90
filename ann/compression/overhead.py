"""Bytes of a graph that are no weights: names, constants that stand in it twice, integers stored wide."""

from collections import Counter
from collections.abc import Iterator
from itertools import count

import numpy as np
import onnx
from onnx import AttributeProto, defs, helper, numpy_helper


def merge_equal(graph: onnx.GraphProto) -> None:
    """Keep one of each set of equal constants, in place; those that are inputs or outputs of the graph stay."""
    fixed = {put.name for put in (*graph.input, *graph.output)}
    first: dict[bytes, str] = {}
    instead: dict[str, str] = {}
    kept = []
    for tensor in graph.initializer:
        content = onnx.TensorProto()
        content.CopyFrom(tensor)
        content.name = ""
        key = content.SerializeToString(deterministic=True)
        if tensor.name in fixed or first.setdefault(key, tensor.name) == tensor.name:
            kept.append(tensor)
        else:
            instead[tensor.name] = first[key]
    del graph.initializer[:]
    graph.initializer.extend(kept)
    _rename(graph, instead)


def narrow(graph: onnx.GraphProto) -> None:
    """Store whole-number constants in the shorter of two ways, in place."""
    for tensor in graph.initializer:
        if tensor.data_type in (onnx.TensorProto.INT32, onnx.TensorProto.INT64):
            tensor.CopyFrom(small_tensor(numpy_helper.to_array(tensor), tensor.name))


def shorten(graph: onnx.GraphProto) -> None:
    """Give what stands between inputs and outputs short names, the most used ones the shortest, and nodes none."""
    fixed = {put.name for put in (*graph.input, *graph.output)}
    values = [tensor.name for tensor in graph.initializer] + [name for node in graph.node for name in node.output]
    inside = {name for name in values if name} - fixed
    used = Counter(name for node in graph.node for name in (*node.input, *node.output) if name in inside)
    used.update(name for name in _names_within(graph) if name in inside)
    taken = fixed | set(_names_within(graph))
    free = (name for name in map(letters, count()) if name not in taken)
    ordered = sorted(dict.fromkeys(name for name in values if name in inside), key=lambda name: -used[name])
    _rename(graph, dict(zip(ordered, free, strict=False)))
    for node in graph.node:
        node.name = ""


def drop_defaults(graph: onnx.GraphProto, versions: dict[str, int]) -> None:
    """Leave out attributes that say what the operator's definition says anyway, in place; `versions` are by domain."""
    for node in graph.node:
        for inner in _graphs_of(node):
            drop_defaults(inner, versions)
        if node.domain in versions and defs.has(node.op_type, node.domain):
            definition = defs.get_schema(node.op_type, versions[node.domain], node.domain)
            defaults = {name: known.default_value for name, known in definition.attributes.items()}
            for attribute in list(node.attribute):
                default = defaults.get(attribute.name, AttributeProto())
                if default.type == attribute.type and _value(default) == _value(attribute):
                    node.attribute.remove(attribute)


def _value(attribute: AttributeProto) -> object:
    return helper.get_attribute_value(attribute)


def small_tensor(value: np.ndarray, name: str = "") -> onnx.TensorProto:
    """Return a tensor in whichever of raw bytes and integers of variable length is shorter."""
    raw = numpy_helper.from_array(value, name)
    if value.dtype not in (np.int64, np.int32):
        return raw
    typed = helper.make_tensor(name, raw.data_type, value.shape, value.ravel().tolist())
    return min(raw, typed, key=lambda tensor: tensor.ByteSize())


def letters(number: int) -> str:
    """Return a, b, ... z, ba, bb, ..."""
    high, low = divmod(number, 26)
    return (letters(high) if high else "") + chr(ord("a") + low)


def _rename(graph: onnx.GraphProto, names: dict[str, str]) -> None:
    """Rename values where they are made and wherever they are read, branches and loop bodies included."""
    for tensor in graph.initializer:
        tensor.name = names.get(tensor.name, tensor.name)
    for node in graph.node:
        for puts in (node.input, node.output):
            puts[:] = [names.get(name, name) for name in puts]
        for inner in _graphs_of(node):
            for put in inner.output:  # an inner graph may hand out a value of the outer one
                put.name = names.get(put.name, put.name)
            _rename(inner, names)


def _names_within(graph: onnx.GraphProto) -> Iterator[str]:
    """Yield every name that the inner graphs of a graph mention, as often as they do."""
    for node in graph.node:
        for inner in _graphs_of(node):
            yield from (item.name for item in (*inner.input, *inner.output, *inner.initializer))
            yield from (name for part in inner.node for name in (*part.input, *part.output))
            yield from _names_within(inner)


def _graphs_of(node: onnx.NodeProto) -> Iterator[onnx.GraphProto]:
    for attribute in node.attribute:
        if attribute.type == AttributeProto.GRAPH:
            yield attribute.g
        yield from attribute.graphs
