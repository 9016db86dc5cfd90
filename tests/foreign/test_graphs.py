"""A stranger's ONNX file: read at any operator set, fed with rows, its answers found."""

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from ann.data.graph import OPSET
from ann.errors import AnnError, ConfigError, DataError
from ann.export.network import open_session, run_network
from ann.foreign.graphs import Given, answers_of, are_probabilities, fed, load_onnx, with_logits
from ann.foreign.rows import Rows

RANDOM = np.random.default_rng(0)
WEIGHT = RANDOM.normal(size=(3, 4)).astype(np.float32)
X = RANDOM.normal(size=(6, 3)).astype(np.float32)
EXPECTED = X @ WEIGHT


def model(
    nodes: list[onnx.NodeProto] | None = None,
    outputs: list[onnx.ValueInfoProto] | None = None,
    *,
    opset: int = 13,
    rows: int | None = None,
    listed: bool = False,
) -> onnx.ModelProto:
    """Return `x @ w` at an old operator set; `listed` repeats the constant among the inputs, as old files do."""
    inputs = [helper.make_tensor_value_info("x", TensorProto.FLOAT, [rows, 3])]
    if listed:
        inputs.append(helper.make_tensor_value_info("w", TensorProto.FLOAT, [3, 4]))
    graph = helper.make_graph(
        nodes or [helper.make_node("MatMul", ["x", "w"], ["y"])],
        "strange",
        inputs,
        outputs or [put("y", [rows, 4])],
        [numpy_helper.from_array(WEIGHT, "w")],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=7)


def put(name: str, shape: list[int | None], kind: int = TensorProto.FLOAT) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(name, kind, shape)


def saved(folder: Path, made: onnx.ModelProto) -> str:
    onnx.save(made, folder / "model.onnx")
    return str(folder / "model.onnx")


def rows_of(table: bool = False, **inputs: np.ndarray) -> Rows:
    return Rows(inputs, np.zeros(len(next(iter(inputs.values())))), (), table=table)


def given(graph: onnx.ModelProto) -> Given:
    return Given(graph, {}, None)


@pytest.mark.parametrize("opset", [9, 13, 18, 20])
def test_a_file_of_any_operator_set_answers_as_before(tmp_path: Path, opset: int) -> None:
    softmax = helper.make_node("Softmax", ["y"], ["p"], axis=1)
    old = model([helper.make_node("MatMul", ["x", "w"], ["y"]), softmax], [put("p", [None, 4])], opset=opset)
    [before] = open_session(old).run(None, {"x": X})
    found = load_onnx(saved(tmp_path, old))
    assert {entry.domain: entry.version for entry in found.graph.opset_import}[""] == OPSET
    assert all(node.name for node in found.graph.graph.node)
    name, answers = answers_of(found.graph, {"x": X})
    assert name == "p"
    np.testing.assert_allclose(answers, before, atol=1e-6)


def test_constants_among_the_inputs_are_none(tmp_path: Path) -> None:
    found = load_onnx(saved(tmp_path, model(listed=True)))
    assert [entry.name for entry in found.graph.graph.input] == ["x"]
    np.testing.assert_allclose(answers_of(found.graph, {"x": X})[1], EXPECTED, rtol=1e-5)


def test_what_the_file_says_about_itself_is_kept(tmp_path: Path) -> None:
    made = model()
    helper.set_model_props(made, {"author": "someone", "ann.classes": '["b", "a"]'})
    found = load_onnx(saved(tmp_path, made))
    assert found.metadata == {"author": "someone", "ann.classes": '["b", "a"]'}
    assert found.classes == ("b", "a")
    assert given(made).classes == ()


@pytest.mark.parametrize(
    ("content", "told"), [(b"hello", "is no ONNX file"), (b"", "is no ONNX file"), (None, "there is no file")]
)
def test_a_file_that_is_none_is_told(tmp_path: Path, content: bytes | None, told: str) -> None:
    path = tmp_path / "model.onnx"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(ConfigError, match=told):
        load_onnx(str(path))


def test_operators_that_this_program_lacks_are_told(tmp_path: Path) -> None:
    made = model([helper.make_node("Strange", ["x"], ["y"], domain="some.where")])
    made.opset_import.append(helper.make_opsetid("some.where", 1))
    with pytest.raises(ConfigError, match=f"does not run: .*export it again with operator set {OPSET}"):
        load_onnx(saved(tmp_path, made))


def test_an_address_needs_a_registry() -> None:
    with pytest.raises(ConfigError, match="name its project with -C, or set MLFLOW_TRACKING_URI"):
        load_onnx("models:/shop@champion")


def test_an_address_that_does_not_exist_is_told(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="models:/shop@champion cannot be had from the registry sqlite"):
        load_onnx("models:/shop@champion", f"sqlite:///{tmp_path / 'mlflow.db'}")


