"""Memory and cold start of real files, each in a process of its own."""

import subprocess
import sys
from dataclasses import astuple
from pathlib import Path

import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper, save

from ann.compression.footprint import footprints
from ann.errors import StageError

WIDE = 2000
"""Units of a layer whose weights take 16 MB."""


def write_layers(path: Path, count: int, width: int = WIDE, rows: int | str = "N") -> Path:
    """Write x (rows, 4) through `count` square layers of weights that no two share."""
    random = np.random.default_rng(0)
    names = [f"w{number}" for number in range(count)]
    weights = [random.normal(0, 0.01, (4 if name == "w0" else width, width)).astype(np.float32) for name in names]
    nodes = [
        helper.make_node("MatMul", ["x" if not number else f"h{number - 1}", name], [f"h{number}"])
        for number, name in enumerate(names)
    ]
    graph = helper.make_graph(
        nodes,
        "layers",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [rows, 4])],
        [helper.make_tensor_value_info(f"h{count - 1}", TensorProto.FLOAT, [rows, width])],
        [numpy_helper.from_array(weight, name) for weight, name in zip(weights, names, strict=True)],
    )
    save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10), path)
    return path


def rows(count: int = 3) -> dict[str, np.ndarray]:
    return {"x": np.ones((count, 4), np.float32)}


def test_a_file_of_larger_weights_takes_more_memory_and_longer_to_load(tmp_path: Path) -> None:
    """The large one has three layers of 16 MB more."""
    small, large = footprints(
        [write_layers(tmp_path / "small.onnx", 1), write_layers(tmp_path / "large.onnx", 4)], rows(), batch=1, rounds=1
    )
    assert 40 < large.memory_mb - small.memory_mb < 250
    assert 0 < small.load_ms < large.load_ms


def test_memory_is_that_of_the_largest_batch(tmp_path: Path) -> None:
    """4,000 rows of 2,000 numbers are 32 MB."""
    file = write_layers(tmp_path / "file.onnx", 1)
    [few], [many] = (footprints([file], rows(), batch=batch, rounds=1) for batch in (1, 4000))
    assert 25 < many.memory_mb - few.memory_mb < 150


def test_figures_are_medians_over_rounds_in_the_order_of_the_files(tmp_path: Path) -> None:
    files = [write_layers(tmp_path / "large.onnx", 3), write_layers(tmp_path / "small.onnx", 1, width=2)]
    large, small = footprints(files, rows(), batch=2, rounds=2)
    assert large.memory_mb > small.memory_mb
    assert all(isinstance(value, float) for value in (*astuple(large), *astuple(small)))


def test_a_missing_file_is_an_error_that_names_it(tmp_path: Path) -> None:
    with pytest.raises(StageError, match=r"the memory measurement failed: .*absent\.onnx"):
        footprints([tmp_path / "absent.onnx"], rows(), batch=1)


def test_a_batch_that_the_file_does_not_take_is_an_error(tmp_path: Path) -> None:
    file = write_layers(tmp_path / "one.onnx", 1, width=2, rows=1)
    with pytest.raises(StageError, match="the memory measurement failed"):
        footprints([file], rows(), batch=2, rounds=1)


def test_the_measuring_process_loads_neither_torch_nor_pandas() -> None:
    """What it imports is memory of its own, and time before each figure."""
    code = "import sys, ann.compression.footprint; print({'torch', 'pandas', 'onnx'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"
