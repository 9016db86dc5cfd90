"""The file is compared with its network on every kind of row, and a file that is not its network is found out."""

from pathlib import Path
from typing import NamedTuple

import numpy as np
import onnx
import pandas as pd
import pytest
import torch
from onnx import numpy_helper

from ann.config.data import DataParams
from ann.config.layers import MLPParams
from ann.config.stages import PrepareParams
from ann.data.batches import TensorData
from ann.data.examples import Examples
from ann.data.graph import save_model
from ann.data.preparation import fit_statistics, preparation_graph, prepared
from ann.data.schema import Schema, infer_schema
from ann.data.target import Target
from ann.export.join import join
from ann.export.network import TOLERANCE, export_network
from ann.export.parity import Inputs, Parity, Reference, check_parity, edge_rows
from ann.predict import Model
from ann.training.network import new_network

KINDS = ["real", "one", "odd", "missing", "unseen", "huge"]


class Shipped(NamedTuple):
    graph: onnx.ModelProto
    path: Path
    reference: Reference
    table: pd.DataFrame
    schema: Schema

    def check(self, model: Model | None = None, reference: Reference | None = None, rows: int = 200, size: int = 64):
        examples = Examples(self.table, self.schema)
        return check_parity(model or Model(self.path), reference or self.reference, examples, np.arange(rows), size)

    def inputs(self) -> Inputs:
        """Return the raw inputs of all rows."""
        return Examples(self.table, self.schema).inputs(np.arange(len(self.table)))


def shoppers(rows: int = 200) -> pd.DataFrame:
    random = np.random.default_rng(0)
    table = pd.DataFrame({"age": random.integers(18, 80, rows), "income": random.normal(4, 1, rows)})
    table["colour"] = random.choice(["red", "green", "blue"], rows)
    table["member"] = random.choice(["y", "n"], rows)
    table.loc[::9, ["income", "member"]] = None
    table["bought"] = random.choice(["yes", "no"], rows)
    return table


@pytest.fixture(scope="module")
def shipped(tmp_path_factory: pytest.TempPathFactory) -> Shipped:
    """A file, and preparation and torch network apart as its reference."""
    table = shoppers()
    schema = infer_schema(table, DataParams(target="bought"))
    examples, everyone = Examples(table, schema), np.arange(len(table))
    statistics = fit_statistics(examples, everyone, PrepareParams())
    preparation = preparation_graph(statistics, schema.features, schema.missing)
    inputs = prepared(preparation, [examples.inputs(everyone)])
    content = {"groups": statistics.groups(), "target": schema.target.to_json()}
    network = new_network(MLPParams(hidden=(16, 8)), content, seed=3).eval()
    graph = export_network(network, TensorData.on_device({**inputs, "target": np.zeros(len(table), np.int64)}))
    path = tmp_path_factory.mktemp("parity") / "model.onnx"
    joined = join(preparation, graph, schema, {})
    save_model(joined, path)

    def reference(rows: Inputs) -> np.ndarray:
        with torch.no_grad():
            logits = network({name: torch.from_numpy(values) for name, values in prepared(preparation, [rows]).items()})
        return torch.softmax(logits.double(), dim=1).numpy()

    return Shipped(joined, path, reference, table, schema)


def tampered(shipped: Shipped, change: float, path: Path) -> Model:
    """Open a copy of the file whose last layer's weights are multiplied by `change`."""
    graph = onnx.ModelProto()
    graph.CopyFrom(shipped.graph)
    [weight] = [tensor for tensor in graph.graph.initializer if tensor.name.endswith("head.weight")]
    weight.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(weight) * np.float32(change), weight.name))
    save_model(graph, path)
    return Model(path)


def test_a_faithful_file_is_checked_on_all_kinds_of_rows_and_passes(shipped: Shipped) -> None:
    found = shipped.check()
    assert {kind: parity.rows for kind, parity in found.items()} == {
        "real": 200,
        "one": 1,
        "odd": 7,
        "missing": 64,
        "unseen": 64,
        "huge": 64,
    }
    assert list(found) == KINDS
    for parity in found.values():
        assert parity.flips == 0
        assert parity.max_difference < 1e-5


