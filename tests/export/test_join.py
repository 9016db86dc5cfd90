"""The shipped file: raw columns by name in, label and probabilities out."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
import onnx
import pandas as pd
import pytest
import torch
from onnx import TensorProto
from scipy import special
from torch import nn

from ann.config.data import Column, DataParams
from ann.config.layers import MLPParams
from ann.config.model import Architecture, read_model
from ann.config.stages import PrepareParams
from ann.data.batches import TensorData
from ann.data.examples import Examples
from ann.data.graph import save_model
from ann.data.preparation import fit_statistics, preparation_graph, prepared
from ann.data.schema import Schema, infer_schema
from ann.data.target import Target
from ann.data.task import target_values
from ann.data.windows import target_channels
from ann.errors import AnnError
from ann.export.answer import answer_graph
from ann.export.join import join
from ann.export.network import export_network, open_session, run_network
from ann.models.tabular import Tabular
from ann.predict import Model
from ann.training.network import new_network
from ann.training.prediction import predict_logits

TAGS = {"ann.key": "0123456789abcdef", "ann.data_md5": "d41d8cd9"}
SMALL = MLPParams(hidden=(16,))
Raw = dict[str, np.ndarray]


class Shipped(NamedTuple):
    proto: onnx.ModelProto
    model: Model
    examples: Examples
    preparation: onnx.ModelProto
    network: nn.Module
    graph: onnx.ModelProto

    @property
    def schema(self) -> Schema:
        return self.examples.schema

    def inputs(self, rows: list[int] | range) -> Raw:
        """Return the raw inputs of some examples."""
        return self.examples.inputs(np.array(rows, dtype=np.int64))

    def logits(self, inputs: Raw) -> np.ndarray:
        """Return what torch says of raw inputs, behind the preparation run apart."""
        arrays = prepared(self.preparation, [inputs])
        arrays["target"] = np.zeros(len(next(iter(arrays.values()))), np.int64)
        return predict_logits(self.network, TensorData.on_device(arrays)).numpy()


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


def ship(
    table: pd.DataFrame,
    data: DataParams,
    path: Path,
    *,
    model: Architecture = SMALL,
    tags: dict[str, str] = TAGS,
    **prepare: object,
) -> Shipped:
    """Prepare a table, make a network for it with random weights, and write both as one file."""
    schema = infer_schema(table, data)
    schema = schema.with_target(schema.target.fitted(target_values(table, schema.target)))
    behind = data.windows.length + data.windows.horizon - 1 if data.windows else 0
    rows = np.arange(len(table) - behind)
    statistics = fit_statistics(Examples(table, schema), rows, PrepareParams.model_validate(prepare))
    examples = Examples(table, schema, channels=statistics.channels, rate=statistics.rate)
    preparation = preparation_graph(statistics, schema.features, schema.missing)
    arrays = prepared(preparation, [examples.inputs(part) for part in examples.chunks(rows, 64)])
    groups = statistics.groups()
    if data.windows:
        channels, ahead = len(schema.features[0].columns), {"horizon": data.windows.horizon}
        groups["series"] = {"length": data.windows.length, "channels": channels, **ahead}
        groups["series"]["targets"] = target_channels(schema)
    network = new_network(model, {"groups": groups, "target": schema.target.to_json()}, seed=1)
    if isinstance(network, Tabular):
        network.adapt({name: torch.from_numpy(values) for name, values in arrays.items()})
    with_weights(network)
    graph = export_network(network, TensorData.on_device({**arrays, "target": np.zeros(len(rows), np.int64)}))
    joined = join(preparation, graph, schema, tags)
    save_model(joined, path)
    return Shipped(joined, Model(path), examples, preparation, network, graph)


def with_weights(network: nn.Module) -> None:
    """Draw every weight, those that begin at zero too, so that no part is without effect."""
    torch.manual_seed(0)
    for weight in network.parameters():
        nn.init.normal_(weight, std=0.2) if weight.ndim > 1 else nn.init.uniform_(weight, 0.5, 1)
    network.eval()


def ranks(table: pd.DataFrame, path: Path, tags: dict[str, str] = TAGS) -> Shipped:
    columns = {"town": Column(role="slice")} if "town" in table else {}
    return ship(table, DataParams(target="rank", missing=("?", "-"), columns=columns), path, tags=tags)


@pytest.fixture(scope="module")
def shipped(tmp_path_factory: pytest.TempPathFactory) -> Shipped:
    return ranks(people(), tmp_path_factory.mktemp("joined") / "model.onnx")


def answer(shipped: Shipped, table: pd.DataFrame) -> tuple[np.ndarray, np.ndarray]:
    found = shipped.model.run(Examples(table, shipped.schema).inputs(np.arange(len(table))))
    assert list(found) == ["label", "probabilities"]
    return found["label"], found["probabilities"]


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
    assert (found["ann.task"], json.loads(found["ann.targets"])) == ("multiclass", ["rank"])
    assert json.loads(found["ann.quantiles"]) == []
    kinds = {"age": "number", "hours per week": "number", "born": "number", "colour": "category"}
    assert json.loads(found["ann.types"]) == kinds
    assert "ann.series" not in found
    assert list(found) == sorted(found)
    assert shipped.model.metadata == found
    assert shipped.model.classes == list(shipped.schema.target.classes)


def test_each_operator_set_is_stated_once(shipped: Shipped) -> None:
    domains = [opset.domain for opset in shipped.proto.opset_import]
    assert sorted(domains) == ["", "ai.onnx.ml"]
    onnx.checker.check_model(shipped.proto, full_check=True)


def test_probabilities_are_the_softmax_of_the_logits(shipped: Shipped) -> None:
    _, probabilities = answer(shipped, shipped.examples.table)
    logits = run_network(shipped.graph, prepared(shipped.preparation, [shipped.inputs(range(300))]))
    expected = special.softmax(logits.astype(np.float64), axis=1)
    np.testing.assert_allclose(probabilities, expected, rtol=1e-5, atol=1e-6)


def test_the_label_is_the_class_of_the_greatest_probability(shipped: Shipped) -> None:
    label, probabilities = answer(shipped, shipped.examples.table)
    assert label.tolist() == [shipped.schema.target.classes[k] for k in probabilities.argmax(axis=1)]
    assert len(set(label)) > 1


@pytest.mark.parametrize("row", [0, 11, 150])
def test_a_row_is_answered_alike_alone_and_in_a_batch(shipped: Shipped, row: int) -> None:
    label, probabilities = answer(shipped, shipped.examples.table)
    alone_label, alone = answer(shipped, shipped.examples.table.iloc[[row]])
    assert alone_label.tolist() == [label[row]]
    np.testing.assert_allclose(alone[0], probabilities[row], atol=1e-6)


def test_no_rows_give_no_answers(shipped: Shipped) -> None:
    label, probabilities = answer(shipped, shipped.examples.table.head(0))
    assert (label.shape, probabilities.shape) == ((0,), (0, 3))


def test_a_missing_marker_is_answered_like_an_empty_cell(shipped: Shipped) -> None:
    some = shipped.examples.table.head(20)
    marked, empty, known = (answer(shipped, some.assign(colour=text))[1] for text in ("-", "", "red"))
    np.testing.assert_array_equal(marked, empty)
    assert not np.allclose(marked, known)


def test_the_same_parts_give_the_same_bytes(shipped: Shipped, tmp_path: Path) -> None:
    again = ranks(people(), tmp_path / "again.onnx", tags=dict(reversed(TAGS.items())))
    assert (tmp_path / "again.onnx").read_bytes() == shipped.proto.SerializeToString(deterministic=True)
    assert again.model.metadata == shipped.model.metadata


def test_the_answer_graph_breaks_a_tie_towards_the_first_class() -> None:
    session = open_session(answer_graph(Target("binary", ("t",), classes=("no", "yes"))))
    label, probabilities = session.run(["label", "probabilities"], {"logits": np.array([[2, 2], [0, 3]], np.float32)})
    assert label.tolist() == ["no", "yes"]
    np.testing.assert_allclose(probabilities, special.softmax([[2, 2], [0, 3]], axis=1), atol=1e-6)


@pytest.mark.parametrize("name", ["numeric", "categorical", "column", "fill_0", "logits", "network/logits"])
def test_any_column_name_can_be_an_input(name: str, tmp_path: Path) -> None:
    table = people()[["age", "colour", "rank"]].rename(columns={"age": name})
    shipped = ranks(table, tmp_path / "model.onnx")
    assert set(shipped.model.types) == {name, "colour"}
    assert answer(shipped, table)[1].shape == (300, 3)


@pytest.mark.parametrize("name", ["label", "labels", "probabilities", "prediction"])
def test_a_column_named_as_an_output_is_refused_by_name(name: str, tmp_path: Path) -> None:
    table = people()[["age", "colour", "rank"]].rename(columns={"colour": name})
    with pytest.raises(AnnError, match=name):
        ranks(table, tmp_path / "model.onnx")


RNG = np.random.default_rng(3)
ROWS = 70
WORDS = ("good", "bad", "very", "film", "plot", "never", "again", "!")
CLASSES = ["no", "yes"] * (ROWS // 2)


def column(cells: list) -> pd.Series:
    return pd.Series(cells, dtype=object)


def sentence(words: int) -> str:
    return " ".join(RNG.choice(WORDS, words))


def clip(samples: int) -> np.ndarray:
    return RNG.normal(scale=0.3, size=samples).astype(np.float32)


def picture(height: int, width: int) -> np.ndarray:
    return RNG.integers(0, 256, (height, width, 3), dtype=np.uint8)


NUMBERS = RNG.normal(size=(ROWS, 2))
TEXTS = [sentence(words) for words in RNG.integers(1, 30, ROWS - 1)] + [sentence(40)]
PICTURES = column([picture(12, 9) for _ in range(ROWS)])
CLIPS = column([clip(samples) for samples in RNG.integers(300, 2000, ROWS - 1)] + [clip(4000)])
DAYS = pd.date_range("2025-03-01T05:00", periods=ROWS, freq="101h")
AUDIO = {"rate": 8000, "mels": 8}
TEXT_COLUMN = {"x": Column(type="text")}
KINDS: dict[str, tuple[dict, dict, dict, dict]] = {
    "text": ({"x": TEXTS, "t": CLASSES}, {"columns": TEXT_COLUMN}, {"family": "text"}, {"text": {"length": 32}}),
    "text by lstm": (
        {"x": TEXTS, "t": CLASSES},
        {"columns": TEXT_COLUMN},
        {"family": "text", "encoder": {"name": "lstm", "units": 8}},
        {},
    ),
    "image": ({"x": PICTURES, "t": CLASSES}, {}, {"family": "cnn", "stages": [4, 8]}, {}),
    "audio": ({"x": CLIPS, "t": CLASSES}, {}, {"family": "speech", "channels": [8], "units": 8}, {"audio": AUDIO}),
    "date and number": (
        {"when": DAYS, "x": NUMBERS[:, 0], "t": NUMBERS[:, 1]},
        {},
        {"family": "mlp", "hidden": [8]},
        {"numbers": "quantile"},
    ),
    "date in parts": (
        {"y": DAYS.year, "m": DAYS.month, "d": DAYS.day, "t": NUMBERS[:, 1]},
        {"dates": {"when": {"year": "y", "month": "m", "day": "d"}}},
        {"family": "tabular", "hidden": [8]},
        {},
    ),
    "series": (
        {"when": DAYS, "t": NUMBERS[:, 0] * 9 + 100, "u": NUMBERS[:, 1]},
        {"windows": {"length": 6, "horizon": 1}},
        {"family": "forecast"},
        {},
    ),
    "multilabel": (
        {"x": NUMBERS[:, 0], "t": RNG.integers(0, 2, ROWS), "u": [0, 1] * (ROWS // 2)},
        {"target": ("t", "u")},
        {"family": "mlp", "hidden": [8]},
        {},
    ),
    "several numbers": (
        {"x": NUMBERS[:, 0], "c": list("ab") * (ROWS // 2), "t": NUMBERS[:, 1] * 50 + 1e4, "u": NUMBERS[:, 0]},
        {"target": ("t", "u")},
        {"family": "tabular", "hidden": [8]},
        {"categories": "onehot"},
    ),
    "quantiles": (
        {"x": NUMBERS[:, 0], "t": NUMBERS[:, 1] * 50 + 1e4},
        {"quantiles": (0.1, 0.5, 0.9)},
        {"family": "resmlp", "hidden": [8]},
        {},
    ),
    "everything": (
        {"x": NUMBERS[:, 0], "c": list("ab") * (ROWS // 2), "words": TEXTS, "p": PICTURES, "s": CLIPS, "t": CLASSES},
        {},
        {"family": "multimodal", "audio": {"channels": [8], "units": 8}, "image": {"stages": [4, 8]}},
        {"audio": AUDIO},
    ),
}


@pytest.fixture(scope="module")
def kinds(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Shipped]:
    """Return what ships one kind of data; each is made once."""
    folder, made = tmp_path_factory.mktemp("kinds"), {}

    def shipped_kind(kind: str) -> Shipped:
        if kind not in made:
            columns, data, model, prepare = KINDS[kind]
            params = DataParams(**{"target": "t", **data})
            path = folder / f"{kind}.onnx"
            made[kind] = ship(pd.DataFrame(columns), params, path, model=read_model(model), tags=RATE, **prepare)
        return made[kind]

    return shipped_kind


RATE = {"ann.rate": "8000"}


def agrees(shipped: Shipped, inputs: Raw) -> np.ndarray:
    """Compare the file with torch behind the preparation; return the file's answers."""
    target = shipped.schema.target
    found, logits = target.read(shipped.model.run(inputs)), shipped.logits(inputs)
    expected = target.answers(logits)
    if target.in_own_unit:
        found, expected = ((values - target.shift[0]) / target.scale[0] for values in (found, expected))
    np.testing.assert_allclose(found, expected, atol=1e-5, rtol=1e-5)
    return found


