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
from ann.config.model import MLPParams
from ann.config.stages import PrepareParams
from ann.data.batches import TensorData
from ann.data.graph import save_model
from ann.data.preparation import fit_statistics, preparation_graph, run_preparation
from ann.data.schema import Schema, infer_schema
from ann.export.join import join
from ann.export.network import TOLERANCE, export_network
from ann.export.parity import Parity, Reference, check_parity, kinds_of_rows
from ann.predict import Model
from ann.training.network import new_network

KINDS = ["real", "one", "odd", "missing", "unseen", "huge"]


class Shipped(NamedTuple):
    graph: onnx.ModelProto
    path: Path
    reference: Reference
    table: pd.DataFrame
    schema: Schema


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
    statistics = fit_statistics(table, schema, PrepareParams())
    preparation = preparation_graph(statistics, schema.missing)
    inputs = run_preparation(preparation, table, schema)
    content = {"groups": {"width": statistics.width, "sizes": statistics.sizes}, "classes": schema.classes}
    network = new_network(MLPParams(hidden=(16, 8)), content, seed=3).eval()
    graph = export_network(network, TensorData.on_device({**inputs, "target": np.zeros(len(table), np.int64)}))
    path = tmp_path_factory.mktemp("parity") / "model.onnx"
    joined = join(preparation, graph, schema, {})
    save_model(joined, path)

    def reference(rows: pd.DataFrame) -> np.ndarray:
        prepared = run_preparation(preparation, rows, schema)
        with torch.no_grad():
            logits = network({name: torch.from_numpy(values) for name, values in prepared.items()})
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
    found = check_parity(Model(shipped.path), shipped.reference, shipped.table, shipped.schema)
    assert list(found) == KINDS
    assert {kind: parity.rows for kind, parity in found.items()} == {
        "real": 200,
        "one": 1,
        "odd": 7,
        "missing": 64,
        "unseen": 64,
        "huge": 64,
    }
    for parity in found.values():
        assert parity.flips == 0
        assert parity.max_difference < 1e-5


def test_rows_are_of_the_kind_that_they_are_called(shipped: Shipped) -> None:
    kinds = kinds_of_rows(shipped.table, shipped.schema)
    numbers, categories = ["age", "income"], ["colour", "member"]
    pd.testing.assert_frame_equal(kinds["real"], shipped.table)
    assert kinds["missing"][numbers + categories].isna().all(axis=None)
    known = set(shipped.table["colour"]) | set(shipped.table["member"])
    assert not set(kinds["unseen"][categories].to_numpy().ravel()) & known
    pd.testing.assert_frame_equal(kinds["unseen"][numbers], shipped.table[numbers].head(64))
    assert (kinds["huge"][numbers] == 1e6).all(axis=None)
    pd.testing.assert_frame_equal(kinds["huge"][categories], shipped.table[categories].head(64))


def test_fewer_rows_than_a_kind_takes_are_enough(shipped: Shipped) -> None:
    found = check_parity(Model(shipped.path), shipped.reference, shipped.table.head(3), shipped.schema)
    assert {kind: parity.rows for kind, parity in found.items()} == dict.fromkeys(KINDS, 3) | {"one": 1}


def test_a_reversed_last_layer_flips_labels(shipped: Shipped, tmp_path: Path) -> None:
    model = tampered(shipped, -1.0, tmp_path / "reversed.onnx")
    found = check_parity(model, shipped.reference, shipped.table, shipped.schema)
    assert found["real"].flips > 100
    assert found["real"].max_difference > 0.1
    label = model.run({name: values[:1] for name, values in model.columns(first_row(shipped)).items()})[0]
    assert found["one"].flips == int(label[0] != shipped.schema.classes[shipped.reference(shipped.table)[0].argmax()])


def first_row(shipped: Shipped) -> list[dict[str, object]]:
    row = shipped.table.iloc[0]
    return [{name: None if pd.isna(row[name]) else row[name] for name in ("age", "income", "colour", "member")}]


def test_a_slightly_wrong_file_differs_beyond_the_tolerance(shipped: Shipped, tmp_path: Path) -> None:
    model = tampered(shipped, 1.01, tmp_path / "off.onnx")
    found = check_parity(model, shipped.reference, shipped.table, shipped.schema)
    assert all(parity.max_difference > TOLERANCE for parity in (found["real"], found["odd"]))


def test_flips_and_differences_are_counted_against_the_reference(shipped: Shipped) -> None:
    def opposite_in_the_last_row(rows: pd.DataFrame) -> np.ndarray:
        probabilities = shipped.reference(rows)
        probabilities[-1] = probabilities[-1, ::-1]
        return probabilities

    found = check_parity(Model(shipped.path), opposite_in_the_last_row, shipped.table, shipped.schema)
    assert {parity.flips for parity in found.values()} == {1}
    first, second = shipped.reference(shipped.table)[-1]
    assert found["real"].max_difference == pytest.approx(abs(first - second), abs=1e-5)


def test_a_result_is_written_by_name() -> None:
    assert Parity(3, 0.5, 1).to_json() == {"rows": 3, "max_difference": 0.5, "flips": 1}
