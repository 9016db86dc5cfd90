"""A real measurement of two tiny files."""

from pathlib import Path

import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper, save

from ann.compression.measure import machine, measure
from ann.errors import StageError

BATCHES = (1, 7)


def write_product(path: Path, width: int, rows: int | str = "N") -> Path:
    """Write x (rows, 4) -> x @ W (4, width) -> sum over width."""
    weight = np.ones((4, width), np.float32)
    graph = helper.make_graph(
        [
            helper.make_node("MatMul", ["x", "W"], ["y"]),
            helper.make_node("ReduceSum", ["y", "axes"], ["sum"], keepdims=0),
        ],
        "product",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [rows, 4])],
        [helper.make_tensor_value_info("sum", TensorProto.FLOAT, [rows])],
        [numpy_helper.from_array(weight, "W"), numpy_helper.from_array(np.array([1]), "axes")],
    )
    save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10), path)
    return path


def write_lookup(path: Path) -> Path:
    """Write text (N,) and double (N,) -> id (N,)."""
    nodes = [
        helper.make_node(
            "LabelEncoder",
            ["colour"],
            ["id"],
            domain="ai.onnx.ml",
            keys_strings=["red"],
            values_floats=[1.0],
            default_float=0.0,
        ),
        helper.make_node("Cast", ["time"], ["seconds"], to=TensorProto.FLOAT),
        helper.make_node("Add", ["id", "seconds"], ["sum"]),
    ]
    graph = helper.make_graph(
        nodes,
        "lookup",
        [
            helper.make_tensor_value_info("colour", TensorProto.STRING, ["N"]),
            helper.make_tensor_value_info("time", TensorProto.DOUBLE, ["N"]),
        ],
        [helper.make_tensor_value_info("sum", TensorProto.FLOAT, ["N"])],
    )
    opsets = [helper.make_opsetid("", 20), helper.make_opsetid("ai.onnx.ml", 3)]
    save(helper.make_model(graph, opset_imports=opsets, ir_version=10), path)
    return path


def rows(count: int = 3) -> dict[str, np.ndarray]:
    return {"x": np.arange(count * 4, dtype=np.float32).reshape(count, 4)}


def test_two_files_are_timed_against_the_first(tmp_path: Path) -> None:
    files = [write_product(tmp_path / "small.onnx", 2), write_product(tmp_path / "large.onnx", 4000)]
    small, large = measure(files, rows(), BATCHES, rounds=5)
    for timings in (small, large):
        assert tuple(timings) == BATCHES
        for timing in timings.values():
            assert 0 < timing.p50_ms <= timing.p95_ms
            assert 0 < timing.ratio_low <= timing.ratio <= timing.ratio_high
    for timing in small.values():
        assert (timing.ratio, timing.ratio_low, timing.ratio_high) == (1.0, 1.0, 1.0)
    assert all(timing.ratio != 1.0 for timing in large.values())


def test_rows_are_repeated_to_fill_exactly_the_batch(tmp_path: Path) -> None:
    seven = write_product(tmp_path / "seven.onnx", 2, rows=7)  # takes seven rows and nothing else
    [timings] = measure([seven], rows(3), (7,), rounds=5)
    assert timings[7].p50_ms > 0
    [timings] = measure([seven], rows(20), (7,), rounds=5)
    assert timings[7].p50_ms > 0
    with pytest.raises(StageError, match="the latency measurement failed"):
        measure([seven], rows(3), (8,), rounds=5)


def test_text_and_doubles_with_missing_values_can_be_measured(tmp_path: Path) -> None:
    inputs = {"colour": np.array(["red", "", "blü"], dtype=object), "time": np.array([1.7e9, np.nan, 0.0])}
    [timings] = measure([write_lookup(tmp_path / "lookup.onnx")], inputs, BATCHES, rounds=5)
    assert tuple(timings) == BATCHES


def test_a_missing_file_is_an_error_that_names_it(tmp_path: Path) -> None:
    files = [write_product(tmp_path / "there.onnx", 2), tmp_path / "absent.onnx"]
    with pytest.raises(StageError, match=r"the latency measurement failed: .*absent\.onnx"):
        measure(files, rows(), BATCHES, rounds=5)


def test_the_machine_is_described_by_what_the_figures_depend_on() -> None:
    found = machine()
    assert set(found) == {"processor", "cores", "threads", "onnxruntime"}
    assert found["threads"] == 1
    assert found["processor"]