@pytest.mark.parametrize("kind", KINDS)
def test_a_file_of_each_kind_answers_as_torch_for_any_number_of_rows(
    kinds: Callable[[str], Shipped], kind: str
) -> None:
    shipped = kinds(kind)
    together = agrees(shipped, shipped.inputs(range(64)))
    assert len(np.unique(together.round(5), axis=0)) > 32
    np.testing.assert_allclose(agrees(shipped, shipped.inputs([5])), together[[5]], atol=2e-5)
    np.testing.assert_allclose(agrees(shipped, shipped.inputs([9, 0, 63])), together[[9, 0, 63]], atol=2e-5)


@pytest.mark.parametrize("kind", ["text", "text by lstm", "everything"])
@pytest.mark.parametrize("words", [0, 1, 2, 31, 400])
def test_texts_may_have_any_number_of_words(kinds: Callable[[str], Shipped], kind: str, words: int) -> None:
    shipped = kinds(kind)
    inputs = shipped.inputs(range(3))
    [name] = [feature.name for feature in shipped.schema.of_type("text")]
    inputs[name] = np.array([sentence(words), sentence(max(words - 1, 0)), ""], dtype=object)
    agrees(shipped, inputs)


@pytest.mark.parametrize("kind", ["text", "text by lstm"])
def test_a_text_is_answered_alike_beside_a_longer_one(kinds: Callable[[str], Shipped], kind: str) -> None:
    shipped = kinds(kind)
    alone, longer = {"x": np.array(["very good film"], object)}, np.array(["very good film", sentence(30)], object)
    np.testing.assert_allclose(agrees(shipped, {"x": longer})[:1], agrees(shipped, alone), atol=1e-5)


