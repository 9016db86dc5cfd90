"""Weights stored in 8 or 4 bits, activations in float.

The graph itself unpacks them by standard operators, which ONNX Runtime folds into constants when it loads the file: the
kernels that run are those of fp32, at their speed. DequantizeLinear would not be folded, and ONNX Runtime makes
MatMulNBits of it, which quantizes activations; MatMulNBits on float activations is slower than fp32 for 8 bits, and for
4 bits where a batch is large (docs/decisions/quantization.md).
"""

from collections.abc import Iterator, Set

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from ann.compression.affine import Numbers, code_range, quantize_affine

BLOCKS = {4: 32, 8: 128}
"""Consecutive weights that share a scale, by bits."""
SHARES = np.linspace(0.95, 0.6, 8)
"""Of the scale that covers a block of 4 bits: what else is tried."""
LEAST = 512
"""Weights of a tensor below which the nodes that unpack it take more bytes than they save."""
READS = {"Conv": (1,), "Gemm": (1,), "MatMul": (0, 1), "LSTM": (1, 2), "GRU": (1, 2), "RNN": (1, 2), "Gather": (0,)}
"""Operators that multiply by weights, or look embeddings up, and which of their inputs these are."""
ARRANGES = ("Concat", "Identity", "Reshape", "Slice", "Split", "Squeeze", "Transpose", "Unsqueeze")
"""Operators that may stand between a stored tensor and the node that reads it."""


def stored_weights(model: onnx.ModelProto) -> dict[str, list[str]]:
    """Return by node the tensors of weights that it reads: float, of two axes or more, and not tiny."""
    tensors = {
        tensor.name: tensor
        for tensor in model.graph.initializer
        if tensor.data_type == TensorProto.FLOAT and len(tensor.dims) >= 2 and np.prod(tensor.dims) >= LEAST
    }
    makers = {output: node for node in model.graph.node for output in node.output}

    def sources(value: str) -> Iterator[str]:
        if value in tensors:
            yield value
        elif value in makers and makers[value].op_type in ARRANGES:
            for name in makers[value].input:
                yield from sources(name)

    constant = {tensor.name for tensor in model.graph.initializer}
    found = {}
    for node in model.graph.node:
        if node.op_type == "Gather" and node.input[1] in constant:
            continue  # a choice of columns, not of embeddings
        places = READS.get(node.op_type, ()) if not node.domain else ()
        names = [name for place in places for name in sources(node.input[place])]
        if names:
            found[node.name] = list(dict.fromkeys(names))
    return found


def quantize_weights(model: onnx.ModelProto, bits: int, exclude: Set[str] = frozenset()) -> onnx.ModelProto:
    """Return a copy whose weights are stored in `bits`, 4 or 8, with a scale a block; nodes of `exclude` keep theirs.

    A tensor that an excluded node shares with others stays float.
    """
    reading = stored_weights(model)
    kept = {name for node in exclude for name in reading.get(node, ())}
    chosen = {name for names in reading.values() for name in names} - kept
    result = onnx.ModelProto()
    result.CopyFrom(model)
    nodes: list[onnx.NodeProto] = []
    constants: list[TensorProto] = []
    for tensor in model.graph.initializer:
        if tensor.name in chosen:
            own, steps = _unpacked(tensor.name, numpy_helper.to_array(tensor), bits)
            constants += [numpy_helper.from_array(values, name) for name, values in own.items()]
            nodes += steps
        else:
            constants.append(tensor)
    read = {name for node in nodes for name in node.input}
    shared = {f"{SHARED}{name}": values for name, values in CONSTANTS.items()}
    constants += [numpy_helper.from_array(values, name) for name, values in shared.items() if name in read]
    nodes += model.graph.node
    del result.graph.initializer[:], result.graph.node[:]
    result.graph.initializer.extend(constants)
    result.graph.node.extend(nodes)
    return result


def _unpacked(name: str, values: Numbers, bits: int) -> tuple[dict[str, Numbers], list[onnx.NodeProto]]:
    """Return the constants that stand for a tensor, and the nodes that make it of them."""
    flat = np.pad(values.reshape(-1), (0, -values.size % BLOCKS[bits]))
    codes, scale = coded_blocks(flat.reshape(-1, BLOCKS[bits]), bits)
    own: dict[str, Numbers] = {"codes": codes, "scale": scale[:, None], "shape": np.array(values.shape, np.int64)}
    steps = [("Cast", ["codes"], "float")]
    if bits == 4:
        half = BLOCKS[bits] // 2
        unsigned = (codes + 8).astype(np.uint8)
        own["codes"] = unsigned[:, :half] | (unsigned[:, half:] << 4)  # the second half of a block in the upper bits
        steps = [
            ("BitwiseAnd", ["codes", "/lower"], "first"),
            ("BitShift", ["codes", "/four"], "second"),
            ("Concat", ["first", "second"], "both"),
            ("Cast", ["both"], "unsigned"),
            ("Sub", ["unsigned", "/eight"], "float"),
        ]
    steps.append(("Mul", ["float", "scale"], "blocks"))
    if len(flat) != values.size:
        own["end"] = np.array([values.size], np.int64)
        steps += [("Reshape", ["blocks", "/flat"], "padded"), ("Slice", ["padded", "/start", "end"], "whole")]
    steps.append(("Reshape", [steps[-1][2], "shape"], ""))

    def inside(part: str) -> str:
        return f"{SHARED}{part}" if part.startswith("/") else f"{name}/{part}" if part else name

    nodes = []
    for number, (kind, inputs, output) in enumerate(steps):
        node = helper.make_node(kind, list(map(inside, inputs)), [inside(output)], name=f"{name}/unpack_{number}")
        node.attribute.extend(helper.make_attribute(key, value) for key, value in ATTRIBUTES.get(kind, {}).items())
        nodes.append(node)
    return {inside(part): part_values for part, part_values in own.items()}, nodes


def coded_blocks(blocks: Numbers, bits: int) -> tuple[Numbers, Numbers]:
    """(N, size) -> int8 codes of the same shape, and (N,) scales.

    Of some scales that cut the largest weights off, each block takes the one whose squared error is least; 8 bits are
    fine enough without.
    """
    best, scale, _ = quantize_affine(blocks, bits, symmetric=True, axis=0)
    if bits == 8:
        return best, scale
    limit = code_range(bits, symmetric=True)[1]
    whole, least = scale, np.square(best * scale[:, None] - blocks).sum(axis=1)
    for share in SHARES:
        smaller = whole * np.float32(share)
        codes = np.clip(np.rint(blocks / smaller[:, None]), -limit, limit).astype(np.int8)
        error = np.square(codes * smaller[:, None] - blocks).sum(axis=1)
        better = error < least
        best, scale = np.where(better[:, None], codes, best), np.where(better, smaller, scale)
        least = np.minimum(error, least)
    return best, scale


SHARED = "weights"
CONSTANTS: dict[str, Numbers] = {
    "/eight": np.array(8, np.float32),
    "/flat": np.array([-1], np.int64),
    "/four": np.array(4, np.uint8),
    "/lower": np.array(15, np.uint8),
    "/start": np.zeros(1, np.int64),
}
"""What the nodes of all tensors share."""
ATTRIBUTES: dict[str, dict[str, int | str]] = {
    "BitShift": {"direction": "RIGHT"},
    "Cast": {"to": TensorProto.FLOAT},
    "Concat": {"axis": 1},
}