def test_rows_are_fed_by_name_and_as_the_type_that_is_read() -> None:
    np.testing.assert_array_equal(fed(given(model()), rows_of(x=X.astype(np.float64), more=X), Path())["x"], X)


def test_the_columns_of_a_table_are_one_matrix_where_one_is_read() -> None:
    columns = {f"c{number}": X[:, number] for number in range(3)}
    np.testing.assert_array_equal(fed(given(model()), rows_of(table=True, **columns), Path())["x"], X)
    one = fed(given(model()), rows_of(table=True, c=X[:, 0]), Path())
    assert one["x"].shape == (6, 1)


def test_the_only_array_is_the_only_input_whatever_its_name() -> None:
    np.testing.assert_array_equal(fed(given(model()), rows_of(image=X), Path())["x"], X)


def texts() -> Given:
    graph = helper.make_graph(
        [helper.make_node("Identity", ["word"], ["y"])],
        "words",
        [put("word", [None], TensorProto.STRING), put("n", [None], TensorProto.COMPLEX64)],
        [put("y", [None], TensorProto.STRING)],
    )
    return given(helper.make_model(graph))


def test_inputs_that_no_rows_have_are_told() -> None:
    with pytest.raises(ConfigError, match=r"has no 'word', which the file of --model reads.*did you mean 'words'"):
        fed(texts(), rows_of(words=np.array(["a"])), Path())
    with pytest.raises(ConfigError, match="its input n is of the type COMPLEX64"):
        fed(texts(), rows_of(word=np.array(["a"]), n=np.array([1])), Path())
    with pytest.raises(DataError, match="x must hold numbers, it holds texts such as 'high'"):
        fed(given(model()), rows_of(x=np.array([["high"]], object)), Path())


def test_the_answers_are_the_fractions_of_a_row(tmp_path: Path) -> None:
    nodes = [
        helper.make_node("MatMul", ["x", "w"], ["y"]),
        helper.make_node("ArgMax", ["y"], ["label"], axis=1, keepdims=0),
        helper.make_node("ReduceMax", ["y"], ["best"], axes=[1], keepdims=0),
    ]
    outputs = [put("label", [None], TensorProto.INT64), put("best", [None]), put("y", [None, 4])]
    both = load_onnx(saved(tmp_path, model(nodes, outputs))).graph
    assert answers_of(both, {"x": X})[0] == "y"
    one = load_onnx(saved(tmp_path, model(nodes, outputs[:2]))).graph
    name, answers = answers_of(one, {"x": X})
    assert (name, answers.shape) == ("best", (6, 1))
    np.testing.assert_allclose(run_network(with_logits(one, name, probabilities=False), {"x": X}), answers)
    none = load_onnx(saved(tmp_path, model(nodes, outputs[:1]))).graph
    with pytest.raises(ConfigError, match="none of the outputs label holds a row of fractions"):
        answers_of(none, {"x": X})


def test_rows_that_the_file_does_not_take_are_told(tmp_path: Path) -> None:
    fixed = load_onnx(saved(tmp_path, model(rows=2))).graph
    with pytest.raises(AnnError, match=r"does not take the 6 rows of --data: .*the first dimension .* must be free"):
        answers_of(fixed, {"x": X})
    with pytest.raises(DataError, match="answers NaN or infinity about 1 of 6 rows"):
        answers_of(model(), {"x": np.where(np.arange(6)[:, None] == 2, np.nan, X)})


@pytest.mark.parametrize("output", ["y", "logits"])
def test_logits_are_the_output_or_the_logarithm_of_probabilities(output: str) -> None:
    nodes = [helper.make_node("MatMul", ["x", "w"], ["logits"]), helper.make_node("Softmax", ["logits"], ["y"], axis=1)]
    made = model(nodes, [put("y", [None, 4]), put("logits", [None, 4])], opset=OPSET)
    judged = with_logits(made, output, probabilities=output == "y")
    onnx.checker.check_model(judged, full_check=True)
    found = run_network(judged, {"x": X})
    expected = EXPECTED - np.log(np.exp(EXPECTED).sum(axis=1, keepdims=True)) if output == "y" else EXPECTED
    np.testing.assert_allclose(found, expected, atol=1e-5)
    assert [entry.name for entry in made.graph.output] == ["y", "logits"]


def test_probabilities_are_told_from_logits() -> None:
    classes = Rows({}, np.array([0, 1]), ("0", "1"))
    assert are_probabilities(np.array([[0.25, 0.75], [1, 0]]), classes)
    assert not are_probabilities(np.array([[0.25, 0.7], [1, 0]]), classes)
    assert not are_probabilities(np.array([[-0.25, 1.25], [1, 0]]), classes)
    assert not are_probabilities(np.array([[0.25, 0.75]]), rows_of(x=X))
