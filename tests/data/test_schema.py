"""What the columns are taken for, and how their values enter the graph."""

import json

import numpy as np
import pandas as pd
import pytest

from ann.config.data import Column, DataParams
from ann.data.schema import Feature, Schema, category_text, class_ids, column_input, graph_inputs, infer_schema
from ann.errors import DataError


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
    (feature,) = infer({"x": values}).features
    assert feature == Feature("x", "number", double=double)
    assert column_input(pd.Series(values), feature).dtype == (np.float64 if double else np.float32)


def test_a_text_in_a_column_of_numbers_is_told_with_its_row():
    with pytest.raises(DataError, match=r"column 'x' must hold numbers, but row 1 holds 'n/a': mend the row, or add"):
        infer({"x": ["1", "n/a", "3"]}, columns={"x": Column(type="number")})


def test_without_a_feature_there_is_nothing_to_learn_from():
    with pytest.raises(DataError, match="no column is left as a feature"):
        infer({"x": [1, 2, 3]}, columns={"x": Column(role="drop")})


def test_the_rarer_of_two_classes_is_the_positive_one():
    assert infer({"x": [1, 2, 3], "t": ["b", "a", "b"]}).classes == ("b", "a")


def test_the_positive_class_may_be_named():
    assert infer({"x": [1, 2, 3], "t": ["b", "a", "b"]}, positive="b").classes == ("a", "b")


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
    assert infer({"x": range(len(labels)), "t": labels}).classes == classes


@pytest.mark.parametrize(
    ("labels", "data", "expected"),
    [
        (["a", None, "b", None], {}, "target 't' is missing in 2 rows, first in row 1"),
        ([0.5, 1.0, 2.0, 1.0], {}, "target 't' holds fractions"),
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
    ],
    ids=["text", "whole", "fractions", "int", "nullable", "bool", "categorical", "infinite", "huge"],
)
def test_categories_are_written_as_text(column, expected):
    assert category_text(column).tolist() == expected


def test_inputs_are_one_array_a_feature_in_the_type_of_the_graph(table):
    schema = infer_schema(table, DataParams(target="bought", columns={"town": Column(role="drop")}))
    inputs = graph_inputs(table, schema.features)
    assert {name: array.dtype for name, array in inputs.items()} == {
        "age": np.float32,
        "income": np.float32,
        "colour": object,
        "member": object,
    }
    np.testing.assert_array_equal(inputs["income"], table["income"].to_numpy().astype(np.float32))


def test_labels_become_the_numbers_of_their_classes():
    ids = class_ids(pd.Series(["yes", "no", "yes"], name="t"), ("no", "yes"))
    assert ids.tolist() == [1, 0, 1]
    assert ids.dtype == np.int64


@pytest.mark.parametrize("label", ["maybe", None])
def test_an_unknown_label_is_told_with_its_row(label):
    with pytest.raises(DataError, match="target 't' must be one of no, yes; row 1 holds"):
        class_ids(pd.Series(["yes", label], name="t"), ("no", "yes"))


@pytest.mark.parametrize("name", ["label", "probabilities"])
def test_a_feature_named_as_an_output_is_refused_with_the_way_out(name):
    table = pd.DataFrame({name: [1, 2, 3, 4], "target": ["a", "b", "a", "b"]})
    with pytest.raises(DataError, match=f"column '{name}' has the name of an output .* rename it, or drop it"):
        infer_schema(table, DataParams(target="target"))


def test_dates_are_refused_with_the_way_out():
    table = pd.DataFrame({"day": pd.date_range("2024-01-01", periods=4), "target": ["a", "b", "a", "b"]})
    with pytest.raises(DataError, match=r"column 'day' holds dates.*role `drop`"):
        infer_schema(table, DataParams(target="target"))
