"""Scoring a file with the shipped model: what comes out, and what is refused."""

import datetime
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from ann.config.data import Column, DataParams
from ann.config.stages import PrepareParams
from ann.data.batches import TensorData
from ann.data.graph import GraphBuilder
from ann.data.preparation import fit_statistics, preparation_graph, run_preparation
from ann.data.schema import graph_inputs, infer_schema
from ann.data.sources import read_file
from ann.errors import ConfigError, DataError
from ann.export.join import join
from ann.export.network import export_network
from ann.models.mlp import MLP
from ann.predict import CHUNK_ROWS, Model, predict_file

SHOP = DataParams(target="bought", positive="yes", missing=("", "?"))
TRAIN = """\
age,income,colour,bought
20,100.5,red,no
30,,blue,yes
40,300.5,red,yes
50,400.5,?,no
60,500.5,blue,yes
70,600.5,?,no
"""
ROWS = """\
age,income,colour
25,150,red
,,
?,250.25,blue
61.5,?,?
1e2,-3,never seen
"""


def build(folder: Path, text: str, data: DataParams):
    """Export a small real network over the columns of `text`; return the file, its schema and its probabilities."""
    (folder / "train.csv").write_text(text, encoding="utf-8")
    table = read_file(folder / "train.csv", data)
    schema = infer_schema(table, data)
    statistics = fit_statistics(table, schema, PrepareParams())
    graph = preparation_graph(statistics, schema.missing)
    torch.manual_seed(0)
    network = MLP(width=statistics.width, sizes=statistics.sizes, num_classes=2, hidden=[8], dropout=0.0).eval()

    def probabilities(rows: pd.DataFrame) -> np.ndarray:
        inputs = {name: torch.as_tensor(array) for name, array in run_preparation(graph, rows, schema).items()}
        with torch.no_grad():
            return network(inputs).softmax(dim=1).numpy()

    arrays = {**run_preparation(graph, table, schema), "target": np.zeros(len(table), np.int64)}
    model = join(graph, export_network(network, TensorData.on_device(arrays)), schema, {"ann.key": "k"})
    (folder / "model.onnx").write_bytes(model.SerializeToString())
    return folder / "model.onnx", schema, probabilities


@pytest.fixture(scope="module")
def shop(tmp_path_factory):
    path, _, probabilities = build(tmp_path_factory.mktemp("shop"), TRAIN, SHOP)
    return path, probabilities


@pytest.fixture(scope="module")
def model(shop):
    return Model(shop[0], threads=1)


@pytest.fixture
def expected(shop):
    """What the torch network says of ROWS when pandas reads them."""
    age, income = [25, np.nan, np.nan, 61.5, 100], [150, np.nan, 250.25, np.nan, -3]
    return shop[1](pd.DataFrame({"age": age, "income": income, "colour": ["red", None, "blue", None, "never seen"]}))


def score(model: Model, folder: Path, text: str, separator: str = ",") -> pd.DataFrame:
    (folder / "rows.csv").write_text(text, encoding="utf-8")
    predict_file(model, folder / "rows.csv", folder / "out.csv", separator)
    return pd.read_csv(folder / "out.csv")


def refusal(model: Model, folder: Path, text: str) -> str:
    """Return the message with which the rows are refused; nothing but the rows may be left."""
    with pytest.raises(DataError) as caught:
        score(model, folder, text)
    assert [path.name for path in folder.iterdir()] == ["rows.csv"]
    return str(caught.value)


def assert_answers(found: pd.DataFrame, expected: np.ndarray) -> None:
    assert list(found.columns) == ["label", "probability_no", "probability_yes"]
    np.testing.assert_allclose(found.iloc[:, 1:], expected, rtol=1e-5, atol=1e-5)
    assert found["label"].tolist() == [("no", "yes")[number] for number in expected.argmax(axis=1)]


def test_a_csv_file_is_answered_as_the_network_answers(model, tmp_path, expected):
    assert_answers(score(model, tmp_path, ROWS), expected)
    assert len(np.unique(expected.round(4), axis=0)) == 5


