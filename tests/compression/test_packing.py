"""Packed graphs: fewer bytes, the same bits in every answer, the same kernels."""

import lzma
from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto, checker, helper, numpy_helper
from onnx.reference import ReferenceEvaluator

from ann.compression.packing import pack, packed_bytes, read_packed, write_packed
from ann.data.batches import TensorData
from ann.data.graph import IR_VERSION, OPSET
from ann.errors import StageError
from ann.export.network import export_network, normalise, open_session, run_network
from ann.models.mlp import MLP
from ann.models.text import Text


def constant_graph(*arrays: np.ndarray) -> onnx.ModelProto:
    """Return a graph that hands out its weights, whatever it is fed."""
    weights = [numpy_helper.from_array(values, f"some.long.name.{number}") for number, values in enumerate(arrays)]
    nodes = [helper.make_node("Identity", [weight.name], [f"out{n}"], name=f"n{n}") for n, weight in enumerate(weights)]
    outputs = [
        helper.make_tensor_value_info(f"out{n}", weight.data_type, weight.dims) for n, weight in enumerate(weights)
    ]
    graph = helper.make_graph(nodes, "weights", [], outputs, weights)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=IR_VERSION)


def unpacked(model: onnx.ModelProto) -> list[np.ndarray]:
    return open_session(model).run(None, {})


def bits(array: np.ndarray) -> tuple[object, ...]:
    return array.dtype, array.shape, array.tobytes()


def sparse(shape: tuple[int, ...], living: float, values: int = 0, seed: int = 0) -> np.ndarray:
    """Return normal weights of which a share is other than zero, with `values` different ones unless it is 0."""
    random = np.random.default_rng(seed)
    full = random.normal(size=shape) if not values else random.normal(size=values)[random.integers(values, size=shape)]
    return np.where(random.random(shape) < living, full, 0).astype(np.float32)


def optimised_operators(model: onnx.ModelProto, folder: Path) -> list[str]:
    options = ort.SessionOptions()
    options.optimized_model_filepath = str(folder / "optimised.onnx")
    options.log_severity_level = 3
    ort.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    return [node.op_type for node in onnx.load(folder / "optimised.onnx").graph.node]


KINDS = {
    "dense, few values": sparse((60, 50), 1.0, 16),
    "dense, two values": np.where(np.arange(3000).reshape(3, 1000) % 7 < 3, -1.5, 2.5).astype(np.float32),
    "all zeros": np.zeros((32, 32), np.float32),
    "one value": np.full((31, 33), 0.1, np.float32),
    "sparse": sparse((123, 77), 0.05),
    "sparse, few values": sparse((123, 77), 0.05, 16),
    "sparse, one value": sparse((123, 77), 0.05, 1),
    "sparse, 256 values": sparse((400, 300), 0.3, 256),
    "half zeros": sparse((64, 65), 0.5),
    "half zeros, few values": sparse((64, 65), 0.5, 5),
    "one weight": np.eye(1, 5000, 4321, dtype=np.float32),
    "first and last": np.eye(1, 5000, dtype=np.float32) + np.eye(1, 5000, 4999, dtype=np.float32) * 2,
    "huge gap": np.eye(1, 1_000_000, 999_998, dtype=np.float32),
    "one axis": sparse((999,), 0.1, 4),
    "a kernel": sparse((16, 8, 3, 3), 0.2, 7),
    "integers": np.where(sparse((50, 70), 0.1) > 0, 7, 0).astype(np.int8),
    "integers, many values": np.rint(sparse((90, 70), 0.2) * 40).astype(np.int8),
    "dense integers of few values": np.random.default_rng(0).integers(-7, 8, (64, 64)).astype(np.int8),
    "minus zero": np.where(sparse((40, 40), 0.3) > 0, np.float32(-0.0), np.float32(0.0)),
}


@pytest.mark.parametrize("kind", KINDS)
def test_weights_come_back_bit_by_bit_from_fewer_bytes(kind: str) -> None:
    weights = KINDS[kind]
    model = constant_graph(weights)
    packed = pack(model)
    [found] = unpacked(packed)
    assert bits(found) == bits(weights)
    assert packed.functions
    assert packed.ByteSize() < 0.9 * model.ByteSize()


@pytest.mark.parametrize("kind", ["dense, few values", "sparse", "sparse, few values", "half zeros", "integers"])
def test_the_onnx_reference_unpacks_the_same(kind: str) -> None:
    [found] = ReferenceEvaluator(pack(constant_graph(KINDS[kind]))).run(None, {})
    assert bits(np.asarray(found)) == bits(KINDS[kind])