def test_rows_are_of_the_kind_that_they_are_called(shipped: Shipped) -> None:
    some = {name: values[:64] for name, values in shipped.inputs().items()}
    kinds = dict(edge_rows(some, shipped.schema))
    numbers, categories = ("age", "income"), ("colour", "member")
    assert list(kinds) == KINDS[1:]
    assert all((kinds["missing"][name] == "").all() for name in categories)
    assert all(np.isnan(kinds["missing"][name]).all() for name in numbers)
    known = set(shipped.table["colour"]) | set(shipped.table["member"])
    assert not {word for name in categories for word in kinds["unseen"][name]} & known
    assert all((kinds["huge"][name] == 1e6).all() for name in numbers)
    for kind, kept in (("unseen", numbers), ("huge", categories), ("one", some), ("odd", some)):
        for name in kept:
            np.testing.assert_array_equal(kinds[kind][name], some[name][: len(kinds[kind][name])])


MEDIA = pd.DataFrame(
    {
        "day": pd.date_range("2026-01-01", periods=9),
        "y": 2026,
        "m": 1,
        "d": 2,
        "words": [f"a text of some words, {row}" for row in range(9)],
        "picture": [np.full((4, 5, 3), row, np.uint8) for row in range(9)],
        "clip": [np.full(300 + row, 0.1, np.float32) for row in range(9)],
        "t": [0.5, 1, 2] * 3,
    }
)


def test_rows_of_every_kind_of_column_are_brought_to_the_edge() -> None:
    schema = infer_schema(MEDIA, DataParams(target="t", dates={"when": {"year": "y", "month": "m", "day": "d"}}))
    some = Examples(MEDIA, schema, channels=3, rate=8000).inputs(np.arange(9))
    kinds = dict(edge_rows(some, schema))
    assert list(kinds) == ["one", "odd", "missing", "unseen", "huge", "other size"]
    missing, unseen, huge, other = (kinds[kind] for kind in ("missing", "unseen", "huge", "other size"))
    assert all(np.isnan(missing[name]).all() for name in ("day", "y", "m", "d"))
    assert (set(missing["words"]), missing["picture"].max(), set(missing["clip_lengths"])) == ({""}, 0, {1})
    assert len(unseen["words"][0].split()) > 1000
    assert (huge["day"].min(), huge["picture"].min()) == (4e9, 255)
    assert other["picture"].shape == (9, 8, 10, 3)
    np.testing.assert_array_equal(other["clip"][:, :308], some["clip"])
    assert (other["clip"].shape, bool(other["clip"][:, 308:].all())) == ((9, 308 + 155), True)
    np.testing.assert_array_equal(other["clip_lengths"], some["clip_lengths"])
    assert all(values.dtype == some[name].dtype for inputs in kinds.values() for name, values in inputs.items())


def test_a_kind_that_changes_no_column_is_left_out() -> None:
    table = pd.DataFrame({"x": [0.5, 1, 2, 4], "t": list("abab")})
    schema = infer_schema(table, DataParams(target="t"))
    some = Examples(table, schema).inputs(np.arange(4))
    assert [kind for kind, _ in edge_rows(some, schema)] == ["one", "odd", "missing", "huge"]


def test_fewer_rows_than_a_kind_takes_are_enough(shipped: Shipped) -> None:
    found = shipped.check(rows=3)
    assert {kind: parity.rows for kind, parity in found.items()} == dict.fromkeys(KINDS, 3) | {"one": 1}