def test_a_parquet_file_is_answered_as_the_network_answers(model, tmp_path, expected):
    columns = {"colour": ["red", None, "blue", "?", "never seen"], "age": [25, None, None, 61.5, 100]}
    pd.DataFrame({**columns, "income": [150, None, 250.25, None, -3], "more": 1}).to_parquet(tmp_path / "rows.parquet")
    assert predict_file(model, tmp_path / "rows.parquet", tmp_path / "out.parquet") == 5
    found = pd.read_parquet(tmp_path / "out.parquet")
    assert_answers(found, expected)
    assert found["probability_yes"].dtype == np.float32


def test_a_byte_order_mark_and_windows_line_ends_change_nothing(model, tmp_path, expected):
    assert_answers(score(model, tmp_path, "\ufeff" + ROWS.replace("\n", "\r\n")), expected)


def test_the_separator_may_be_a_semicolon(model, tmp_path, expected):
    assert_answers(score(model, tmp_path, ROWS.replace(",", ";"), ";"), expected)


def test_columns_may_stand_in_any_order_among_others(model, tmp_path, expected):
    rows = [line.split(",") for line in ROWS.splitlines()]
    text = "\n".join(f'{colour},"x, y",{income},{age}' for age, income, colour in rows)
    assert_answers(score(model, tmp_path, text), expected)


def test_more_rows_than_a_chunk_are_answered_as_in_one_batch(model, shop, tmp_path):
    random = np.random.default_rng(0)
    count = 2 * CHUNK_ROWS + 3
    ages, colours = random.integers(18, 80, count), random.choice(["red", "blue"], count)
    rows = pd.DataFrame({"age": ages, "income": random.normal(300, 99, count).round(2), "colour": colours})
    rows.to_csv(tmp_path / "rows.csv", index=False)
    assert predict_file(model, tmp_path / "rows.csv", tmp_path / "out.csv") == count
    np.testing.assert_allclose(pd.read_csv(tmp_path / "out.csv").iloc[:, 1:], shop[1](rows), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("text", ["old", "1_000", "inf", "1e400", "12 years"])
def test_what_is_no_number_is_told_with_its_row_and_column(model, tmp_path, text):
    message = refusal(model, tmp_path, f"age,income,colour\n1,1,red\n{text},1,red\n")
    assert f"column 'age' must hold numbers, row 2 holds '{text}': mend it, or leave it empty" in message


def test_a_bad_number_after_the_first_chunk_is_told_with_its_row_and_the_earlier_answers_stay(model, tmp_path):
    (tmp_path / "out.csv").write_text("earlier answers")
    (tmp_path / "rows.csv").write_text("age,income,colour\n" + "1,1,red\n" * (CHUNK_ROWS + 4) + "1,much,red\n")
    with pytest.raises(DataError, match=f"column 'income' must hold numbers, row {CHUNK_ROWS + 5} holds 'much'"):
        predict_file(model, tmp_path / "rows.csv", tmp_path / "out.csv")
    assert (tmp_path / "out.csv").read_text() == "earlier answers"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out.csv", "rows.csv"]


def test_a_date_where_a_number_belongs_is_told_with_its_row_and_column(model, tmp_path):
    days = pd.DataFrame({"age": [datetime.date(2024, 1, 1)], "income": [1.0], "colour": ["red"]})
    days.to_parquet(tmp_path / "rows.parquet")
    with pytest.raises(DataError, match="column 'age' must hold numbers, row 1 holds"):
        predict_file(model, tmp_path / "rows.parquet", tmp_path / "out.csv")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("age,incom,colour\n1,1,red\n", "column 'income' is missing (did you mean 'incom'?); the model reads age,"),
        ("age,income,colour\n1,1,red\n2,2\n", "row 2: it has another number of cells than the header"),
        ("age,income,colour\n1,1,red,3\n", "row 1: it has another number of cells than the header"),
        ("age,income,colour,age\n1,1,red,2\n", "age"),
        ("", "rows.csv is empty: it must have a header line and rows"),
        ("age,income,colour\n", "rows.csv has no rows"),
    ],
    ids=["renamed column", "shorter row", "longer row", "doubled column", "empty", "header only"],
)
def test_a_damaged_file_is_refused_and_leaves_no_answers(model, tmp_path, text, expected):
    assert expected in refusal(model, tmp_path, text)


