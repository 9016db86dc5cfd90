"""Few bits on the network's graph alone: the preparation in front of it stays exact."""

import logging
import tempfile
from collections.abc import Callable, Iterator, Set
from contextlib import contextmanager
from pathlib import Path
from typing import TypeAlias

import numpy as np
import onnx
from onnxruntime.quantization import QuantType, quantize_dynamic
from torch import nn

from ann.compression.calibration import activation_ranges
from ann.compression.constants import folded_cells
from ann.compression.layers import Layer, behind_relu, layers_of, output_place, reached, weights_of
from ann.compression.qdq import LayerRange, Place, Range, Ranges, write_qdq
from ann.compression.weights import quantize_weights, stored_weights
from ann.errors import AnnError, StageError
from ann.export.network import normalise, open_session

Quantizer: TypeAlias = Callable[[Set[str]], onnx.ModelProto]
"""(names of nodes that stay in float) -> quantized graph."""
WAY_OUT = "remove the recipe from compress.recipes"


def quantize(
    model: onnx.ModelProto,
    mode: str,
    calibration: dict[str, np.ndarray],
    *,
    method: str = "minmax",
    bits: int = 8,
    ranges: Ranges | None = None,
    network: nn.Module | None = None,
    exclude: Set[str] = frozenset(),
) -> onnx.ModelProto:
    """Return a copy in few bits, nodes of `exclude` in float; `quantizer` tells what the other arguments mean.

    Raises:
        DataError: calibration rows hold NaN or infinity.
        StageError: the graph has nothing to quantize, or ONNX Runtime cannot quantize or load it.
    """
    return quantizer(model, mode, calibration, method=method, bits=bits, ranges=ranges, network=network)(exclude)


def quantizer(
    model: onnx.ModelProto,
    mode: str,
    calibration: dict[str, np.ndarray],
    *,
    method: str = "minmax",
    bits: int = 8,
    ranges: Ranges | None = None,
    network: nn.Module | None = None,
) -> Quantizer:
    """Return what quantizes the graph but for some nodes; calibration is done once, here.

    static: int8 by `method` (minmax, entropy, percentile) on `calibration`, training rows by input name.
    aware: int8 by the `ranges` that training found for the weights of `network`, which the graph was made from.
    dynamic: int8 with activations scaled by the batch at hand.
    weights: weights alone, in `bits`, 8 or 4.

    Raises:
        DataError: calibration rows hold NaN or infinity.
        StageError: the graph has nothing to quantize, or ONNX Runtime cannot run it.
    """
    if not quantizable(model, mode):
        raise StageError(f"{mode} quantization finds no {KINDS[mode]} with constant weights in the graph; {WAY_OUT}")
    with _explained(mode):
        if mode == "static":
            make = _static(model, calibration, method)
        elif mode == "aware":
            make = _aware(model, ranges or {}, network)
        elif mode == "dynamic":
            make = _dynamic(model)
        else:
            make = _weights(model, bits)

    def quantized(exclude: Set[str]) -> onnx.ModelProto:
        with _explained(mode):
            result = normalise(make(exclude))
            open_session(result)
        return result

    return quantized


def quantizable(model: onnx.ModelProto, mode: str) -> list[str]:
    """Return the nodes that a mode would quantize, in the order of computation."""
    if mode == "weights":
        return list(stored_weights(model))
    dense = {layer.node for layer in layers_of(model) if mode != "dynamic" or layer.kind != "Conv"}
    cells = ("LSTM",) if mode == "dynamic" else ()
    return [node.name for node in model.graph.node if node.name in dense or node.op_type in cells]


def _static(model: onnx.ModelProto, calibration: dict[str, np.ndarray], method: str) -> Quantizer:
    layers = layers_of(model)
    outputs = {layer.node: behind_relu(model, layer.output) for layer in layers if layer.kind == "Conv"}
    values = {layer.x for layer in layers} | set(outputs.values())
    found = activation_ranges(model, values, calibration, method)
    return _with_ranges(
        model,
        {
            layer.node: LayerRange(found[layer.x], found[outputs[layer.node]] if layer.node in outputs else None)
            for layer in layers
        },
    )


def _aware(model: onnx.ModelProto, ranges: Ranges, network: nn.Module | None) -> Quantizer:
    state = {} if network is None else network.state_dict()
    names = weights_of(model, {name: tensor.detach().cpu().numpy() for name, tensor in state.items()})
    known = {node: ranges[name] for node, name in names.items() if name in ranges}
    if not known:
        raise StageError(f"aware quantization knows no range of any layer of the graph; {WAY_OUT}")
    return _with_ranges(model, known)


def _with_ranges(model: onnx.ModelProto, ranges: dict[str, LayerRange]) -> Quantizer:
    """Return what writes int8 with the ranges of each layer, by node; layers without stay in float."""
    layers = [layer for layer in layers_of(model) if layer.node in ranges]

    def quantized(exclude: Set[str]) -> onnx.ModelProto:
        chosen = [layer for layer in layers if layer.node not in exclude]
        return write_qdq(model, [_place(model, layer, chosen, layers, ranges) for layer in chosen])

    return quantized


def _place(
    model: onnx.ModelProto, layer: Layer, chosen: list[Layer], layers: list[Layer], ranges: dict[str, LayerRange]
) -> Place:
    """Return where a layer is quantized; what a layer in float reads has the range that was found for that layer."""
    place = output_place(model, layer, chosen)
    leaving: Range | None = None
    if place is not None:
        readers = [ranges[other.node].input for other in layers if other.x in reached(model, place)]
        leaving = ranges[layer.node].output or next(iter(readers), None)
    return Place(layer, LayerRange(ranges[layer.node].input, leaving), place if leaving else None)


def _dynamic(model: onnx.ModelProto) -> Quantizer:
    """ONNX Runtime has no such kernel for a GRU, and its convolution takes several times as long as fp32."""
    folded = folded_cells(model)
    wanted = set(quantizable(folded, "dynamic"))

    def quantized(exclude: Set[str]) -> onnx.ModelProto:
        with tempfile.TemporaryDirectory() as folder, _silent():
            source, target = Path(folder) / "fp32.onnx", Path(folder) / "int8.onnx"
            source.write_bytes(folded.SerializeToString())
            quantize_dynamic(
                source,
                target,
                op_types_to_quantize=["Gemm", "LSTM", "MatMul"],
                nodes_to_exclude=[node.name for node in folded.graph.node if node.name not in wanted - exclude],
                weight_type=QuantType.QInt8,
                per_channel=True,
            )
            return onnx.load(target)

    return quantized


def _weights(model: onnx.ModelProto, bits: int) -> Quantizer:
    return lambda exclude: quantize_weights(model, bits, exclude)


@contextmanager
def _explained(mode: str) -> Iterator[None]:
    """Turn what ONNX Runtime raises into an error with a way out."""
    try:
        yield
    except AnnError:
        raise
    except Exception as error:
        raise StageError(f"{mode} quantization failed: {error}; {WAY_OUT}") from error


@contextmanager
def _silent() -> Iterator[None]:
    """Keep the advice to pre-process, which goes to the root logger, from the user."""
    root = logging.getLogger()
    level = root.level
    root.setLevel(logging.ERROR)
    try:
        yield
    finally:
        root.setLevel(level)


KINDS = {
    "aware": "Conv, Gemm or MatMul",
    "dynamic": "Gemm, MatMul or LSTM",
    "static": "Conv, Gemm or MatMul",
    "weights": "node",
}
"""What each mode looks for."""
