"""int8 graphs: small, close to fp32, and for static ones the same for a row alone and in a batch."""

from typing import NamedTuple

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper
from onnx.reference import ReferenceEvaluator

from ann.compression.quantization import quantize
from ann.data.batches import TensorData
from ann.data.target import softmax
from ann.errors import StageError
from ann.export.network import export_network, normalise, run_network
from ann.models.mlp import MLP

MODES = ["static", "dynamic"]


class Graphs(NamedTuple):
    fp32: onnx.ModelProto
    int8: dict[str, onnx.ModelProto]
    rows: dict[str, np.ndarray]


@pytest.fixture(scope="module")
def graphs() -> Graphs:
    """A layer of 256 x 256 between numbers with one embedded category and five classes."""
    torch.manual_seed(0)
    network = MLP(width=250, sizes=[8], outputs=5, hidden=[256, 256], norm="batch", dropout=0.0).eval()
    random = np.random.default_rng(0)
    rows = {
        "numeric": random.normal(size=(512, 250)).astype(np.float32),
        "categorical": random.integers(8, size=(512, 1)),
    }
    fp32 = export_network(network, TensorData.on_device({**rows, "target": np.zeros(512, np.int64)}))
    calibration = {name: values[:256] for name, values in rows.items()}
    return Graphs(fp32, {mode: quantize(fp32, mode, calibration) for mode in MODES}, rows)


@pytest.mark.parametrize("mode", MODES)
def test_an_int8_file_is_much_smaller(graphs: Graphs, mode: str) -> None:
    assert graphs.int8[mode].ByteSize() < 0.35 * graphs.fp32.ByteSize()


@pytest.mark.parametrize("mode", MODES)
def test_int8_answers_about_what_fp32_answers(graphs: Graphs, mode: str) -> None:
    theirs, ours = (softmax(run_network(graph, graphs.rows)) for graph in (graphs.fp32, graphs.int8[mode]))
    assert ours.shape == (512, 5)
    assert 0 < np.abs(ours - theirs).max() < 0.1
    assert (ours.argmax(axis=1) == theirs.argmax(axis=1)).mean() > 0.95


@pytest.mark.parametrize("mode", MODES)
def test_inputs_and_outputs_stay_as_they_were(graphs: Graphs, mode: str) -> None:
    for part in ("input", "output"):
        before, after = (list(getattr(graph.graph, part)) for graph in (graphs.fp32, graphs.int8[mode]))
        assert [put.name for put in after] == [put.name for put in before]
        assert [put.type.tensor_type.elem_type for put in after] == [put.type.tensor_type.elem_type for put in before]


def test_a_static_graph_answers_a_row_alike_alone_and_in_a_batch(graphs: Graphs) -> None:
    together = run_network(graphs.int8["static"], graphs.rows)
    loud = {**graphs.rows, "numeric": graphs.rows["numeric"].copy()}
    loud["numeric"][1:] *= 50  # a neighbour must not change the scale of row 0
    for count, rows in ((1, graphs.rows), (3, graphs.rows), (512, loud)):
        some = run_network(graphs.int8["static"], {name: values[:count] for name, values in rows.items()})
        np.testing.assert_allclose(some[0], together[0], atol=1e-5)


def test_static_weights_take_seven_bits_with_a_scale_a_unit(graphs: Graphs) -> None:
    weights = {tensor.name: numpy_helper.to_array(tensor) for tensor in graphs.int8["static"].graph.initializer}
    matrices = [values for values in weights.values() if values.dtype == np.int8 and values.ndim == 2]
    assert sorted(values.size for values in matrices) == [5 * 256, 256 * 256, 256 * 256]
    assert all(np.abs(values.astype(int)).max() <= 64 for values in matrices)
    assert sum(values.shape == (256,) and values.dtype == np.float32 for values in weights.values()) >= 2


def test_the_static_graph_means_the_same_to_the_onnx_reference(graphs: Graphs) -> None:
    rows = {name: values[:16] for name, values in graphs.rows.items()}
    [theirs] = ReferenceEvaluator(graphs.int8["static"]).run(["logits"], rows)
    ours = run_network(graphs.int8["static"], rows)
    np.testing.assert_allclose(softmax(ours), softmax(theirs), atol=0.02)


@pytest.mark.parametrize("mode", MODES)
def test_the_same_input_gives_the_same_bytes(graphs: Graphs, mode: str) -> None:
    calibration = {name: values[:256] for name, values in graphs.rows.items()}
    again = quantize(graphs.fp32, mode, calibration)
    assert again.SerializeToString(deterministic=True) == graphs.int8[mode].SerializeToString(deterministic=True)


def test_the_graph_that_is_quantized_stays_as_it_was(graphs: Graphs) -> None:
    before = graphs.fp32.SerializeToString(deterministic=True)
    quantize(graphs.fp32, "dynamic", {})
    assert graphs.fp32.SerializeToString(deterministic=True) == before


def test_calibration_rows_that_do_not_fit_are_an_error_with_a_way_out(graphs: Graphs) -> None:
    narrow = {**graphs.rows, "numeric": graphs.rows["numeric"][:, :7]}
    with pytest.raises(StageError, match=r"(?s)static quantization failed: .+; remove the recipe from compress\."):
        quantize(graphs.fp32, "static", narrow)


def test_a_graph_that_cannot_be_loaded_is_an_error_with_a_way_out(graphs: Graphs) -> None:
    broken = onnx.ModelProto()
    broken.CopyFrom(graphs.fp32)
    broken.graph.node[-1].op_type = "NoSuchOperator"
    with pytest.raises(StageError, match=r"(?s)dynamic quantization failed: .+; remove the recipe from compress\."):
        quantize(broken, "dynamic", {})


@pytest.mark.parametrize("mode", [*MODES, "aware", "weights"])
def test_a_graph_without_products_is_an_error_with_a_way_out(mode: str) -> None:
    node = helper.make_node("Relu", ["numeric"], ["logits"], name="relu")
    puts = [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["N", 3]) for name in ("numeric", "logits")]
    graph = normalise(helper.make_model(helper.make_graph([node], "g", puts[:1], puts[1:])))
    with pytest.raises(StageError, match=rf"{mode} quantization finds no .+ in the graph; remove the recipe from"):
        quantize(graph, mode, {"numeric": np.ones((4, 3), np.float32)})


def test_aware_without_ranges_is_an_error_with_a_way_out(graphs: Graphs) -> None:
    with pytest.raises(StageError, match=r"aware quantization knows no range of any layer of the graph; remove the"):
        quantize(graphs.fp32, "aware", {}, ranges={})


@pytest.mark.parametrize("factor", [1e-30, 1e6])
def test_a_bias_far_greater_than_its_weights_does_not_overflow(factor: float) -> None:
    torch.manual_seed(0)
    network = MLP(width=3, sizes=[], outputs=2, hidden=[8], norm="none", dropout=0.0).eval()
    with torch.no_grad():
        network.blocks[0][0].weight.mul_(1 / factor if factor > 1 else factor)
        network.blocks[0][0].weight[3] = 0
        network.blocks[0][0].bias.fill_(100)
    rows = {"numeric": np.random.default_rng(0).normal(size=(64, 3)).astype(np.float32)}
    graph = export_network(network, TensorData.on_device({**rows, "target": np.zeros(64, np.int64)}))
    found = run_network(quantize(graph, "static", rows), rows)
    np.testing.assert_allclose(found, run_network(graph, rows), rtol=0.02)
