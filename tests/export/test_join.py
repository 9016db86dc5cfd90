"""The shipped file: raw columns by name in, label and probabilities out."""

import json
from pathlib import Path
from typing import NamedTuple

import numpy as np
import onnx
import pandas as pd
import pytest
from onnx import TensorProto
from scipy import special

from ann.config.data import Column, DataParams
from ann.config.model import MLPParams
from ann.config.stages import PrepareParams
from ann.data.batches import TensorData
from ann.data.graph import save_model
from ann.data.preparation import fit_statistics, preparation_graph, run_preparation
from ann.data.schema import Schema, graph_inputs, infer_schema
from ann.errors import AnnError
from ann.export.join import answer_graph, join
from ann.export.network import export_network, open_session, run_network
from ann.predict import Model
from ann.training.network import new_network

TAGS = {"ann.key": "0123456789abcdef", "ann.data_md5": "d41d8cd9"}


class Shipped(NamedTuple):
    proto: onnx.ModelProto
    model: Model
    schema: Schema
    table: pd.DataFrame
    logits: np.ndarray


def people(rows: int = 300) -> pd.DataFrame:
    random = np.random.default_rng(0)
    table = pd.DataFrame({"age": random.integers(18, 80, rows), "hours per week": random.normal(40, 9, rows)})
    table["born"] = 1.5e9 + random.integers(0, 10**8, rows)  # seconds: more digits than float32 holds
    table["colour"] = random.choice(["red", "green", "blue", "?"], rows)
    table["town"] = random.choice(["north", "south"], rows)
    table.loc[::10, "hours per week"] = np.nan
    table.loc[::11, "colour"] = None
    table["rank"] = random.choice(["low", "mid", "high"], rows)
    return table


def ship(table: pd.DataFrame, target: str, path: Path, tags: dict[str, str] = TAGS) -> Shipped:
    columns = {"town": Column(role="slice")} if "town" in table else {}
    schema = infer_schema(table, DataParams(target=target, missing=("?", "-"), columns=columns))
    statistics = fit_statistics(table, schema, PrepareParams())
    preparation = preparation_graph(statistics, schema.missing)
    inputs = run_preparation(preparation, table, schema)
    groups = {"width": statistics.width, "sizes": statistics.sizes}
    network = new_network(MLPParams(hidden=(16,)), {"groups": groups, "classes": schema.classes}, seed=1)
    graph = export_network(network, TensorData.on_device({**inputs, "target": np.zeros(len(table), np.int64)}))
    joined = join(preparation, graph, schema, tags)
    save_model(joined, path)
    return Shipped(joined, Model(path), schema, table, run_network(graph, inputs))


@pytest.fixture(scope="module")
def shipped(tmp_path_factory: pytest.TempPathFactory) -> Shipped:
    return ship(people(), "rank", tmp_path_factory.mktemp("joined") / "model.onnx")


def answer(shipped: Shipped, table: pd.DataFrame) -> tuple[np.ndarray, np.ndarray]:
    return shipped.model.run(graph_inputs(table, shipped.schema.features))


def test_inputs_are_the_raw_columns_by_name_with_one_dimension(shipped: Shipped) -> None:
    puts = {put.name: put.type.tensor_type for put in shipped.proto.graph.input}
    assert {name: put.elem_type for name, put in puts.items()} == {
        "age": TensorProto.FLOAT,
        "hours per week": TensorProto.FLOAT,
        "born": TensorProto.DOUBLE,
        "colour": TensorProto.STRING,
    }
    assert all(len(put.shape.dim) == 1 and put.shape.dim[0].dim_param for put in puts.values())


def test_outputs_are_label_and_probabilities(shipped: Shipped) -> None:
    puts = [(put.name, put.type, len(put.shape)) for put in shipped.model.session.get_outputs()]
    assert puts == [("label", "tensor(string)", 1), ("probabilities", "tensor(float)", 2)]


