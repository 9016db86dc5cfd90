"""Weights in few bits: what is stored, what comes back, and that ONNX Runtime unpacks it when it loads the file."""

from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper
from onnx.reference import ReferenceEvaluator

from ann.compression.weights import BLOCKS, LEAST, coded_blocks, quantize_weights, stored_weights


def product(weight: np.ndarray, **others: np.ndarray) -> onnx.ModelProto:
    """y = x W, and a graph's other constants, which nothing reads."""
    node = helper.make_node("MatMul", ["x", "w"], ["y"], name="product")
    shapes = {"x": ["N", weight.shape[0]], "y": ["N", weight.shape[1]]}
    x, y = (helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, shape in shapes.items())
    constants = [numpy_helper.from_array(values, name) for name, values in {"w": weight, **others}.items()]
    graph = helper.make_graph([node], "g", [x], [y], constants)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)


def weights(*shape: int) -> np.ndarray:
    return np.random.default_rng(0).normal(size=shape).astype(np.float32)


def unpacked(model: onnx.ModelProto) -> np.ndarray:
    """The whole weight, by a product with the identity in onnx's own evaluator."""
    rows = next(put.type.tensor_type.shape.dim[1].dim_value for put in model.graph.input)
    [found] = ReferenceEvaluator(model).run(None, {"x": np.eye(rows, dtype=np.float32)})
    return found


@given(rows=st.integers(9, 40), columns=st.integers(60, 80), bits=st.sampled_from([4, 8]), zeros=st.floats(0, 1))
@settings(max_examples=30, deadline=None)
def test_weights_come_back_within_half_a_step_of_their_block(rows: int, columns: int, bits: int, zeros: float) -> None:
    weight = weights(rows, columns)
    weight[np.random.default_rng(1).random(weight.shape) < zeros] = 0
    found = unpacked(quantize_weights(product(weight), bits))
    assert found.shape == weight.shape
    assert not found[weight == 0].any()
    flat = np.pad(weight.reshape(-1), (0, -weight.size % BLOCKS[bits])).reshape(-1, BLOCKS[bits])
    step = np.abs(flat).max(axis=1, keepdims=True) / (2 ** (bits - 1) - 1)
    off = np.abs(np.pad(found.reshape(-1), (0, -weight.size % BLOCKS[bits])).reshape(flat.shape) - flat)
    cut = 1.0 if bits == 8 else 6.0  # 4 bits may cut the largest of a block off
    assert (off <= cut * step / 2 * (1 + 1e-5)).all()


def test_four_bits_never_err_more_in_squares_than_the_scale_that_covers_all() -> None:
    blocks = weights(50, 32)
    codes, scale = coded_blocks(blocks, 4)
    plain = np.abs(blocks).max(axis=1) / 7
    error = np.square(codes * scale[:, None] - blocks).sum(axis=1)
    error_plain = np.square(np.rint(blocks / plain[:, None]) * plain[:, None] - blocks).sum(axis=1)
    assert (error <= error_plain * (1 + 1e-5)).all()
    assert error.sum() < 0.95 * error_plain.sum()


@pytest.mark.parametrize(("bits", "share"), [(8, 0.27), (4, 0.165)])
def test_bytes(bits: int, share: float) -> None:
    model = product(weights(256, 256))
    assert quantize_weights(model, bits).ByteSize() < share * model.ByteSize()


@pytest.mark.parametrize("bits", [4, 8])
def test_onnx_runtime_unpacks_once_and_multiplies_in_float(bits: int, tmp_path: Path) -> None:
    model = quantize_weights(product(weights(33, 65)), bits)
    options = ort.SessionOptions()
    options.optimized_model_filepath = str(tmp_path / "loaded.onnx")
    session = ort.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    assert [node.op_type for node in onnx.load(tmp_path / "loaded.onnx").graph.node] == ["MatMul"]
    x = weights(7, 33)
    plain = product(unpacked(model))
    expected = ort.InferenceSession(plain.SerializeToString(), providers=["CPUExecutionProvider"]).run(None, {"x": x})
    np.testing.assert_array_equal(session.run(None, {"x": x})[0], expected[0])


def test_small_tensors_vectors_and_integers_stay_as_they_are() -> None:
    small = product(weights(8, LEAST // 8 - 1))
    assert stored_weights(small) == {}
    assert quantize_weights(small, 8).SerializeToString() == small.SerializeToString()
    model = product(weights(32, 32), ids=np.arange(2000).reshape(40, 50), vector=weights(2000))
    kept = {tensor.name: tensor for tensor in quantize_weights(model, 8).graph.initializer}
    assert {"ids", "vector"} < set(kept)
    assert "w" not in kept


def test_excluded_nodes_and_what_they_share_stay_in_float() -> None:
    model = product(weights(32, 32))
    assert stored_weights(model) == {"product": ["w"]}
    assert quantize_weights(model, 4, {"product"}).SerializeToString() == model.SerializeToString()
