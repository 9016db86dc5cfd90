"""Ranges of activations from training rows, by ONNX Runtime's calibrators."""

import io
import tempfile
from collections.abc import Iterable
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper
from onnxruntime.quantization import CalibrationDataReader
from onnxruntime.quantization.calibrate import EntropyCalibrater, MinMaxCalibrater, PercentileCalibrater

from ann.compression.qdq import Range
from ann.data.batches import TensorData
from ann.errors import DataError, StageError
from ann.seeding import generator

ROWS_AT_ONCE = 64
"""Rows whose activations are in memory together."""
PERCENTILE = 99.999
"""Share of values [%] that a range of `percentile` covers."""
ENTROPY_BINS, PERCENTILE_BINS = 512, 2048
"""Of a histogram. With ONNX Runtime's own 128 `entropy` has no choice, and 2048 take it seconds a tensor."""


def calibration_rows(train: TensorData, count: int, seed: int) -> dict[str, np.ndarray]:
    """Return a seeded sample of at most `count` training rows by group, and of each class one row in any case.

    A class that calibration never saw may lie outside the ranges that it finds.
    """
    random = generator(seed, "calibration")
    order = random.permutation(len(train))
    if train.target.ndim == 1 and not train.target.is_floating_point():
        _, first = np.unique(train.target.cpu().numpy()[order], return_index=True)
        order = np.concatenate([order[first], np.delete(order, first)])
        count = max(count, len(first))
    rows = np.sort(order[:count])
    return {name: tensor.cpu().numpy()[rows] for name, tensor in train.inputs.items()}


def check_rows(rows: dict[str, np.ndarray]) -> None:
    """Raise DataError where there is no row, or an input that is not a number."""
    if not rows or not all(len(values) for values in rows.values()):
        raise DataError("calibration needs one training row at least, and there is none: raise calibration_rows")
    for name, values in rows.items():
        if values.dtype.kind == "f" and not np.isfinite(values).all():
            raise DataError(
                f"calibration rows hold NaN or infinity in {name}, which has no range: mend the preparation of {name}"
            )


def activation_ranges(
    model: onnx.ModelProto, values: Iterable[str], rows: dict[str, np.ndarray], method: str = "minmax"
) -> dict[str, Range]:
    """Return the range of each named value of the graph over the rows.

    `minmax` covers all values; `entropy` cuts off what costs least information (Migacz 2017, 8-bit Inference with
    TensorRT); `percentile` the outermost 0.001 %.

    Raises:
        DataError: the rows hold NaN or infinity.
        StageError: the network makes NaN or infinity of them.
    """
    check_rows(rows)
    wanted = sorted(set(values))
    with tempfile.TemporaryDirectory() as folder, redirect_stdout(io.StringIO()):  # the calibrators print
        source, target = Path(folder) / "float.onnx", Path(folder) / "watched.onnx"
        source.write_bytes(model.SerializeToString())
        calibrator = CALIBRATORS[method](wanted, source, target)
        for start in range(0, len(next(iter(rows.values()))), ROWS_AT_ONCE):
            calibrator.collect_data(_Batch({name: part[start : start + ROWS_AT_ONCE] for name, part in rows.items()}))
        found = calibrator.compute_data().data
    ranges = {}
    for name in wanted:
        low, high = (float(np.asarray(bound).reshape(-1)[0]) for bound in found[name].range_value)
        if not np.isfinite([low, high]).all():
            raise StageError(f"the network answers calibration rows with NaN or infinity in {name}: train it again")
        ranges[name] = Range(min(low, high), max(low, high))
    return ranges


class _Batch(CalibrationDataReader):
    """Hands out one batch."""

    def __init__(self, rows: dict[str, np.ndarray]) -> None:
        self._rows: dict[str, np.ndarray] | None = rows

    def get_next(self) -> dict[str, np.ndarray] | None:
        rows, self._rows = self._rows, None
        return rows


def _watching(kind: type, **settings: Any) -> Any:
    """Return how a calibrator is made that looks at the values it is told, not at all that some operators touch."""

    class Watching(kind):
        def __init__(self, wanted: list[str], source: Path, target: Path) -> None:
            self._wanted = wanted
            super().__init__(source, augmented_model_path=str(target), **settings)
            self.augment_graph()
            self.create_inference_session()

        def select_tensors_to_calibrate(self, model: onnx.ModelProto) -> tuple[list[str], dict[str, Any]]:
            known = [*model.graph.value_info, *model.graph.output, *model.graph.input]
            infos = {name: helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in self._wanted}
            return self._wanted, infos | {info.name: info for info in known}

    return Watching


CALIBRATORS = {
    "entropy": _watching(EntropyCalibrater, num_bins=ENTROPY_BINS, num_quantized_bins=128),
    "minmax": _watching(MinMaxCalibrater),
    "percentile": _watching(PercentileCalibrater, num_bins=PERCENTILE_BINS, percentile=PERCENTILE),
}