@pytest.mark.parametrize("size", [1, 7, 1000])
def test_rows_are_compared_in_parts_of_any_size_and_counted_together(shipped: Shipped, size: int) -> None:
    sizes = []

    def reference(inputs: Inputs) -> np.ndarray:
        sizes.append(len(inputs["age"]))
        return shipped.reference(inputs)[:, ::-1]

    found = shipped.check(reference=reference, size=size)["real"]
    assert max(sizes[: -(200 // -size)]) == min(size, 200)
    assert (found.rows, found.flips) == (200, 200)


def test_a_reversed_last_layer_flips_labels(shipped: Shipped, tmp_path: Path) -> None:
    model = tampered(shipped, -1.0, tmp_path / "reversed.onnx")
    found = shipped.check(model)
    assert found["real"].flips > 100
    assert found["real"].max_difference > 0.1
    label = model.run({name: values[:1] for name, values in model.inputs(first_row(shipped)).items()})["label"]
    expected = shipped.schema.target.classes[shipped.reference(shipped.inputs())[0].argmax()]
    assert found["one"].flips == int(label[0] != expected)


def first_row(shipped: Shipped) -> list[dict[str, object]]:
    row = shipped.table.iloc[0]
    return [{name: None if pd.isna(row[name]) else row[name] for name in ("age", "income", "colour", "member")}]


def test_a_slightly_wrong_file_differs_beyond_the_tolerance(shipped: Shipped, tmp_path: Path) -> None:
    found = shipped.check(tampered(shipped, 1.01, tmp_path / "off.onnx"))
    assert all(parity.max_difference > TOLERANCE for parity in (found["real"], found["odd"]))


def test_flips_and_differences_are_counted_against_the_reference(shipped: Shipped) -> None:
    def opposite_in_the_last_row(rows: Inputs) -> np.ndarray:
        probabilities = shipped.reference(rows)
        probabilities[-1] = probabilities[-1, ::-1]
        return probabilities

    found = shipped.check(reference=opposite_in_the_last_row, size=200)
    assert {parity.flips for parity in found.values()} == {1}
    first, second = shipped.reference(shipped.inputs())[-1]
    assert found["real"].max_difference == pytest.approx(abs(first - second), abs=1e-5)


class Answers:
    """Stands for a file that answers what it is told."""

    def __init__(self, **answers: np.ndarray) -> None:
        self.answers = answers

    def run(self, inputs: Inputs) -> dict[str, np.ndarray]:
        return {name: values[: len(inputs["x"])] for name, values in self.answers.items()}


def compared(target: Target, theirs: np.ndarray, **answers: np.ndarray) -> Parity:
    """Compare answers about rows of one number with those of a reference."""
    table = pd.DataFrame({"x": np.arange(len(theirs)) / 2, "t": np.arange(len(theirs)) / 3})
    schema = infer_schema(table, DataParams(target="t")).with_target(target)
    rows = np.arange(len(theirs))
    return check_parity(
        Answers(**answers), lambda inputs: theirs[: len(inputs["x"])], Examples(table, schema), rows, 9
    )["real"]


def test_a_number_is_compared_in_deviations_and_has_no_label_to_flip() -> None:
    target = Target("regression", ("t",), shift=(1e6,), scale=(10.0,))
    theirs = 1e6 + np.array([0.0, 20, -5]).reshape(3, 1, 1)
    found = compared(target, theirs, prediction=np.array([1e6 + 1, 1e6 + 20, 1e6 - 5], np.float32))
    assert (found.max_difference, found.flips) == (pytest.approx(0.1), 0)


def test_a_row_flips_where_any_of_its_labels_differs() -> None:
    theirs = np.array([[0.9, 0.2], [0.9, 0.2], [0.4, 0.6]])
    labels = np.array([[True, False], [False, True], [False, False]])
    found = compared(Target("multilabel", ("a", "b")), theirs, labels=labels, probabilities=theirs.astype(np.float32))
    assert (found.flips, found.rows) == (2, 3)
    assert found.max_difference < 1e-6


def test_no_agreement_is_worse_than_any_difference() -> None:
    whole = Parity(3, 0.5, 1) + Parity(2, float("nan"), 0) + Parity(1, 0.7, 2)
    assert (whole.rows, whole.flips) == (6, 3)
    assert np.isnan(whole.max_difference)
    assert (Parity(3, 0.5, 1) + Parity(1, 0.7, 0)).max_difference == 0.7


def test_a_result_is_written_by_name_with_three_digits() -> None:
    assert Parity(3, 0.123456, 1).to_json() == {"rows": 3, "max_difference": 0.123, "flips": 1}
