"""Fold what a graph computes from constants alone, where a quantizer wants to see a constant."""

import onnx
from onnx import helper, numpy_helper
from onnx.reference import ReferenceEvaluator

CELLS = ("GRU", "LSTM", "RNN")
"""Their weights come out of torch's order of gates by operators in the graph."""


def folded_cells(model: onnx.ModelProto) -> onnx.ModelProto:
    """Return a copy in which weights and biases of recurrent cells are constants."""
    constants = {tensor.name for tensor in model.graph.initializer}
    wanted = {name for node in model.graph.node if node.op_type in CELLS for name in node.input[1:4]} - constants - {""}
    needed = set(wanted)
    makers: list[onnx.NodeProto] = []
    for node in reversed(model.graph.node):
        if needed.intersection(node.output):
            makers.insert(0, node)
            needed.update(node.input)
    if not wanted or needed & {put.name for put in model.graph.input}:
        return _copy(model)
    outputs = [helper.make_empty_tensor_value_info(name) for name in sorted(wanted)]
    tensors = [tensor for tensor in model.graph.initializer if tensor.name in needed]
    graph = helper.make_graph(makers, "constants", [], outputs, tensors)
    values = ReferenceEvaluator(helper.make_model(graph, opset_imports=model.opset_import)).run(None, {})
    result = _copy(model)
    result.graph.initializer.extend(
        numpy_helper.from_array(value, put.name) for put, value in zip(outputs, values, strict=True)
    )
    _drop(result.graph, wanted)
    return result


def _drop(graph: onnx.GraphProto, made: set[str]) -> None:
    """Remove the nodes that made some values, and then all that nobody reads."""
    read = {put.name for put in graph.output}
    kept: list[onnx.NodeProto] = []
    for node in reversed(graph.node):
        if read.intersection(node.output) and not made.intersection(node.output):
            kept.insert(0, node)
            read.update(node.input)
    tensors = [tensor for tensor in graph.initializer if tensor.name in read]
    del graph.node[:], graph.initializer[:]
    graph.node.extend(kept)
    graph.initializer.extend(tensors)


def _copy(model: onnx.ModelProto) -> onnx.ModelProto:
    result = onnx.ModelProto()
    result.CopyFrom(model)
    return result
