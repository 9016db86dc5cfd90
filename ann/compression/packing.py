"""Graphs whose sparse or few-valued weights are stored in few bits, and files that are compressed as a whole.

A packed graph is plain ONNX: calls of `ann.compression.unpacking` on constants stand in place of the weights. ONNX
Runtime folds them when it loads the file, so that kernels, latency and every bit of the answers are those of before;
with its optimisations turned off it would unpack at every run. Where zeros are many, the steps from one weight to the
next are stored as Rice codes or a mask as one bit an entry, whichever is shorter; few values become a table and the
numbers of its rows, as Rice codes or in as many bits as they take.
"""

import lzma
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
from onnx import checker, helper, numpy_helper

from ann.artifacts import replace_bytes
from ann.compression.overhead import drop_defaults, merge_equal, narrow, shorten, small_tensor
from ann.compression.unpacking import DOMAIN, VERSION, functions_for
from ann.errors import StageError

PACKABLE = (np.dtype(np.float32), np.dtype(np.int8))
LEAST = 256
"""Entries from which a tensor is worth looking at."""
SAVING = 0.1
"""Share of a tensor's bytes that packing must save."""
MOST_VALUES = 256
NAMED = 40
"""Bytes that a node or a constant costs beside its data, about."""
WIDTHS = range(1, 9)
"""Low bits of a place; the tables of `unpacking` end there."""
EFFORT = 9 | lzma.PRESET_EXTREME

Call = tuple[str, str, str]
"""Output, function, inputs separated by spaces; an empty output is the tensor that is unpacked."""
VALUES: Call = ("", "Values", "numbers values shape")
SPREAD: Call = ("", "Spread", "steps numbers values shape")
MASKED: Call = ("", "Masked", "mask numbers values shape")


def pack(model: onnx.ModelProto) -> onnx.ModelProto:
    """Return a graph of fewer bytes with bit-equal answers; inputs, outputs and metadata keep their names.

    Weights of float32 and int8 with at least LEAST entries are packed where that saves SAVING of their bytes; loading
    takes about 10 ms longer a tensor and 0.1 s a million entries. Equal constants are stored once, and what stands
    between inputs and outputs gets short names, so this is the last thing to do to a graph. A graph that would not
    become smaller, or is packed already, comes back as it was.
    """
    if any(opset.domain == DOMAIN for opset in model.opset_import):
        return model
    packed = onnx.ModelProto()
    packed.CopyFrom(model)
    del packed.graph.value_info[:]
    merge_equal(packed.graph)
    kinds = _pack_initializers(packed.graph)
    narrow(packed.graph)
    merge_equal(packed.graph)  # shapes, and tables of values
    drop_defaults(packed.graph, {opset.domain: opset.version for opset in packed.opset_import})
    shorten(packed.graph)
    if kinds:
        packed.functions.extend(functions_for(kinds))
        packed.opset_import.append(helper.make_opsetid(DOMAIN, VERSION))
    checker.check_model(packed, full_check=True)
    return packed if packed.ByteSize() < model.ByteSize() else model


def packed_bytes(model: onnx.ModelProto) -> int:
    """Return the size of the file that `write_packed` writes."""
    return len(_compressed(model))


def write_packed(model: onnx.ModelProto, path: Path) -> None:
    """Write the model as a compressed file, `.onnx.xz`; a reader sees the old file or the whole new one."""
    replace_bytes(path, _compressed(model))


def read_packed(path: Path) -> onnx.ModelProto:
    """Read what `write_packed` wrote.

    Raises:
        StageError: the file is missing or damaged.
    """
    try:
        return onnx.load_model_from_string(lzma.decompress(path.read_bytes()))
    except FileNotFoundError:
        raise StageError(f"{path} does not exist: run the stage that writes it") from None
    except lzma.LZMAError as error:
        raise StageError(f"{path} is not a compressed model ({error}): run the stage that writes it again") from None


def _compressed(model: onnx.ModelProto) -> bytes:
    return lzma.compress(model.SerializeToString(deterministic=True), preset=EFFORT)


@dataclass(frozen=True)
class _Encoding:
    """Constants by name, and calls that make the tensor of them."""

    constants: dict[str, np.ndarray]
    calls: tuple[Call, ...]

    @property
    def cost(self) -> int:
        """Bytes in a file, about."""
        data = sum(values.nbytes for values in self.constants.values())
        return data + NAMED * (len(self.constants) + len(self.calls))


def _pack_initializers(graph: onnx.GraphProto) -> set[str]:
    """Put calls in place of weights; return the names of the functions that are called."""
    overridable = {put.name for put in graph.input}
    kept, nodes, kinds = [], [], set()
    for tensor in graph.initializer:
        encoding = None if tensor.name in overridable else _best_encoding(tensor)
        if encoding is None:
            kept.append(tensor)
            continue
        constants, calls = _placed(encoding, tensor.name)
        kept += constants
        nodes += calls
        kinds |= {node.op_type for node in calls}
    nodes += graph.node
    del graph.initializer[:], graph.node[:]
    graph.initializer.extend(kept)
    graph.node.extend(nodes)
    return kinds


