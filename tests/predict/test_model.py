"""An exported file, opened: what it reads, what it answers, and what is no such file."""

import numpy as np
import onnxruntime as ort
import pandas as pd
import pytest

from ann.config.data import DataParams
from ann.data.graph import GraphBuilder
from ann.errors import ConfigError, DataError
from ann.predict import Model
from ann.predict.model import providers_of

RNG = np.random.default_rng(0)
SMALL = {"family": "mlp", "hidden": [4]}
NUMBERS = {"x": RNG.normal(size=40), "y": RNG.normal(size=40), "z": RNG.normal(300, 9, 40)}
LABELS = {"red": [0, 1] * 20, "big": [0, 0, 1, 1] * 10}
DATA = {
    "binary": ({"x": NUMBERS["x"], "t": ["no", "yes"] * 20}, {"target": "t"}),
    "multiclass": ({"x": NUMBERS["x"], "t": [1, 2, 10, 2] * 10}, {"target": "t"}),
    "multilabel": ({"x": NUMBERS["x"], **LABELS}, {"target": ("red", "big")}),
    "regression": ({"x": NUMBERS["x"], "z": NUMBERS["z"]}, {"target": "z"}),
    "several": (NUMBERS, {"target": ("z", "y")}),
    "quantiles": ({"x": NUMBERS["x"], "z": NUMBERS["z"]}, {"target": "z", "quantiles": (0.05, 0.5, 0.95)}),
    "quantiles of several": (NUMBERS, {"target": ("z", "y"), "quantiles": (0.5,)}),
    "forecast": (NUMBERS, {"target": ("z", "x"), "windows": {"length": 4, "horizon": 3}}),
    "forecast of quantiles": (
        NUMBERS,
        {"target": ("z", "x"), "quantiles": (0.1, 0.5, 0.9), "windows": {"length": 4, "horizon": 2}},
    ),
}
NAMES = {
    "binary": ["label", "probability_no", "probability_yes"],
    "multiclass": ["label", "probability_1", "probability_2", "probability_10"],
    "multilabel": ["label_red", "label_big", "probability_red", "probability_big"],
    "regression": ["prediction"],
    "several": ["z", "y"],
    "quantiles": ["prediction_q0.05", "prediction_q0.5", "prediction_q0.95"],
    "quantiles of several": ["z_q0.5", "y_q0.5"],
    "forecast": ["step", "z", "x"],
    "forecast of quantiles": ["step", "z_q0.1", "z_q0.5", "z_q0.9", "x_q0.1", "x_q0.5", "x_q0.9"],
}


@pytest.fixture(scope="module")
def shipped(ship, tmp_path_factory):
    """Return what ships one kind of target; each is made once."""
    folder, made = tmp_path_factory.mktemp("models"), {}

    def one(kind: str):
        if kind not in made:
            columns, data = DATA[kind]
            model = {"family": "forecast"} if "windows" in data else SMALL
            made[kind] = ship(folder / f"{kind}.onnx", pd.DataFrame(columns), DataParams(**data), model)
        return made[kind]

    return one


@pytest.mark.parametrize("kind", DATA)
def test_answers_have_a_name_and_a_value_a_row_each(shipped, kind):
    model = Model(shipped(kind).path, threads=1)
    rows = 2 if model.series else 5
    inputs = {name: np.zeros((rows, 4, 3) if model.series else rows, np.float32) for name in model.types}
    columns = model.answer_columns(model.run(inputs))
    assert model.answer_names() == NAMES[kind]
    assert len(columns) == len(NAMES[kind])
    steps = DATA[kind][1]["windows"]["horizon"] if model.series else 1
    assert {len(values) for values in columns} == {rows * steps}
    if model.series:
        assert columns[0].tolist() == [*range(1, steps + 1)] * 2