def test_bytes_that_are_no_text_are_refused(model, tmp_path):
    (tmp_path / "rows.csv").write_bytes(b"age,income,colour\n1,1,r\xf6t\n")
    with pytest.raises(DataError, match=r"rows\.csv cannot be read as UTF-8 CSV"):
        predict_file(model, tmp_path / "rows.csv", tmp_path / "out.csv")


@pytest.mark.parametrize(
    ("source", "target", "kind", "expected"),
    [
        ("none.csv", "out.csv", DataError, "none.csv does not exist"),
        ("junk.xlsx", "out.csv", DataError, r"junk.xlsx: cannot read \.xlsx; known: \.csv, \.parquet"),
        ("junk.parquet", "out.csv", DataError, "junk.parquet cannot be read"),
        ("rows.csv", "out.json", ConfigError, r"cannot write \.json; known: \.csv, \.parquet"),
        ("rows.csv", "none/out.csv", ConfigError, "the folder .*none does not exist"),
    ],
)
def test_a_file_that_cannot_be_read_or_written_is_refused_by_name(model, tmp_path, source, target, kind, expected):
    for name, text in (("junk.xlsx", "junk"), ("junk.parquet", "junk"), ("rows.csv", ROWS)):
        (tmp_path / name).write_text(text)
    with pytest.raises(kind, match=expected):
        predict_file(model, tmp_path / source, tmp_path / target)
    assert len(list(tmp_path.iterdir())) == 3


def test_a_file_that_is_no_model_of_ours_is_refused(tmp_path):
    (tmp_path / "junk.onnx").write_text("junk")
    builder = GraphBuilder("foreign")
    builder.op("Neg", builder.input("x", np.float32, ["N"]), output="y")
    builder.output("y", np.float32, ["N"])
    (tmp_path / "foreign.onnx").write_bytes(builder.model().SerializeToString())
    for name, expected in {
        "none.onnx": "does not exist: name a model file with --model",
        "junk.onnx": "is not an ONNX model",
        "foreign.onnx": "was not exported by ann",
    }.items():
        with pytest.raises(ConfigError, match=expected):
            Model(tmp_path / name)


@pytest.mark.parametrize(
    ("column", "cells"),
    [
        ("word", ["a", "b", "a", "b"]),
        ("zip", ["01067", "80331", "01067", "80331"]),
        ("flag", ["true", "false", "true", "false"]),
        ("whole", ["1.0", "2.0", "1.0", ""]),
        ("fraction", ["1.5", "2.0", "1.5", "2.0"]),
        ("padded", [" ?", "b", " ?", "b"]),
        ("plain", ["7", "8", "", "7"]),
    ],
)
def test_a_category_cell_is_read_in_scoring_as_it_was_in_training(tmp_path, column, cells):
    data = SHOP.model_copy(update={"columns": {column: Column(type="category")}})
    labels = ["no", "yes", "yes", "no"]
    lines = [f"{i},{cell},{label}" for i, (cell, label) in enumerate(zip(cells, labels, strict=True))]
    path, schema, _ = build(tmp_path, "\n".join([f"age,{column},bought", *lines]) + "\n", data)
    trained = graph_inputs(read_file(tmp_path / "train.csv", data), schema.features)
    scored = Model(path, threads=1).columns([{"age": "1", column: cell} for cell in cells])
    assert scored[column].tolist() == trained[column].tolist()


def test_scoring_imports_none_of_the_heavy_libraries(shop, tmp_path):
    (tmp_path / "rows.csv").write_text(ROWS)
    program = (
        "import sys; from pathlib import Path; from ann.predict import Model, predict_file\n"
        "predict_file(Model(sys.argv[1]), Path(sys.argv[2]), Path(sys.argv[3]))\n"
        "heavy = {'torch', 'pandas', 'mlflow', 'onnx', 'sklearn', 'pydantic', 'ruamel', 'great_expectations', 'dvc'}\n"
        "print(sorted(heavy & set(sys.modules)), 'onnxruntime' in sys.modules)"
    )
    names = [shop[0], tmp_path / "rows.csv", tmp_path / "out.csv"]
    done = subprocess.run([sys.executable, "-c", program, *names], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[] True"
    assert len((tmp_path / "out.csv").read_text().splitlines()) == 6
