"""ONNX functions that unpack weights inside the graph that uses them.

A graph calls them on constants only, so ONNX Runtime inlines them and folds their results when it loads a file; what
runs afterwards is the graph as it was before packing. G bytes hold 8 G numbers of b bits as b planes of one bit, lowest
bit first in planes and bytes: (b, G, 1) uint8. n is a multiple of 8: what
is stored is padded.
"""

from collections.abc import Callable
from dataclasses import dataclass
from itertools import count
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper

from ann.compression.overhead import letters, small_tensor
from ann.data.graph import OPSET

DOMAIN = "ann"
"""Domain of the functions, which travel in the file."""
VERSION = 1
ROOM = 4096
"""Entries behind the end of a tensor to which padding may lead."""


def functions_for(kinds: set[str]) -> list[onnx.FunctionProto]:
    """Return the functions of these names and those that they call, each once."""
    wanted = set(kinds)
    for name in reversed(FUNCTIONS):  # a function calls only those that stand before it
        if name in wanted:
            wanted |= set(FUNCTIONS[name].calls)
    return [FUNCTIONS[name].proto() for name in FUNCTIONS if name in wanted]


class _Body:
    """Collects the nodes of a function; values get names of one or two letters, since names are bytes, too."""

    def __init__(self, inputs: int) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self._constants: dict[str, str] = {}
        self._names = (letters(number) for number in count())
        self.inputs = [next(self._names) for _ in range(inputs)]

    def op(self, kind: str, *inputs: str, domain: str = "", **attributes: Any) -> str:
        """Append a node and return the name of its output."""
        output = next(self._names)
        self.nodes.append(helper.make_node(kind, list(inputs), [output], domain=domain, **attributes))
        return output

    def constant(self, value: int | list[int]) -> str:
        """Return an int64 constant, a single number or a list, which is appended where it is new."""
        key = str(value)
        if key not in self._constants:
            attribute = {"value_int": value} if isinstance(value, int) else {"value_ints": value}
            self._constants[key] = self.op("Constant", **attribute)
        return self._constants[key]

    def table(self, value: object, dtype: type) -> str:
        """Append a constant of another type."""
        return self.op("Constant", value=small_tensor(np.array(value, dtype)))

    def call(self, name: str, *inputs: str) -> str:
        """Append a call of another function."""
        return self.op(name, *inputs, domain=DOMAIN)


@dataclass(frozen=True)
class _Function:
    name: str
    inputs: int
    fill: Callable[..., str]
    """(body, *inputs) -> output; appends the nodes."""
    calls: tuple[str, ...] = ()

    def proto(self) -> onnx.FunctionProto:
        body = _Body(self.inputs)
        output = self.fill(body, *body.inputs)
        opsets = [helper.make_opsetid("", OPSET)]
        if self.calls:
            opsets.append(helper.make_opsetid(DOMAIN, VERSION))
        return helper.make_function(DOMAIN, self.name, body.inputs, [output], body.nodes, opsets)


def _bits(body: _Body, planes: str) -> str:
    """(b, G, 1) uint8 -> (b, 8 G) uint8 of 0 and 1."""
    shifted = body.op("BitShift", planes, body.table(range(8), np.uint8), direction="RIGHT")
    bits = body.op("BitwiseAnd", shifted, body.table(1, np.uint8))
    return body.op("Reshape", bits, body.constant([0, -1]))


def _numbers(body: _Body, planes: str) -> str:
    """(b, G, 1) uint8 -> (1, 8 G) int32: bits times powers of two."""
    width = body.op("Shape", planes, end=1)
    powers = body.table([[1 << bit for bit in range(8)]], np.uint8)
    used = body.op("Slice", powers, body.constant([0]), width, body.constant([1]))
    return body.op("MatMulInteger", used, body.call("Bits", planes))


def _rice(body: _Body, high: str, low: str) -> str:
    """(1, G, 1), (b, n / 8, 1) uint8 -> (1, n) int32 numbers in the code of Rice & Plaunt (1971).

    `low` holds the lowest b bits of each; the rest of it stands in `high` as that many ones, then a zero.
    """
    ones = body.op("Cast", body.call("Bits", high), to=TensorProto.INT32)
    zeros = body.op("Sub", body.table(1, np.int32), ones)
    owners = body.op("CumSum", zeros, body.constant(1), exclusive=1)
    steps = body.table([1 << bit for bit in range(9)], np.int32)
    parts = body.op("Mul", ones, body.op("Gather", steps, body.op("Shape", low, end=1)))
    return body.op("ScatterElements", body.call("Numbers", low), owners, parts, axis=1, reduction="add")


def _ranks(body: _Body, values: str) -> str:
    """(n + 1,) of any type -> (1, n) int32: 0, 1, ... n - 1."""
    count = body.op("Sub", body.op("Size", values), body.constant(1))
    ranks = body.op("Range", body.constant(0), count, body.constant(1))
    return body.op("Cast", body.op("Reshape", ranks, body.constant([1, -1])), to=TensorProto.INT32)


def _looked_up(body: _Body, numbers: str, values: str, shape: str) -> str:
    """(1, n) int32, (V,), (D,) int64 -> values of that shape; numbers behind its end are padding."""
    size = body.op("ReduceProd", shape)
    cut = body.op("Slice", numbers, body.constant([0]), size, body.constant([1]))
    return body.op("Gather", values, body.op("Reshape", cut, shape))


def _spread(body: _Body, steps: str, numbers: str, values: str, shape: str) -> str:
    """(1, n) int32, (1, n) int32, (V,), (D,) int64 -> values of that shape; where no step leads, the last one."""
    places = body.op("CumSum", steps, body.constant(1))
    room = body.op("Add", body.op("ReduceProd", shape), body.constant([ROOM]))
    last = helper.make_tensor("", TensorProto.INT32, [1], [-1])
    row = body.op("ConstantOfShape", body.op("Concat", body.constant([1]), room, axis=0), value=last)
    return body.call("Values", body.op("ScatterElements", row, places, numbers, axis=1), values, shape)


def _masked(body: _Body, mask: str, numbers: str, values: str, shape: str) -> str:
    """(1, G, 1) uint8, (1, n) int32, (V,), (D,) int64 -> values of that shape; where no bit is set, the last one."""
    bits = body.call("Bits", mask)
    ranks = body.op("CumSum", body.op("Cast", bits, to=TensorProto.INT32), body.constant(1))
    ranks = body.op("Sub", ranks, body.table(1, np.int32))
    found = body.op("Gather", body.op("Reshape", numbers, body.constant([-1])), ranks)
    chosen = body.op("Where", body.op("Cast", bits, to=TensorProto.BOOL), found, body.table(-1, np.int32))
    return body.call("Values", chosen, values, shape)


FUNCTIONS = {
    function.name: function
    for function in (
        _Function("Bits", 1, _bits),
        _Function("Numbers", 1, _numbers, ("Bits",)),
        _Function("Rice", 2, _rice, ("Bits", "Numbers")),
        _Function("Ranks", 1, _ranks),
        _Function("Values", 3, _looked_up),
        _Function("Spread", 4, _spread, ("Values",)),
        _Function("Masked", 4, _masked, ("Bits", "Values")),
    )
}