def test_metadata_holds_the_tags_the_classes_and_the_missing_markers(shipped: Shipped) -> None:
    found = {prop.key: prop.value for prop in shipped.proto.metadata_props}
    assert found.items() >= TAGS.items()
    assert json.loads(found["ann.classes"]) == ["high", "low", "mid"]
    assert json.loads(found["ann.missing"]) == ["?", "-"]
    assert list(found) == sorted(found)
    assert shipped.model.metadata == found
    assert shipped.model.classes == list(shipped.schema.classes)


def test_each_operator_set_is_stated_once(shipped: Shipped) -> None:
    domains = [opset.domain for opset in shipped.proto.opset_import]
    assert sorted(domains) == ["", "ai.onnx.ml"]
    onnx.checker.check_model(shipped.proto, full_check=True)


def test_probabilities_are_the_softmax_of_the_logits(shipped: Shipped) -> None:
    _, probabilities = answer(shipped, shipped.table)
    expected = special.softmax(shipped.logits.astype(np.float64), axis=1)
    np.testing.assert_allclose(probabilities, expected, rtol=1e-5, atol=1e-6)


def test_the_label_is_the_class_of_the_greatest_probability(shipped: Shipped) -> None:
    label, probabilities = answer(shipped, shipped.table)
    assert label.tolist() == [shipped.schema.classes[k] for k in probabilities.argmax(axis=1)]
    assert len(set(label)) > 1


@pytest.mark.parametrize("row", [0, 11, 150])
def test_a_row_is_answered_alike_alone_and_in_a_batch(shipped: Shipped, row: int) -> None:
    label, probabilities = answer(shipped, shipped.table)
    alone_label, alone = answer(shipped, shipped.table.iloc[[row]])
    assert alone_label.tolist() == [label[row]]
    np.testing.assert_allclose(alone[0], probabilities[row], atol=1e-6)


def test_no_rows_give_no_answers(shipped: Shipped) -> None:
    label, probabilities = answer(shipped, shipped.table.head(0))
    assert (label.shape, probabilities.shape) == ((0,), (0, 3))


def test_a_missing_marker_is_answered_like_an_empty_cell(shipped: Shipped) -> None:
    some = shipped.table.head(20)
    marked, empty, known = (answer(shipped, some.assign(colour=text))[1] for text in ("-", "", "red"))
    np.testing.assert_array_equal(marked, empty)
    assert not np.allclose(marked, known)


def test_the_same_parts_give_the_same_bytes(shipped: Shipped, tmp_path: Path) -> None:
    again = ship(people(), "rank", tmp_path / "again.onnx", tags=dict(reversed(TAGS.items())))
    assert (tmp_path / "again.onnx").read_bytes() == shipped.proto.SerializeToString(deterministic=True)
    assert again.model.metadata == shipped.model.metadata


def test_the_answer_graph_breaks_a_tie_towards_the_first_class() -> None:
    session = open_session(answer_graph(("no", "yes")))
    label, probabilities = session.run(["label", "probabilities"], {"logits": np.array([[2, 2], [0, 3]], np.float32)})
    assert label.tolist() == ["no", "yes"]
    np.testing.assert_allclose(probabilities, special.softmax([[2, 2], [0, 3]], axis=1), atol=1e-6)


@pytest.mark.parametrize("name", ["numeric", "categorical", "column", "fill_0", "logits", "network/logits"])
def test_any_column_name_can_be_an_input(name: str, tmp_path: Path) -> None:
    table = people()[["age", "colour", "rank"]].rename(columns={"age": name})
    shipped = ship(table, "rank", tmp_path / "model.onnx")
    assert set(shipped.model.types) == {name, "colour"}
    assert answer(shipped, table)[1].shape == (300, 3)


@pytest.mark.parametrize("name", ["label", "probabilities"])
def test_a_column_named_as_an_output_is_refused_by_name(name: str, tmp_path: Path) -> None:
    table = people()[["age", "colour", "rank"]].rename(columns={"colour": name})
    with pytest.raises(AnnError, match=name):
        ship(table, "rank", tmp_path / "model.onnx")