@pytest.mark.parametrize("samples", [1, 100, 201, 3999, 20_000])
def test_sounds_may_have_any_length(kinds: Callable[[str], Shipped], samples: int) -> None:
    clips = np.stack([clip(samples), clip(samples)])
    agrees(kinds("audio"), {"x": clips, "x_lengths": np.array([samples, max(1, samples // 2)])})


def test_what_stands_after_the_end_of_a_sound_changes_nothing(kinds: Callable[[str], Shipped]) -> None:
    shipped, sound = kinds("audio"), clip(1500)
    alone = agrees(shipped, {"x": sound[None], "x_lengths": np.array([1500])})
    padded = np.stack([np.append(sound, clip(700)), clip(2200)])
    found = agrees(shipped, {"x": padded, "x_lengths": np.array([1500, 2200])})
    np.testing.assert_allclose(found[:1], alone, atol=1e-5)


@pytest.mark.parametrize("size", [(12, 9), (24, 18), (5, 50), (1, 1)])
def test_images_may_have_any_size(kinds: Callable[[str], Shipped], size: tuple[int, int]) -> None:
    agrees(kinds("image"), {"x": np.stack([picture(*size) for _ in range(3)])})


def test_a_series_is_described_with_its_channels_and_length(kinds: Callable[[str], Shipped]) -> None:
    shipped = kinds("series")
    assert shipped.model.series == {"series": ["t", "u"], "length": 6}
    assert shipped.model.kinds == {}
    found = shipped.model.run(shipped.inputs([3]))["prediction"]
    assert found.shape == (1, 1, 1)
    assert 50 < found.item() < 150  # in the series' own unit


def test_kinds_of_columns_and_inputs_are_told_to_the_reader(kinds: Callable[[str], Shipped]) -> None:
    found = kinds("everything").model
    assert found.kinds == {"x": "number", "c": "category", "words": "text", "p": "image", "s": "audio"}
    assert found.columns_read == ["x", "c", "words", "p", "s"]
    assert found.types["p"] == "tensor(uint8)"
    assert set(found.types) - set(found.columns_read) == {"s_lengths"}
    assert (kinds("date and number").model.kinds, kinds("date in parts").model.columns_read) == (
        {"when": "date", "x": "number"},
        ["y", "m", "d"],
    )


def test_predictions_are_in_the_unit_of_each_target(kinds: Callable[[str], Shipped]) -> None:
    shipped = kinds("several numbers")
    inputs, target = shipped.inputs(range(64)), shipped.schema.target
    found = shipped.model.run(inputs)["prediction"]
    expected = shipped.logits(inputs) * np.array(target.scale) + np.array(target.shift)
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-5)
    assert (found[:, 0].mean() > 5000, abs(found[:, 1].mean()) < 100) == (True, True)


def test_labels_and_probabilities_are_those_of_torch(kinds: Callable[[str], Shipped]) -> None:
    shipped = kinds("multilabel")
    inputs = shipped.inputs(range(64))
    found, logits = shipped.model.run(inputs), shipped.logits(inputs)
    np.testing.assert_allclose(found["probabilities"], special.expit(logits), atol=1e-5)
    np.testing.assert_array_equal(found["labels"], logits > 0)
