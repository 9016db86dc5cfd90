"""Which nodes must stay in float so that a network in few bits holds its budget of quality."""

from collections.abc import Callable, Sequence

import onnx

from ann.compression.quantization import Quantizer

MOST_RANKED = 64
"""Nodes of which each is quantized alone; of a longer network they are judged in equal runs of neighbours."""


def float_layers(
    quantize: Quantizer,
    nodes: Sequence[str],
    drop: Callable[[onnx.ModelProto], float],
    budget: float,
    error: Callable[[onnx.ModelProto], float] | None = None,
) -> tuple[onnx.ModelProto, tuple[str, ...]]:
    """Return the quantized graph with the fewest nodes in float whose drop is within the budget, and those nodes.

    `nodes` are what `quantize` can leave in float, `drop` is the upper bound of what a graph loses. Nodes are ranked by
    `error`, how far a graph is from fp32 (by default its drop), where each alone is quantized; the worst go back to
    float first, one at least staying. Where that never holds the budget, the graph in which all are quantized comes
    back: nodes in float would cost bytes and time and mend nothing.
    """
    whole = quantize(frozenset())
    if drop(whole) <= budget:
        return whole, ()
    ranked = _worst_first(quantize, nodes, error or drop)
    for count in range(1, len(ranked)):
        excluded = {name for run in ranked[:count] for name in run}
        partly = quantize(excluded)
        if drop(partly) <= budget:
            return partly, tuple(name for name in nodes if name in excluded)
    return whole, ()


def _worst_first(
    quantize: Quantizer, nodes: Sequence[str], error: Callable[[onnx.ModelProto], float]
) -> list[Sequence[str]]:
    """Return runs of neighbouring nodes, of one node each in all but long networks, the one that errs most first."""
    length = max(1, -(-len(nodes) // MOST_RANKED))
    runs = [nodes[start : start + length] for start in range(0, len(nodes), length)]
    errors = [error(quantize(set(nodes) - set(run))) for run in runs]
    order = sorted(range(len(runs)), key=lambda number: (-errors[number], number))
    return [runs[number] for number in order]
