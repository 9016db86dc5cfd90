"""The last step of a recipe: few bits, with layers left in float where they cost too much."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import onnx
from torch import nn

from ann.compression.aware import aware
from ann.compression.bench import Bench, Draft
from ann.compression.calibration import calibration_rows
from ann.compression.qdq import Ranges
from ann.compression.quantization import quantizable, quantizer
from ann.compression.sensitivity import float_layers
from ann.compression.steps import held, tuned
from ann.config.steps import Quantize


@dataclass(frozen=True)
class Seen:
    """How a graph is looked at."""

    drop: Callable[[onnx.ModelProto], float]
    """Upper bound of what it loses."""
    error: Callable[[onnx.ModelProto], float]
    """How far its answers are from those of the float network."""


def quantized(step: Quantize, draft: Draft, graph: onnx.ModelProto, bench: Bench) -> tuple[Draft, onnx.ModelProto]:
    """Return the draft that the quantized graph is made from, and that graph; `graph` is the float one of the draft.

    Raises:
        DataError: calibration rows hold NaN or infinity.
        StageError: there is nothing to quantize, or ONNX Runtime cannot load the result.
    """
    ranges: Ranges | None = None
    if step.mode == "aware":
        network, ranges = aware(draft.network, bench.train, lambda simulated: _train(simulated, step, draft, bench))
        draft = draft.after(f"train for int8, {step.epochs} epochs", network=network)
        graph = bench.exported(draft)
    rows = calibration_rows(bench.train, step.calibration_rows, bench.seed) if step.mode == "static" else {}
    told, graph = quantized_graph(
        step,
        graph,
        rows,
        seen=Seen(bench.judge.worst_drop, bench.judge.error),
        max_drop=bench.max_drop,
        ranges=ranges,
        network=draft.network,
    )
    return draft.after(told), graph


def quantized_graph(
    step: Quantize,
    graph: onnx.ModelProto,
    rows: dict[str, np.ndarray],
    *,
    seen: Seen,
    max_drop: float,
    ranges: Ranges | None = None,
    network: nn.Module | None = None,
) -> tuple[str, onnx.ModelProto]:
    """Return what was done in words, and the graph; `max_drop` bounds what it may lose.

    `ranges` and `network` are those of quantization-aware training.
    """
    make = quantizer(graph, step.mode, rows, method=step.calibration, bits=step.bits, ranges=ranges, network=network)
    told = f"int{step.bits} {step.mode}"
    if step.sensitive == "quantize":
        return told, make(frozenset())
    nodes = quantizable(graph, step.mode)
    made, left = float_layers(make, nodes, drop=seen.drop, budget=max_drop, error=seen.error)
    return f"{told}, {len(left)} layers in float" if left else told, made


def _train(simulated: nn.Module, step: Quantize, draft: Draft, bench: Bench) -> None:
    tuned(simulated, step, bench, name="aware", keeping=held(simulated, draft.masks))