@given(
    shape=st.lists(st.integers(1, 40), min_size=1, max_size=3).map(tuple),
    living=st.floats(0, 1),
    values=st.sampled_from([0, 1, 2, 3, 5, 16, 17, 255, 256, 257]),
    integers=st.booleans(),
    seed=st.integers(0, 9),
)
@settings(max_examples=60, deadline=None)
def test_any_sparse_tensor_comes_back(
    shape: tuple[int, ...], living: float, values: int, integers: bool, seed: int
) -> None:
    weights = sparse(shape, living, values, seed)
    if integers:
        weights = np.rint(weights * 30).clip(-128, 127).astype(np.int8)
    model = constant_graph(weights)
    packed = pack(model)
    assert bits(unpacked(packed)[0]) == bits(weights)
    assert packed.ByteSize() <= model.ByteSize()


def test_several_tensors_share_functions_shapes_and_equal_values() -> None:
    weights = [sparse((50, 40), 0.1, 16, seed) for seed in range(3)]
    packed = pack(constant_graph(*weights, weights[0], weights[1]))
    assert [bits(found) for found in unpacked(packed)] == [bits(values) for values in (*weights, *weights[:2])]
    assert [node.op_type for node in packed.graph.node].count("Spread") == 3
    assert len({function.name for function in packed.functions}) == len(packed.functions)


def test_a_sparse_weight_costs_little_more_than_its_entropy() -> None:
    weights = sparse((300, 784), 0.03, 16)
    count, size = np.count_nonzero(weights), weights.size
    share = count / size
    entropy = -(share * np.log2(share) + (1 - share) * np.log2(1 - share)) * size / 8 + count * 4 / 8
    assert pack(constant_graph(weights)).ByteSize() < 1.05 * entropy + 2000  # functions and names


def test_tensors_that_are_small_or_save_little_stay_as_they_are() -> None:
    dense, small, whole = sparse((40, 40), 1.0), np.zeros(255, np.float32), np.zeros((30, 30), np.int64)
    model = constant_graph(dense, small, whole)
    packed = pack(model)
    assert not packed.functions
    assert {tuple(tensor.dims) for tensor in packed.graph.initializer} == {(40, 40), (255,), (30, 30)}
    assert [bits(found) for found in unpacked(packed)] == [bits(values) for values in (dense, small, whole)]


def test_a_weight_that_a_caller_may_replace_is_not_packed() -> None:
    model = constant_graph(KINDS["sparse"])
    model.graph.input.append(helper.make_tensor_value_info("some.long.name.0", TensorProto.FLOAT, [123, 77]))
    assert not pack(model).functions


def test_what_is_packed_already_stays_as_it_is() -> None:
    packed = pack(constant_graph(KINDS["sparse"]))
    assert pack(packed) is packed


def test_packing_leaves_the_model_alone_and_is_deterministic() -> None:
    model = constant_graph(*KINDS.values())
    before = model.SerializeToString(deterministic=True)
    first, second = (pack(model).SerializeToString(deterministic=True) for _ in range(2))
    assert first == second
    assert model.SerializeToString(deterministic=True) == before


Exported = tuple[onnx.ModelProto, dict[str, np.ndarray]]


@pytest.fixture(scope="module")
def mlp() -> Exported:
    torch.manual_seed(0)
    network = MLP(width=64, sizes=[5], outputs=7, hidden=[100, 50], norm="layer", dropout=0.0).eval()
    with torch.no_grad():
        for number, parameter in enumerate(network.parameters()):
            if parameter.ndim == 2:
                parameter.copy_(torch.from_numpy(sparse(tuple(parameter.shape), 0.1, 16, number)))
    random = np.random.default_rng(0)
    rows = {
        "numeric": random.normal(size=(40, 64)).astype(np.float32),
        "categorical": random.integers(5, size=(40, 1)),
    }
    return export_network(network, TensorData.on_device({**rows, "target": np.zeros(40, np.int64)})), rows


def test_an_exported_network_answers_bit_by_bit_what_it_answered_by_the_same_kernels(
    mlp: Exported, tmp_path: Path
) -> None:
    model, rows = mlp
    packed = pack(model)
    checker.check_model(packed, full_check=True)
    assert packed.ByteSize() < 0.3 * model.ByteSize()
    assert run_network(packed, rows).tobytes() == run_network(model, rows).tobytes()
    assert optimised_operators(packed, tmp_path) == optimised_operators(model, tmp_path)
    for part in ("input", "output"):
        assert list(getattr(packed.graph, part)) == list(getattr(model.graph, part))


