"""Ranges of activations, and the training rows that they are found on."""

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, helper

from ann.compression.calibration import CALIBRATORS, activation_ranges, calibration_rows
from ann.data.batches import TensorData
from ann.errors import DataError, StageError


@pytest.fixture(scope="module")
def graph() -> onnx.ModelProto:
    """y = relu(x), z = 3 y."""
    nodes = [helper.make_node("Relu", ["x"], ["y"]), helper.make_node("Sum", ["y", "y", "y"], ["z"])]
    put = [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["N", 4]) for name in "xz"]
    return helper.make_model(
        helper.make_graph(nodes, "g", put[:1], put[1:]), opset_imports=[helper.make_opsetid("", 20)], ir_version=10
    )


def rows(count: int = 300) -> np.ndarray:
    return np.random.default_rng(0).normal(size=(count, 4)).astype(np.float32)


def test_minmax_covers_every_value_of_every_batch(graph: onnx.ModelProto) -> None:
    x = rows()
    x[0, 0], x[299, 3] = 9, -7  # in the first and the last batch
    found = activation_ranges(graph, ["x", "y", "z"], {"x": x})
    assert found == {"x": (-7, 9), "y": (0, 9), "z": (0, 27)}


@pytest.mark.parametrize("method", ["entropy", "percentile"])
def test_an_outlier_is_cut_off(graph: onnx.ModelProto, method: str) -> None:
    x = rows(3000)
    x[7, 2] = 80
    low, high = activation_ranges(graph, ["y"], {"x": x}, method)["y"]
    assert -1 < low <= 0
    if method == "entropy":
        assert 2 < high < 40
    else:
        assert 79 < high <= 80.1  # one of 12,000 values is more than 0.001 %


@pytest.mark.parametrize("method", CALIBRATORS)
def test_a_constant_column_and_a_single_row_have_a_range(
    graph: onnx.ModelProto, method: str, capsys: pytest.CaptureFixture[str]
) -> None:
    for x in (np.zeros((70, 4), np.float32), np.full((1, 4), 2.5, np.float32)):
        low, high = activation_ranges(graph, ["z"], {"x": x}, method)["z"]
        assert low <= high
        assert 3 * x.max() * 0.99 <= high <= 3 * x.max() + 0.5
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize("method", CALIBRATORS)
def test_ranges_are_a_function_of_the_rows(graph: onnx.ModelProto, method: str) -> None:
    first, again = (activation_ranges(graph, ["z", "x"], {"x": rows()}, method) for _ in range(2))
    assert first == again


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_an_input_that_is_no_number_is_named(graph: onnx.ModelProto, bad: float) -> None:
    x = rows(5)
    x[3, 1] = bad
    with pytest.raises(DataError, match="calibration rows hold NaN or infinity in x, which has no range: mend"):
        activation_ranges(graph, ["z"], {"x": x})


def test_a_network_that_makes_infinity_is_named(graph: onnx.ModelProto) -> None:
    with pytest.raises(StageError, match="the network answers calibration rows with NaN or infinity in z: train"):
        activation_ranges(graph, ["z"], {"x": np.full((3, 4), 3e38, np.float32)})


def test_no_rows_are_an_error(graph: onnx.ModelProto) -> None:
    with pytest.raises(DataError, match="calibration needs one training row at least"):
        activation_ranges(graph, ["z"], {"x": rows(0)})


def data(target: torch.Tensor) -> TensorData:
    return TensorData({"numeric": torch.arange(len(target)).float().unsqueeze(1)}, target)


def numbers_of(found: dict[str, np.ndarray]) -> list[int]:
    return [int(number) for number in found["numeric"][:, 0]]


def test_every_class_is_among_the_rows() -> None:
    target = torch.zeros(1000, dtype=torch.int64)
    target[777], target[888] = 1, 2
    for seed in range(20):
        found = numbers_of(calibration_rows(data(target), 16, seed))
        assert len(set(found)) == 16
        assert {777, 888} < set(found)
        assert found == sorted(found)


def test_more_classes_than_rows_have_a_row_each() -> None:
    assert numbers_of(calibration_rows(data(torch.arange(40)), 16, 0)) == list(range(40))


@pytest.mark.parametrize("target", [torch.randn(50), torch.randn(50, 3), torch.randint(2, (50, 3)).float()])
def test_numbers_and_labels_are_sampled_plainly(target: torch.Tensor) -> None:
    found = numbers_of(calibration_rows(data(target), 20, 3))
    assert len(set(found)) == 20
    assert numbers_of(calibration_rows(data(target), 20, 3)) == found
    assert numbers_of(calibration_rows(data(target), 20, 4)) != found


def test_few_rows_are_all_taken() -> None:
    assert numbers_of(calibration_rows(data(torch.zeros(9)), 512, 0)) == list(range(9))
