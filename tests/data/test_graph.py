"""The builder of ONNX graphs."""

import numpy as np
import onnx
import onnxruntime as ort
import pytest

from ann.data.graph import IR_VERSION, MICROSOFT, ML_OPSET, OPSET, GraphBuilder


def line_graph() -> onnx.ModelProto:
    """Build y = 3 x + 1 in double, answered in float32."""
    builder = GraphBuilder("line")
    x = builder.input("x", np.float64, ["N"])
    product = builder.op("Mul", x, builder.constant("slope", np.array(3.0)))
    total = builder.op("Add", product, builder.constant("offset", np.array(1.0)))
    builder.op("Identity", builder.cast(total, np.float32), output="y")
    builder.output("y", np.float32, ["N"])
    return builder.model()


def run(model: onnx.ModelProto, **inputs: np.ndarray) -> np.ndarray:
    session = ort.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    return session.run(None, inputs)[0]


def test_a_graph_computes_what_its_nodes_say():
    x = np.array([0.0, 1.5, -2.0])
    y = run(line_graph(), x=x)
    assert y.dtype == np.float32
    np.testing.assert_array_equal(y, 3 * x + 1)


def test_the_number_of_rows_is_free():
    model = line_graph()
    assert [len(run(model, x=np.zeros(rows))) for rows in (0, 1, 7)] == [0, 1, 7]


def test_every_node_has_a_name_of_its_own():
    names = [node.name for node in line_graph().graph.node]
    assert all(name.startswith("line/") for name in names)
    assert len(set(names)) == len(names) == 4


def test_operator_sets_and_format_version_are_stated():
    model = line_graph()
    assert {opset.domain: opset.version for opset in model.opset_import} == {"": OPSET, "ai.onnx.ml": ML_OPSET}
    assert (model.ir_version, model.producer_name) == (IR_VERSION, "ann")


def test_the_same_calls_give_the_same_bytes():
    assert line_graph().SerializeToString(deterministic=True) == line_graph().SerializeToString(deterministic=True)


def test_text_becomes_numbers_through_the_operators_of_machine_learning():
    builder = GraphBuilder("ids")
    word = builder.input("word", object, ["N"])
    attributes = {"keys_strings": ["a", "b"], "values_int64s": [5, 6], "default_int64": 0}
    builder.op("LabelEncoder", word, domain="ai.onnx.ml", output="id", **attributes)
    builder.output("id", np.int64, ["N"])
    assert run(builder.model(), word=np.array(["b", "z", "a"], dtype=object)).tolist() == [6, 0, 5]


def test_pixels_enter_as_bytes_and_words_part_by_an_operator_that_the_opsets_name():
    builder = GraphBuilder("parts")
    white = builder.cast(builder.input("pixels", np.uint8, ["N"]), np.float32)
    builder.output(white, np.float32, ["N"])
    assert run(builder.model(), pixels=np.array([0, 255], np.uint8)).tolist() == [0, 255]
    builder = GraphBuilder("words")
    settings = {"mark": 0, "mincharnum": 1, "pad_value": "", "tokenexp": "[a-z]+"}
    words = builder.op("Tokenizer", builder.input("text", object, ["N"]), domain=MICROSOFT, **settings)
    builder.output(words, object, ["N", "T"])
    model = builder.model()
    assert run(model, text=np.array(["a b", "c"], object)).tolist() == [["a", "b"], ["c", ""]]
    assert {opset.domain: opset.version for opset in model.opset_import}[MICROSOFT] == 1


def test_a_value_that_no_node_makes_is_refused():
    builder = GraphBuilder("broken")
    builder.op("Neg", "nowhere", output="y")
    builder.output("y", np.float32, ["N"])
    with pytest.raises(onnx.checker.ValidationError, match="nowhere"):
        builder.model()


def test_types_that_do_not_meet_are_refused():
    builder = GraphBuilder("broken")
    x = builder.input("x", np.float64, ["N"])
    builder.op("Add", x, builder.constant("one", np.array(1, dtype=np.float32)), output="y")
    builder.output("y", np.float64, ["N"])
    with pytest.raises(onnx.shape_inference.InferenceError):
        builder.model()


def test_a_type_that_the_builder_does_not_know_is_refused():
    with pytest.raises(KeyError):
        GraphBuilder("broken").input("x", np.float16, ["N"])