def test_a_recurrent_network_answers_bit_by_bit_what_it_answered(tmp_path: Path) -> None:
    torch.manual_seed(0)
    encoder = {"name": "lstm", "units": 24, "layers": 1, "bidirectional": True, "pooling": "last", "dropout": 0.0}
    network = Text(words=50, length=12, outputs=3, encoder=encoder, embedding=16).eval()
    with torch.no_grad():
        for name, parameter in network.named_parameters():
            if "weight" in name:
                parameter.copy_(torch.from_numpy(sparse(tuple(parameter.shape), 0.1)))
    rows = {"text": np.random.default_rng(0).integers(1, 50, (9, 12))}
    model = export_network(network, TensorData.on_device({**rows, "target": np.zeros(9, np.int64)}))
    packed = pack(model)
    assert packed.functions
    assert run_network(packed, rows).tobytes() == run_network(model, rows).tobytes()
    assert optimised_operators(packed, tmp_path) == optimised_operators(model, tmp_path)


def test_a_packed_graph_can_be_joined_to_others(mlp: Exported) -> None:
    model, rows = mlp
    joined = onnx.compose.merge_models(
        onnx.compose.add_prefix(pack(model), "network/", rename_inputs=False),
        onnx.compose.add_prefix(constant_output(), "answer/"),
        io_map=[("network/logits", "answer/x")],
    )
    found = open_session(normalise(joined)).run(["answer/y"], rows)[0]
    assert found.tobytes() == run_network(model, rows).tobytes()


def constant_output() -> onnx.ModelProto:
    put = helper.make_tensor_value_info
    graph = helper.make_graph(
        [helper.make_node("Identity", ["x"], ["y"])],
        "answer",
        [put("x", TensorProto.FLOAT, ["N", 7])],
        [put("y", TensorProto.FLOAT, ["N", 7])],
    )
    opsets = [helper.make_opsetid("", OPSET), helper.make_opsetid("ai.onnx.ml", 3)]
    return helper.make_model(graph, opset_imports=opsets, ir_version=IR_VERSION)


def test_values_inside_branches_keep_their_meaning() -> None:
    put = helper.make_tensor_value_info
    weights = numpy_helper.from_array(KINDS["sparse"], "the.weights")
    inner = [
        helper.make_graph(
            [helper.make_node("MatMul", ["x", "the.weights"], ["a"])], "then", [], [put("a", 1, ["N", 77])]
        ),
        helper.make_graph([helper.make_node("Neg", ["of.x"], ["b"])], "else", [], [put("b", 1, ["N", 77])]),
    ]
    nodes = [
        helper.make_node("MatMul", ["x", "the.weights"], ["of.x"], name="product"),
        helper.make_node("If", ["yes"], ["y"], then_branch=inner[0], else_branch=inner[1]),
    ]
    inputs = [put("x", TensorProto.FLOAT, ["N", 123]), put("yes", TensorProto.BOOL, [])]
    graph = helper.make_graph(nodes, "branches", inputs, [put("y", TensorProto.FLOAT, ["N", 77])], [weights])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=IR_VERSION)
    x = np.random.default_rng(0).normal(size=(4, 123)).astype(np.float32)
    for yes in (True, False):
        feeds = {"x": x, "yes": np.array(yes)}
        ours, theirs = (open_session(graph).run(None, feeds)[0] for graph in (pack(model), model))
        assert ours.tobytes() == theirs.tobytes()


def test_attributes_that_say_the_default_go_and_others_stay() -> None:
    put = helper.make_tensor_value_info
    nodes = [
        helper.make_node("Gemm", ["x", "w"], ["y"], alpha=1.0, beta=1.0, transA=0, transB=1),
        helper.make_node("Softmax", ["y"], ["z"], axis=0),
    ]
    graph = helper.make_graph(
        nodes, "g", [put("x", 1, ["N", 2])], [put("z", 1, ["N", 3])], [helper.make_tensor("w", 1, [3, 2], range(6))]
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=IR_VERSION)
    gemm, softmax = pack(model).graph.node
    assert [attribute.name for attribute in gemm.attribute] == ["transB"]
    assert [attribute.name for attribute in softmax.attribute] == ["axis"]


def test_a_compressed_file_holds_the_model(tmp_path: Path) -> None:
    model = pack(constant_graph(KINDS["sparse"]))
    path = tmp_path / "made" / "model.onnx.xz"
    write_packed(model, path)
    assert path.stat().st_size == packed_bytes(model)
    assert read_packed(path) == model
    assert [file.name for file in path.parent.iterdir()] == [path.name]
    assert lzma.decompress(path.read_bytes()) == model.SerializeToString(deterministic=True)


def test_a_compressed_file_that_is_missing_or_damaged_is_an_error_with_a_way_out(tmp_path: Path) -> None:
    path = tmp_path / "model.onnx.xz"
    with pytest.raises(StageError, match=r"model\.onnx\.xz does not exist: run the stage"):
        read_packed(path)
    write_packed(constant_graph(KINDS["sparse"]), path)
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 255
    for damaged in (bytes(content), path.read_bytes()[:-9], b"no xz"):
        path.write_bytes(damaged)
        with pytest.raises(StageError, match=r"is not a compressed model .* run the stage that writes it again"):
            read_packed(path)
