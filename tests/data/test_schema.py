"""What the columns are taken for, and how their values enter the graph."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from ann.config.data import Column, DataParams
from ann.data.examples import Examples
from ann.data.schema import Feature, Schema, infer_schema
from ann.data.target import Target
from ann.data.task import category_text, class_ids
from ann.errors import DataError

DAYS = pd.date_range("2026-01-01", periods=6, freq="D")


def infer(table: dict, **data) -> Schema:
    """Infer the schema of some columns beside a target of two classes."""
    rows = len(next(iter(table.values())))
    target = {"t": (["no", "yes", "no"] * rows)[:rows]}
    return infer_schema(pd.DataFrame({**target, **table}), DataParams(**{"target": "t", **data}))


def types(schema: Schema) -> dict[str, str]:
    return {feature.name: feature.type for feature in schema.features}


def test_numbers_are_numbers_and_the_rest_are_categories():
    schema = infer({"i": [1, 2, 3], "f": [0.5, np.nan, 1], "s": ["a", "b", None], "b": [True, False, True]})
    assert types(schema) == {"i": "number", "f": "number", "s": "category", "b": "category"}
    assert [feature.name for feature in schema.numbers] == ["i", "f"]
    assert [feature.name for feature in schema.categories] == ["s", "b"]


def test_columns_take_the_role_and_type_that_people_gave_them():
    columns = {"a": Column(role="drop"), "b": Column(role="slice", sensitive=True), "c": Column(type="category")}
    schema = infer({"a": [1, 2, 3], "b": [1, 2, 3], "c": [1, 2, 3]}, columns=columns)
    assert types(schema) == {"c": "category"}
    assert (schema.dropped, schema.slices, schema.sensitive) == (("a",), ("b",), ("b",))


@pytest.mark.parametrize(
    ("values", "double"),
    [([0, 2**24], False), ([0, 2**24 + 1], True), ([-(2**24) - 1, 0], True), ([np.nan, 3e9], True)],
)
def test_numbers_that_float32_cannot_hold_are_double(values, double):
    schema = infer({"x": values})
    assert schema.features == (Feature("x", "number", double=double),)
    inputs = Examples(pd.DataFrame({"x": values}), schema).inputs(np.arange(2))
    assert inputs["x"].dtype == (np.float64 if double else np.float32)


def test_a_text_in_a_column_of_numbers_is_told_with_its_row():
    with pytest.raises(DataError, match=r"column 'x' must hold numbers, but row 1 holds 'n/a': mend the row, or add"):
        infer({"x": ["1", "n/a", "3"]}, columns={"x": Column(type="number")})


def test_without_a_feature_there_is_nothing_to_learn_from():
    with pytest.raises(DataError, match="no column is left as a feature"):
        infer({"x": [1, 2, 3]}, columns={"x": Column(role="drop")})


def test_the_rarer_of_two_classes_is_the_positive_one():
    assert infer({"x": [1, 2, 3], "t": ["b", "a", "b"]}).target.classes == ("b", "a")


def test_the_positive_class_may_be_named():
    assert infer({"x": [1, 2, 3], "t": ["b", "a", "b"]}, positive="b").target.classes == ("a", "b")


@pytest.mark.parametrize(
    ("labels", "classes"),
    [
        (["10", "9", "b", "a", "10"], ("9", "10", "a", "b")),
        ([10, 9, 2, 2, 9, 10], ("2", "9", "10")),
        ([1.0, 0.0, 2.0, 1.0, 0.0, 2.0], ("0", "1", "2")),
    ],
)
def test_more_classes_stand_in_natural_order(labels, classes):
    labels = labels * 2
    assert infer({"x": range(len(labels)), "t": labels}).target.classes == classes


@pytest.mark.parametrize(
    ("labels", "data", "expected"),
    [
        (["a", None, "b", None], {}, "target 't' is missing in 2 rows, first in row 1"),
        (["a", "a", "a", "a"], {}, "must have at least two classes, got only 'a'"),
        (["a", "b", "c", "d"], {}, "has 4 different values in 4 rows: it looks like an id, not a class"),
        (["a", "b", "a", "b"], {"positive": "c"}, "data.positive must be one of a, b; got 'c'"),
    ],
)
def test_a_target_that_cannot_be_learned_is_refused(labels, data, expected):
    with pytest.raises(DataError) as caught:
        infer({"x": [1, 2, 3, 4], "t": labels}, **data)
    assert expected in str(caught.value)


def test_a_schema_comes_back_from_its_json(table):
    columns = {"town": Column(role="slice", sensitive=True), "member": Column(role="drop")}
    schema = infer_schema(table, DataParams(target="bought", missing=("?", ""), columns=columns))
    assert Schema.from_json(json.loads(json.dumps(schema.to_json()))) == schema


@pytest.mark.parametrize(
    ("column", "expected"),
    [
        (pd.Series(["a", None, "b"]), ["a", "", "b"]),
        (pd.Series([1.0, np.nan, 2.0]), ["1", "", "2"]),
        (pd.Series([1.5, np.nan, 2.0]), ["1.5", "", "2.0"]),
        (pd.Series([7, 8], dtype="int64"), ["7", "8"]),
        (pd.Series([7, None], dtype="Int64"), ["7", ""]),
        (pd.Series([True, False]), ["True", "False"]),
        (pd.Series(["x", None], dtype="category"), ["x", ""]),
        (pd.Series([np.inf, 1.0]), ["inf", "1.0"]),
        (pd.Series([1e300, np.nan]), ["1e+300", ""]),
        (pd.Series(pd.to_datetime(["2026-01-02", None])), ["2026-01-02 00:00:00", ""]),
    ],
    ids=["text", "whole", "fractions", "int", "nullable", "bool", "categorical", "infinite", "huge", "dates"],
)
def test_categories_are_written_as_text(column, expected):
    assert category_text(column).tolist() == expected


def test_labels_become_the_numbers_of_their_classes():
    ids = class_ids(pd.Series(["yes", "no", "yes"], name="t"), ("no", "yes"))
    assert ids.tolist() == [1, 0, 1]
    assert ids.dtype == np.int64


@pytest.mark.parametrize("label", ["maybe", None])
def test_an_unknown_label_is_told_with_its_row(label):
    with pytest.raises(DataError, match="target 't' must be one of no, yes; row 1 holds"):
        class_ids(pd.Series(["yes", label], name="t"), ("no", "yes"))


@pytest.mark.parametrize("name", ["label", "labels", "probabilities", "prediction"])
def test_a_feature_named_as_an_output_is_refused_with_the_way_out(name):
    table = pd.DataFrame({name: [1, 2, 3, 4], "target": ["a", "b", "a", "b"]})
    with pytest.raises(DataError, match=f"column '{name}' has the name of an output .* rename it, or drop it"):
        infer_schema(table, DataParams(target="target"))


TEXTS = ["the first of some words", "not one like another", "and a third one"] * 2
PICTURES = [np.zeros((4, 5), np.uint8)] * 6
CLIPS = [np.zeros(9, np.float32)] * 6


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (DAYS, "date"),
        (DAYS.tz_localize("Europe/Berlin"), "date"),
        (["2026-01-01", None, "2026-02-03", "2026-01-01", "2026-01-01", "2026-12-24"], "date"),
        (["2026-01-01T10:00", "2026-01-01 10:00:00.25", "2026-01-01T10:00:00Z"] * 2, "date"),
        (["2026-01-01", "2026-01-01+01:00", "soon"] * 2, "category"),
        (["20260101", "01.02.2026", "2026"] * 2, "category"),
        (TEXTS, "text"),
        ([*TEXTS[:3], None, None, None], "text"),
        (["two words", "other words", "more words"] * 2, "category"),
        (["always the same words"] * 6, "category"),
        ([1, "a text of four words", "and one more text"] * 2, "category"),
        ([None] * 6, "category"),
        (PICTURES, "image"),
        ([None, *PICTURES[:5]], "image"),
        ([np.zeros((4, 5, 3), np.uint8)] * 6, "image"),
        ([b"\x89PNG"] * 6, "image"),
        ([Path("a.jpg")] * 6, "image"),
        (CLIPS, "audio"),
        ([b"RIFF...."] * 6, "audio"),
        ([Path("a.WAV")] * 6, "audio"),
    ],
)
def test_the_type_of_a_column_is_told_by_its_values(values, expected):
    schema = infer({"x": pd.Series(values), "t": ["no", "yes"] * 3})
    assert types(schema) == {"x": expected}
    assert [feature.name for feature in schema.of_type(expected)] == ["x"]


def test_rarely_different_texts_are_categories():
    many = [f"one of five texts, {i % 5}" for i in range(30)]
    labels = ["no", "yes"] * 15
    assert types(infer({"x": many, "t": labels})) == {"x": "category"}
    assert types(infer({"x": many[:20], "t": labels[:20]})) == {"x": "text"}


@pytest.mark.parametrize(
    ("values", "wanted"), [(TEXTS, "category"), (["a", "b", "c"] * 2, "text"), (["2026", "2027", "2028"] * 2, "date")]
)
def test_the_given_type_wins_over_the_values(values, wanted):
    schema = infer({"x": values, "t": ["no", "yes"] * 3}, columns={"x": Column(type=wanted)})
    assert types(schema) == {"x": wanted}


def test_time_and_group_are_no_features():
    columns = {"day": Column(role="time"), "patient": Column(role="group")}
    table = {"day": DAYS, "patient": list("aabbcc"), "x": range(6), "t": ["no", "yes"] * 3}
    schema = infer(table, columns=columns)
    assert (schema.time, schema.group) == ("day", "patient")
    assert types(schema) == {"x": "number"}
    assert infer({"x": range(6), "t": ["no", "yes"] * 3}).time is None


def test_the_channels_of_a_series_are_one_feature_with_those_that_are_predicted_among_them():
    table = pd.DataFrame({"day": DAYS, "load": range(6), "note": list("abcabc"), "heat": np.linspace(0, 1, 6)})
    columns = {"note": Column(role="drop")}
    data = DataParams(target=("heat", "load"), windows={"length": 2, "horizon": 3}, quantiles=(0.5,), columns=columns)
    schema = infer_schema(table, data)
    assert schema.features == (Feature("series", "series", columns=("load", "heat")),)
    assert (schema.time, schema.dropped, schema.windows) == ("day", ("note",), data.windows)
    assert schema.target.task == "forecast"
    assert (schema.target.names, schema.target.horizon, schema.target.outputs) == (("heat", "load"), 3, 6)


def test_a_date_in_parts_is_one_feature_of_several_columns():
    table = {"y": [2026] * 6, "m": [1] * 6, "d": range(1, 7), "x": range(6), "t": ["no", "yes"] * 3}
    schema = infer(table, dates={"when": {"year": "y", "month": "m", "day": "d"}})
    assert schema.features == (Feature("x", "number"), Feature("when", "date", columns=("y", "m", "d")))
    assert schema.features[1].sources == ("y", "m", "d")
    assert schema.features[0].sources == ("x",)


WINDOWS = {"length": 2, "horizon": 1}
PARTS = {"when": {"year": "y", "month": "m", "day": "d"}}


@pytest.mark.parametrize(
    ("table", "data", "expected"),
    [
        (
            {"x": ["soon", "late", None] * 2},
            {"columns": {"x": Column(type="image")}},
            r"column 'x' must hold image files, but row 0 holds 'soon': write another type in data\.columns",
        ),
        (
            {"x": [None] * 6, "z": range(6)},
            {"columns": {"x": Column(type="audio")}},
            "column 'x' must hold audio files, but it is empty",
        ),
        (
            {"x": PICTURES},
            {"columns": {"x": Column(type="text")}},
            "column 'x' holds files, not values of the type text: leave the type out",
        ),
        (
            {"x": [True, False, True] * 2},
            {"columns": {"x": Column(type="number")}},
            "column 'x' must hold numbers, but .*: mend the row, or add the text to data.missing",
        ),
        ({"a": PICTURES, "b": PICTURES}, {}, "columns a, b all hold image files; one can be read: drop the others"),
        ({"a": CLIPS, "b": CLIPS}, {}, "columns a, b all hold audio files; one can be read: drop the others"),
        (
            {"a": range(6), "b": range(6), "x": range(6)},
            {"columns": {"a": Column(role="time"), "b": Column(role="time")}},
            "columns a, b all have the role `time`; one can: give the others another role",
        ),
        (
            {"a": range(6), "b": range(6), "x": range(6)},
            {"columns": {"a": Column(role="group"), "b": Column(role="group")}},
            "columns a, b all have the role `group`; one can",
        ),
        (
            {"t": range(6), "word": ["a", "b", "c"] * 2},
            {"windows": WINDOWS},
            "column 'word' is a category, but channels of a series must be numbers: give it the role `drop`",
        ),
        (
            {"t": range(6), "x": range(6)},
            {"windows": WINDOWS, "columns": {"t": Column(role="drop")}},
            "target 't' .* must be a channel of the series: .* role `feature`",
        ),
        (
            {"y": range(6), "m": range(6)},
            {"dates": PARTS},
            "data.dates.when names the column 'd', which is not there",
        ),
        (
            {"y": range(6), "m": ["May"] * 6, "d": range(6)},
            {"dates": PARTS},
            "data.dates.when: column 'm' must hold numbers, but row 0 holds 'May'",
        ),
        (
            {"y": range(6), "m": range(6), "d": range(6), "e": range(6)},
            {"dates": {**PARTS, "then": {"year": "y", "month": "m", "day": "e"}}},
            "column 'y' is read by two features, one of data.dates: rename one of them",
        ),
        (
            {"y": range(6), "m": range(6), "d": range(6), "when": range(6)},
            {"dates": PARTS},
            "column 'when' is read by two features",
        ),
        (
            {"y": range(6), "m": range(6), "t": [1, 2, 3] * 2},
            {"dates": {"when": {"year": "y", "month": "m", "day": "t"}}},
            "data.dates.when names the column 't', which is predicted: take another",
        ),
    ],
)
def test_what_cannot_be_a_feature_is_refused_with_the_way_out(table, data, expected):
    with pytest.raises(DataError, match=expected):
        infer({"t": ["no", "yes"] * 3, **table}, **data)


def test_a_schema_of_a_forecast_comes_back_from_its_json_with_its_scales():
    table = pd.DataFrame({"day": DAYS, "load": range(6), "heat": range(6)})
    data = DataParams(target="heat", windows=WINDOWS, quantiles=(0.1, 0.5, 0.9))
    schema = infer_schema(table, data)
    schema = schema.with_target(schema.target.fitted(table[["heat"]].to_numpy(np.float64)))
    assert schema.target.scale == pytest.approx((np.std(range(6)),))
    content = json.loads(json.dumps(schema.to_json()))
    assert content["target"]["task"] == "forecast"
    assert Schema.from_json(content) == schema
    assert isinstance(Schema.from_json(content).target, Target)
