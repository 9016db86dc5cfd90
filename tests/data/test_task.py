"""Which task the target's values make and why; every refusal names the rule, the value and the way out."""

from typing import Any

import numpy as np
import pandas as pd
import pytest

from ann.config.data import DataParams
from ann.data.target import Target
from ann.data.task import category_text, class_ids, infer_target, target_values
from ann.errors import DataError

WINDOWS = {"length": 4, "horizon": 2}


def column(values: Any, name: str = "y") -> pd.DataFrame:
    return pd.DataFrame({name: values})


def infer(table: pd.DataFrame, **data: Any) -> Target:
    return infer_target(table, DataParams(**{"target": "y", **data}))


def refused(table: pd.DataFrame, **data: Any) -> str:
    with pytest.raises(DataError) as caught:
        infer(table, **data)
    return str(caught.value)


FEW = "the target has {} different whole numbers, not more than 20"
NAMES = "the target's values are names"
CASES: dict[str, tuple[Any, str, str]] = {
    "two names": (["no", "yes"] * 10, "binary", NAMES),
    "three names": (["a", "b", "c"] * 10, "multiclass", NAMES),
    "true and false": ([True, False] * 10, "binary", NAMES),
    "nullable booleans": (pd.array([True, False] * 10, dtype="boolean"), "binary", NAMES),
    "zeros and ones": ([0, 1] * 10, "binary", FEW.format(2)),
    "twenty whole numbers": (list(range(20)) * 3, "multiclass", FEW.format(20)),
    "whole numbers as floats": ([1.0, 2.0, 3.0] * 5, "multiclass", FEW.format(3)),
    "whole numbers as text": (["1", "2", "3"] * 5, "multiclass", FEW.format(3)),
    "numbers among names": (["1", "2", "x"] * 5, "multiclass", NAMES),
    "fractions": ([0.5, 1.0, 2.0] * 5, "regression", "the target holds fractions"),
    "21 whole numbers": (
        list(range(21)) * 3,
        "regression",
        "the target has 21 different whole numbers, more than 20; write data.task: multiclass where they are classes",
    ),
}


@pytest.mark.parametrize(("values", "task", "reason"), CASES.values(), ids=CASES)
def test_the_values_decide_and_the_reason_says_how(values: Any, task: str, reason: str) -> None:
    target = infer(column(values))
    assert (target.task, target.names, target.reason) == (task, ("y",), reason)
    assert len(target.classes) == (0 if task == "regression" else column(values)["y"].nunique())


@pytest.mark.parametrize("task", ["multiclass", "regression"])
def test_the_task_that_is_named_is_taken(task: str) -> None:
    target = infer(column(list(range(8)) * 3), task=task)
    assert (target.task, target.reason) == (task, "data.task names it")


def test_two_classes_are_a_binary_task_also_where_multiclass_is_named() -> None:
    assert infer(column(["a", "b"] * 5), task="multiclass").task == "binary"


def test_quantiles_make_whole_numbers_a_regression() -> None:
    target = infer(column([1, 2, 3] * 5), quantiles=(0.1, 0.5, 0.9))
    assert (target.task, target.reason) == ("regression", "data.quantiles are of numbers")
    assert target.quantiles == (0.1, 0.5, 0.9)


def test_many_targets_of_0_and_1_are_labels_and_others_numbers() -> None:
    table = pd.DataFrame(
        {"a": [0, 1, 0, 1], "b": [True, True, False, False], "c": [0.0, 1.0, 1.0, 1.0], "d": [1, 2, 3, 4]}
    )
    labels = infer(table, target=("a", "b", "c"))
    assert (labels.task, labels.names, labels.outputs) == ("multilabel", ("a", "b", "c"), 3)
    assert labels.reason == "each of 3 targets is 0 or 1"
    numbers = infer(table, target=("d", "a"))
    assert (numbers.task, numbers.reason) == ("regression", "2 targets are numbers")
    assert infer(table, target="a", task="multilabel").names == ("a",)


def test_windows_make_a_forecast() -> None:
    target = infer(column(np.arange(9.0)), windows=WINDOWS, quantiles=(0.5,))
    assert (target.task, target.horizon, target.quantiles) == ("forecast", 2, (0.5,))
    assert target.reason == "data.windows cuts a series into examples"


def test_the_rarer_of_two_classes_is_positive_unless_it_is_named() -> None:
    values = ["no"] * 4 + ["a"] * 6
    assert infer(column(values)).classes == ("a", "no")
    assert infer(column(values), positive="a").classes == ("no", "a")


def test_more_classes_stand_in_the_order_of_numbers_and_of_texts() -> None:
    assert infer(column([10, 9, 2, 1] * 5)).classes == ("1", "2", "9", "10")
    assert infer(column(["b", "10", "a", "9"] * 5)).classes == ("9", "10", "a", "b")


