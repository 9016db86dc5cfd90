"""The exported graph answers what its torch network answers, for any number of rows."""

from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from onnx.reference import ReferenceEvaluator
from scipy import special

from ann.data.batches import TensorData
from ann.data.graph import save_model
from ann.data.target import Target, classification, softmax
from ann.errors import StageError
from ann.export.network import difference, export_network, open_session, run_network, verify_network
from ann.models.mlp import MLP

KINDS = {
    "none": (3, [4, 7], "none"),
    "layer": (3, [4, 7], "layer"),
    "batch": (3, [4, 7], "batch"),
    "numbers alone": (3, [], "batch"),
    "categories alone": (0, [4, 7], "layer"),
}
THREE = classification(3)


def build(kind: str) -> MLP:
    width, sizes, norm = KINDS[kind]
    torch.manual_seed(2)
    network = MLP(width=width, sizes=sizes, outputs=3, hidden=[16, 8], norm=norm, activation="gelu")
    for module in network.modules():
        if isinstance(module, torch.nn.BatchNorm1d):  # what training would leave there
            module.running_mean.normal_()
            module.running_var.uniform_(0.1, 4)
            torch.nn.init.uniform_(module.weight, 0.2, 3)
            torch.nn.init.normal_(module.bias)
    return network.eval()


def rows(kind: str, count: int) -> TensorData:
    width, sizes, _ = KINDS[kind]
    random = np.random.default_rng(0)
    arrays = {"target": np.zeros(count, np.int64)}
    if width:
        arrays["numeric"] = random.normal(size=(count, width)).astype(np.float32)
    if sizes:
        arrays["categorical"] = np.stack([random.integers(size, size=count) for size in sizes], axis=1)
    return TensorData.on_device(arrays)


def arrays_of(data: TensorData) -> dict[str, np.ndarray]:
    return {name: tensor.numpy() for name, tensor in data.inputs.items()}


@pytest.fixture(scope="module")
def graphs() -> dict[str, onnx.ModelProto]:
    return {kind: export_network(build(kind), rows(kind, 3)) for kind in KINDS}


@pytest.mark.parametrize("count", [1, 3, 257])
@pytest.mark.parametrize("kind", KINDS)
def test_the_graph_equals_torch_for_any_number_of_rows(
    graphs: dict[str, onnx.ModelProto], kind: str, count: int
) -> None:
    data = rows(kind, count)
    with torch.no_grad():
        expected = build(kind)(data.inputs).numpy()
    found = run_network(graphs[kind], arrays_of(data))
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("kind", KINDS)
def test_the_graph_means_the_same_to_the_onnx_reference(graphs: dict[str, onnx.ModelProto], kind: str) -> None:
    data = rows(kind, 5)
    [expected] = ReferenceEvaluator(graphs[kind]).run(["logits"], arrays_of(data))
    np.testing.assert_allclose(run_network(graphs[kind], arrays_of(data)), expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("kind", KINDS)
def test_the_interface_is_the_column_groups_and_logits_with_free_rows(
    graphs: dict[str, onnx.ModelProto], kind: str
) -> None:
    width, sizes, _ = KINDS[kind]
    session = open_session(graphs[kind])
    shapes = {put.name: (put.type, put.shape[1]) for put in session.get_inputs()}
    expected = {"numeric": ("tensor(float)", width)} if width else {}
    assert shapes == expected | ({"categorical": ("tensor(int64)", len(sizes))} if sizes else {})
    assert [(put.name, put.shape[1]) for put in session.get_outputs()] == [("logits", 3)]
    assert all(isinstance(put.shape[0], str) for put in [*session.get_inputs(), *session.get_outputs()])


def test_batch_norm_and_dropout_leave_no_node(graphs: dict[str, onnx.ModelProto]) -> None:
    for graph in graphs.values():
        assert not {node.op_type for node in graph.graph.node} & {"BatchNormalization", "Dropout"}


@pytest.mark.parametrize("kind", ["layer", "batch"])
def test_two_exports_are_equal_byte_for_byte(graphs: dict[str, onnx.ModelProto], kind: str, tmp_path: Path) -> None:
    again = export_network(build(kind), rows(kind, 50))
    for name, graph in (("one", graphs[kind]), ("two", again)):
        save_model(graph, tmp_path / name)
    assert (tmp_path / "one").read_bytes() == (tmp_path / "two").read_bytes()


def test_a_saved_graph_is_one_file_that_gives_the_same_answers(
    graphs: dict[str, onnx.ModelProto], tmp_path: Path
) -> None:
    path = tmp_path / "folder" / "network.onnx"
    save_model(graphs["layer"], path)
    assert [file.name for file in path.parent.iterdir()] == ["network.onnx"]
    inputs = arrays_of(rows("layer", 9))
    np.testing.assert_array_equal(run_network(path, inputs), run_network(graphs["layer"], inputs))


@pytest.mark.parametrize("kind", KINDS)
def test_a_faithful_graph_passes_the_check(graphs: dict[str, onnx.ModelProto], kind: str) -> None:
    verify_network(graphs[kind], build(kind), rows(kind, 200), THREE)
    with pytest.raises(StageError, match="differs from its network"):
        verify_network(graphs[kind], scaled(build(kind), 1.01), rows(kind, 200), THREE)


@pytest.mark.parametrize("factor", [0.0, -1.0, 1.01, float("nan")])
def test_tampered_weights_do_not_pass_the_check(graphs: dict[str, onnx.ModelProto], factor: float) -> None:
    with pytest.raises(StageError, match=r"the exported graph differs from its network by .* is allowed"):
        verify_network(graphs["layer"], scaled(build("layer"), factor), rows("layer", 200), THREE)


@pytest.mark.parametrize(
    "target",
    [Target("regression", ("a", "b", "c"), shift=(1e6,) * 3, scale=(1e3,) * 3), Target("multilabel", ("a", "b", "c"))],
    ids=["numbers", "labels"],
)
def test_numbers_and_labels_are_checked_as_they_are_stored(graphs: dict[str, onnx.ModelProto], target: Target) -> None:
    verify_network(graphs["layer"], build("layer"), rows("layer", 200), target)
    with pytest.raises(StageError, match="differs from its network by"):
        verify_network(graphs["layer"], scaled(build("layer"), 1.01), rows("layer", 200), target)


def test_a_difference_is_a_share_of_what_is_greater_than_one() -> None:
    assert difference(np.array([0.5, 0.1]), np.array([0.25, 0.1])) == 0.25
    assert difference(np.array([1010.0]), np.array([-1000.0])) == pytest.approx(2.01)
    assert np.isnan(difference(np.array([np.nan, 0.0]), np.zeros(2)))


def scaled(network: MLP, factor: float) -> MLP:
    with torch.no_grad():
        network.head.weight *= factor
    return network


def test_softmax_equals_scipy_and_keeps_huge_logits_finite() -> None:
    logits = np.random.default_rng(0).normal(scale=20, size=(50, 4)).astype(np.float32)
    np.testing.assert_allclose(softmax(logits), special.softmax(logits.astype(np.float64), axis=1), rtol=1e-12)
    assert softmax(np.array([[1e30, 0.0], [0.0, 0.0]])).tolist() == [[1, 0], [0.5, 0.5]]