@pytest.mark.parametrize("kind", ["regression", "several", "quantiles", "quantiles of several"])
def test_predictions_stand_in_the_columns_of_their_target_and_quantile(shipped, kind):
    table = pd.DataFrame(DATA[kind][0])
    model, inputs = Model(shipped(kind).path), shipped(kind).inputs(table)
    found = np.stack(model.answer_columns(model.run(inputs)), axis=1)
    np.testing.assert_allclose(found, shipped(kind).predictions(table).reshape(40, -1), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("kind", ["forecast", "forecast of quantiles"])
def test_forecasts_of_several_windows_stand_one_below_the_other(shipped, kind):
    model = Model(shipped(kind).path)
    windows = np.random.default_rng(1).normal(size=(3, 4, 3)).astype(np.float32)
    found = np.stack(model.answer_columns(model.run({"series": windows}))[1:], axis=1)
    steps = DATA[kind][1]["windows"]["horizon"]
    for number, window in enumerate(windows):
        expected = shipped(kind).predictions(pd.DataFrame(window, columns=list("xyz")).astype(float))[0]
        part = found[number * steps : (number + 1) * steps]
        np.testing.assert_allclose(part, expected.reshape(steps, -1), rtol=1e-4, atol=1e-4)


def test_a_file_tells_what_it_was_made_for(shipped):
    model = Model(shipped("quantiles of several").path)
    assert (model.task, model.targets, model.quantiles, model.classes) == ("regression", ["z", "y"], [0.5], [])
    assert (model.kinds, model.types, model.outputs) == (
        {"x": "number"},
        {"x": "tensor(float)"},
        ["prediction"],
    )
    assert (model.missing, model.series, model.media, model.columns_read) == (frozenset({""}), None, None, ["x"])
    series = Model(shipped("forecast").path)
    assert (series.columns_read, series.series["length"], series.media) == (["x", "y", "z"], 4, None)
    assert list(series.types) == ["series"]


def test_rows_of_a_series_are_one_window_in_the_order_of_its_channels(shipped):
    model = Model(shipped("forecast").path)
    rows = [{"z": 300 + i, "more": "text", "y": "", "x": str(i)} for i in range(4)]
    window = model.inputs(rows)["series"]
    assert (window.dtype, window.shape) == (np.float32, (1, 4, 3))
    np.testing.assert_array_equal(window[0], [[i, np.nan, 300 + i] for i in range(4)])


def test_rows_are_numbered_in_messages(shipped):
    with pytest.raises(DataError, match="column 'x' must hold numbers, row 18 holds 'old'"):
        Model(shipped("regression").path).inputs([{"x": "1"}, {"x": "old"}], first_row=17)
    with pytest.raises(DataError, match="column 'y' must hold numbers, row 18 holds 'old'"):
        Model(shipped("forecast").path).inputs([dict.fromkeys("xyz", 1), {"x": 1, "y": "old", "z": 1}], first_row=17)


def test_a_column_that_is_missing_is_told_with_what_is_near(shipped):
    model = Model(shipped("forecast").path)
    with pytest.raises(DataError, match=r"column 'z' is missing.*; the model reads x, y, z"):
        model.require_columns(["x", "y", "Z"])
    model.require_columns(["z", "y", "x", "more"])


def test_dates_of_a_file_are_read_from_text(ship, tmp_path):
    table = pd.DataFrame({"when": pd.date_range("2026-01-01", periods=40), "t": ["no", "yes"] * 20})
    shipped = ship(tmp_path / "model.onnx", table, DataParams(target="t"), SMALL)
    model = Model(shipped.path)
    assert (model.kinds, model.types) == ({"when": "date"}, {"when": "tensor(double)"})
    inputs = model.inputs([{"when": day.isoformat()} for day in table["when"]])
    np.testing.assert_array_equal(inputs["when"], shipped.inputs(table)["when"])
    probabilities = model.run(inputs)["probabilities"]
    np.testing.assert_allclose(probabilities, shipped.probabilities(table), atol=1e-5)


def test_parts_of_a_date_are_columns_of_numbers(ship, tmp_path):
    days = pd.date_range("2026-01-01", periods=40)
    table = pd.DataFrame({"y": days.year, "m": days.month, "d": days.day, "t": ["no", "yes"] * 20})
    data = DataParams(target="t", dates={"when": {"year": "y", "month": "m", "day": "d"}})
    shipped = ship(tmp_path / "model.onnx", table, data, SMALL)
    model = Model(shipped.path)
    rows = table[["d", "y", "m"]].astype(str).to_dict("records")
    assert model.columns_read == ["y", "m", "d"]
    found = model.run(model.inputs(rows))["probabilities"]
    np.testing.assert_allclose(found, shipped.probabilities(table), atol=1e-5)


def test_a_file_of_sounds_alone_says_so_and_its_lengths_are_no_column(ship, tmp_path):
    clips = pd.Series([RNG.normal(size=300).astype(np.float32) for _ in range(20)], dtype=object)
    table = pd.DataFrame({"clip": clips, "t": ["no", "yes"] * 10})
    network = {"family": "speech", "channels": [4], "cell": "none"}
    shipped = ship(tmp_path / "model.onnx", table, DataParams(target="t"), network, audio={"rate": 8000, "mels": 6})
    model = Model(shipped.path)
    assert (model.media, model.columns_read, set(model.types)) == ("clip", ["clip"], {"clip", "clip_lengths"})
    inputs = model.inputs([{"clip": clips[0]}, {"clip": clips[1][:100]}])
    assert inputs["clip_lengths"].tolist() == [300, 100]


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


def test_a_provider_that_is_not_there_is_refused_with_the_way_out():
    assert providers_of("cpu") == ["CPUExecutionProvider"]
    with pytest.raises(ConfigError, match=r"provider: 'gpu' is unknown"):
        providers_of("gpu")
    if "TensorrtExecutionProvider" not in ort.get_available_providers():
        with pytest.raises(ConfigError, match="install onnxruntime-gpu in its place, or take cpu"):
            providers_of("tensorrt")
