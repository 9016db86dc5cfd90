"""int8 by ONNX Runtime, on the network's graph alone: the preparation in front of it stays exact."""

import logging
import tempfile
from pathlib import Path

import numpy as np
import onnx
from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_dynamic, quantize_static

from ann.errors import StageError
from ann.export.network import normalise, open_session

OPERATORS = ["Gemm", "MatMul"]
"""Softmax and the arithmetic around it lose accuracy in int8 and gain nothing."""


def quantize(model: onnx.ModelProto, mode: str, calibration: dict[str, np.ndarray]) -> onnx.ModelProto:
    """Return an int8 copy; `calibration` holds training rows by input name, read in static mode only.

    Static writes QuantizeLinear / DequantizeLinear pairs with one scale a weight row (per channel) and 7-bit weights,
    which processors without VNNI add without overflow. Dynamic scales activations by the batch at hand.

    Raises:
        StageError: ONNX Runtime cannot quantize or cannot load the result.
    """
    with tempfile.TemporaryDirectory() as folder:
        source, target = Path(folder) / "fp32.onnx", Path(folder) / "int8.onnx"
        source.write_bytes(model.SerializeToString())
        root = logging.getLogger()
        level = root.level
        root.setLevel(logging.ERROR)  # it recommends an optional pre-processing on the root logger
        try:
            _QUANTIZERS[mode](source, target, calibration)
            quantized = normalise(onnx.load(target))
            open_session(quantized)
        except Exception as error:
            raise StageError(f"{mode} quantization failed: {error}; remove the recipe from compress.recipes") from error
        finally:
            root.setLevel(level)
    return quantized


class _Rows(CalibrationDataReader):
    """Hands out calibration rows in batches of 64."""

    def __init__(self, rows: dict[str, np.ndarray]) -> None:
        count = len(next(iter(rows.values())))
        self._batches = iter(
            [{name: values[start : start + 64] for name, values in rows.items()} for start in range(0, count, 64)]
        )

    def get_next(self) -> dict[str, np.ndarray] | None:
        return next(self._batches, None)


def _batched(source: Path) -> list[str]:
    """Return the products whose weights have more than two axes, one matrix a member: no kernel takes their scales."""
    graph = onnx.load(source).graph
    weights = {initializer.name: len(initializer.dims) for initializer in graph.initializer}
    return [node.name for node in graph.node if any(weights.get(name, 0) > 2 for name in node.input)]


def _static(source: Path, target: Path, calibration: dict[str, np.ndarray]) -> None:
    quantize_static(
        source,
        target,
        _Rows(calibration),
        quant_format=QuantFormat.QDQ,
        op_types_to_quantize=OPERATORS,
        nodes_to_exclude=_batched(source),
        activation_type=QuantType.QInt8,
        weight_type=QuantType.QInt8,
        per_channel=True,
        reduce_range=True,
    )


def _dynamic(source: Path, target: Path, calibration: dict[str, np.ndarray]) -> None:  # noqa: ARG001 - one signature
    quantize_dynamic(
        source,
        target,
        op_types_to_quantize=OPERATORS,
        nodes_to_exclude=_batched(source),
        weight_type=QuantType.QInt8,
        per_channel=True,
    )


_QUANTIZERS = {"static": _static, "dynamic": _dynamic}