def _best_encoding(tensor: onnx.TensorProto) -> _Encoding | None:
    """Return the shortest encoding, or None where the tensor had better stay as it is."""
    if helper.tensor_dtype_to_np_dtype(tensor.data_type) not in PACKABLE or np.prod(tensor.dims) < LEAST:
        return None
    array = numpy_helper.to_array(tensor)
    best = min(_encodings(array), key=lambda encoding: encoding.cost, default=None)
    return best if best is not None and best.cost <= (1 - SAVING) * array.nbytes else None


def _placed(encoding: _Encoding, name: str) -> tuple[list[onnx.TensorProto], list[onnx.NodeProto]]:
    """Return constants and calls as they stand in a graph, where the tensor is called `name`."""
    constants = [small_tensor(values, f"{name}/{part}") for part, values in encoding.constants.items()]
    calls = []
    for output, function, inputs in encoding.calls:
        parts = [f"{name}/{part}" for part in inputs.split()]
        calls.append(helper.make_node(function, parts, [f"{name}/{output}" if output else name], domain=DOMAIN))
    return constants, calls


def _encodings(array: np.ndarray) -> Iterator[_Encoding]:
    """Yield what may stand for a tensor; bits are compared, so that -0.0 and NaN stay what they are."""
    bits = array.ravel().view(f"u{array.itemsize}")
    shape = np.array(array.shape, np.int64)
    for constants, call, table in _coded(bits):
        yield _Encoding(constants | {"values": table.view(array.dtype), "shape": shape}, (call, VALUES))
    [places] = np.nonzero(bits)
    if not 0 < len(places) < len(bits):
        return
    steps = _rice("steps", np.diff(places, prepend=0), len(bits) - int(places[-1]))
    others = bits[places]
    for constants, call, table in (_listed(others), *_coded(others)):
        values = {"values": np.append(table, np.zeros(1, table.dtype)).view(array.dtype), "shape": shape}
        yield _Encoding(steps[0] | constants | values, (steps[1], call, SPREAD))
        yield _Encoding({"mask": _planes(bits != 0, 1)} | constants | values, (call, MASKED))


def _listed(bits: np.ndarray) -> tuple[dict[str, np.ndarray], Call, np.ndarray]:
    """Return no constants, the call that numbers entries one by one, and the entries padded as the others are."""
    return {}, ("numbers", "Ranks", "values"), np.append(bits, np.zeros(8 - len(bits) % 8, bits.dtype))


def _coded(bits: np.ndarray) -> Iterator[tuple[dict[str, np.ndarray], Call, np.ndarray]]:
    """Yield constants, the call that makes them rows of a table, and the table, the most frequent entry first."""
    table, numbers, counts = np.unique(bits, return_inverse=True, return_counts=True)
    if len(table) > MOST_VALUES:
        return
    order = np.argsort(-counts, stable=True)
    numbers = np.argsort(order)[numbers]
    width = max(1, (len(table) - 1).bit_length())
    padded = np.append(numbers, np.zeros(8 - len(bits) % 8, numbers.dtype))
    yield {"codes": _planes(padded, width)}, ("numbers", "Numbers", "codes"), table[order]
    constants, call = _rice("numbers", numbers, 0)
    yield constants, call, table[order]


def _rice(name: str, numbers: np.ndarray, last: int) -> tuple[dict[str, np.ndarray], Call]:
    """Return two constants and the call that makes them the numbers, then `last`, then ones that fill bytes up."""
    padded = np.concatenate([numbers, [last], np.ones(7 - len(numbers) % 8, np.int64)])  # steps never stand still
    width = min(WIDTHS, key=lambda width: int((padded >> width).sum()) + width * len(padded))
    ends = (padded >> width).cumsum() + np.arange(len(padded))
    high = np.ones(-(-(ends[-1] + 1) // 8) * 8, np.uint8)
    high[ends[:-1]] = 0
    high[-1] = 0  # the last number grows by the bits that its byte has left
    return (
        {f"{name}/high": _planes(high, 1), f"{name}/low": _planes(padded, width)},
        (name, "Rice", f"{name}/high {name}/low"),
    )


def _planes(numbers: np.ndarray, width: int) -> np.ndarray:
    """(n,) -> (width, ceil(n / 8), 1) uint8, the lowest `width` bits of each number as the functions read them."""
    planes = [(numbers >> bit & 1).astype(np.uint8) for bit in range(width)]
    return np.packbits(np.stack(planes), axis=1, bitorder="little")[:, :, None]