MANY = pd.DataFrame({"y": ["a", "b"] * 5, "z": ["c", "d"] * 5, "n": [1.5, 2.5] * 5})
REFUSALS: dict[str, tuple[pd.DataFrame, dict[str, Any], str]] = {
    "missing": (
        column(["a", None, "b", None]),
        {},
        "target 'y' is missing in 2 rows, first in row 1: remove them or fill them in",
    ),
    "missing in a series": (
        column([1.0, np.nan, 3.0]),
        {"windows": WINDOWS},
        "target 'y' is missing in 1 rows, first in row 1: fill them in",
    ),
    "one class": (column(["a"] * 9), {}, "target 'y' must have at least two classes, got only 'a'"),
    "an id": (
        column([f"id{row}" for row in range(30)]),
        {},
        "target 'y' has 30 different values in 30 rows: it looks like an id, not a class",
    ),
    "not binary": (
        column(["a", "b", "c"] * 5),
        {"task": "binary"},
        "data.task is binary, but target 'y' has 3 classes: leave it out",
    ),
    "positive": (column(["a", "b"] * 5), {"positive": "c"}, "data.positive must be one of a, b; got 'c'"),
    "quantiles of classes": (
        pd.DataFrame({"y": [0, 1] * 5, "z": [1, 0] * 5}),
        {"target": ("y", "z"), "quantiles": (0.5,)},
        "data.quantiles are of numbers, but the target y, z makes a multilabel task: each of 2 targets is 0 or 1",
    ),
    "several targets of a class": (
        MANY,
        {"target": ("y", "z"), "task": "multiclass"},
        "data.task multiclass has one target, not 2: name one, or another task",
    ),
    "several names": (
        MANY,
        {"target": ("n", "y")},
        "target 'y' must hold numbers, but row 0 holds 'a': mend it, or write data.task: multiclass",
    ),
    "a name among numbers": (
        column(["1.5", "2.5", "?"] * 5),
        {"task": "regression"},
        "target 'y' must hold numbers, but row 2 holds '?': mend it, or write data.task: multiclass",
    ),
    "true and false as a number": (
        column([True, False] * 5),
        {"task": "regression"},
        "target 'y' must hold numbers, but its type is bool: mend it, or write data.task: multiclass",
    ),
    "infinite": (
        column([0.5, np.inf, 1.0]),
        {"task": "regression"},
        "target 'y' holds an infinite number: mend or remove the row",
    ),
    "a constant": (
        column([2.5] * 9),
        {"task": "regression"},
        "target 'y' is 2.5 in every row: there is nothing to learn",
    ),
    "no label": (
        column([0, 1, 2]),
        {"task": "multilabel"},
        "target 'y' of a multilabel task must be 0 or 1, got 2: mend it, or name another",
    ),
    "a text as a label": (
        column(["0", "1"]),
        {"task": "multilabel"},
        "target 'y' of a multilabel task must be 0 or 1, got '0': mend it, or name another",
    ),
    "a label of all rows": (
        pd.DataFrame({"y": [0, 1, 0], "z": [1, 1, 1]}),
        {"target": ("y", "z")},
        "target 'z' is 1 in every row: there is nothing to learn; leave it out",
    ),
}


@pytest.mark.parametrize(("table", "data", "message"), REFUSALS.values(), ids=REFUSALS)
def test_what_cannot_be_learnt_is_refused_with_the_way_out(
    table: pd.DataFrame, data: dict[str, Any], message: str
) -> None:
    assert refused(table, **data) == message


def test_more_than_a_thousand_classes_look_like_an_id() -> None:
    names = [f"c{row}" for row in range(1001)]
    assert "has 1001 different values in 3003 rows: it looks like an id" in refused(column(names * 3))
    assert len(infer(column(names[1:] * 3)).classes) == 1000


def test_classes_become_their_places_labels_and_numbers_stay() -> None:
    table = pd.DataFrame({"y": [2, 10, 2, 2], "z": [0, 1, 1, 0], "w": [True, False, True, True]})
    ids = target_values(table, infer(table, task="multiclass"))
    assert (ids.dtype, ids.tolist()) == (np.int64, [0, 1, 0, 0])
    labels = target_values(table, infer(table, target=("z", "w")))
    assert (labels.dtype, labels.tolist()) == (np.float32, [[0, 1], [1, 0], [1, 1], [0, 1]])
    numbers = target_values(table, infer(table, target=("y", "z"), task="regression"))
    assert (numbers.dtype, numbers.tolist()) == (np.float64, [[2, 0], [10, 1], [2, 1], [2, 0]])


@pytest.mark.parametrize("dtype", ["int64", "float64", "Int64", "object", "str", "category"])
def test_a_class_has_one_id_however_its_column_is_stored(dtype: str) -> None:
    values = pd.Series([2, 10, 2], name="y").astype(dtype)
    assert class_ids(values, ("2", "10")).tolist() == [0, 1, 0]


def test_a_class_that_was_not_there_before_is_named_with_its_row() -> None:
    with pytest.raises(DataError, match="target 'y' must be one of a, b; row 2 holds 'c'"):
        class_ids(pd.Series(["a", "b", "c"], name="y"), ("a", "b"))
    with pytest.raises(DataError, match="target 'y' must be one of a, b; row 0 holds ''"):
        class_ids(pd.Series([None, "b"], name="y"), ("a", "b"))


def test_values_are_written_as_in_a_csv_file() -> None:
    assert category_text(pd.Series([1.0, np.nan, 3.0])).tolist() == ["1", "", "3"]
    assert category_text(pd.Series([1.5, 2.0])).tolist() == ["1.5", "2.0"]
    assert category_text(pd.Series(["a", None])).tolist() == ["a", ""]
    assert category_text(pd.Series([True, False])).tolist() == ["True", "False"]
