"""A suite against a table: every planted fault is found by the name of its column."""

import re

import numpy as np
import pandas as pd
import pytest

from ann.artifacts import save_json
from ann.config.data import Column, DataParams
from ann.data.expectations import propose_suite
from ann.data.schema import infer_schema
from ann.data.validation import errors, explain, load_suite, save_suite, validate_table
from ann.errors import DataError, StageError

NOT_NULL = "expect_column_values_to_not_be_null"
BETWEEN = "expect_column_values_to_be_between"
IN_SET = "expect_column_values_to_be_in_set"
OF_TYPE = "expect_column_values_to_be_of_type"
COLUMNS = "expect_table_columns_to_match_ordered_list"
DISTINCT = "expect_column_unique_value_count_to_be_between"
UNIQUE_ROWS = "expect_compound_columns_to_be_unique"


def entry(kind: str, level: str = "error", **kwargs) -> dict:
    return {"type": kind, "level": level, "kwargs": kwargs}


@pytest.fixture
def suite(table):
    """The suite that is proposed from the table; the town is sensitive."""
    data = DataParams(target="bought", columns={"town": Column(role="slice", sensitive=True)})
    return propose_suite(table, infer_schema(table, data))


def check(table: pd.DataFrame, suite: list[dict], sensitive: tuple[str, ...] = ("town",), examples: int = 2):
    return validate_table(table, suite, examples=examples, sensitive=sensitive)


def put(table: pd.DataFrame, column: str, rows: slice, value: object) -> pd.DataFrame:
    """Plant a value in some rows."""
    values = table[column].astype(object)
    values.iloc[rows] = value
    return table.assign(**{column: values.infer_objects()})


FAULTS = {
    "nulls": (lambda t: put(t, "colour", slice(0, 10), None), NOT_NULL, "colour"),
    "more nulls": (lambda t: put(t, "income", slice(0, 30), np.nan), NOT_NULL, "income"),
    "range": (lambda t: put(t, "age", slice(3, 4), 500), BETWEEN, "age"),
    "category": (lambda t: put(t, "colour", slice(3, 4), "mauve"), IN_SET, "colour"),
    "label": (lambda t: put(t, "bought", slice(3, 4), "maybe"), IN_SET, "bought"),
    "copies": (lambda t: pd.concat([t, t.iloc[:60]], ignore_index=True), UNIQUE_ROWS, ""),
    "few rows": (lambda t: t.iloc[:200], "expect_table_row_count_to_be_between", ""),
    "swapped contents": (lambda t: t.assign(age=t["income"], income=t["age"]), BETWEEN, "age"),
    "swapped contents, other side": (lambda t: t.assign(age=t["income"], income=t["age"]), BETWEEN, "income"),
    "swapped names": (lambda t: t[["income", "age", *t.columns[2:]]], COLUMNS, ""),
    "constant number": (lambda t: t.assign(income=40_000.0), DISTINCT, "income"),
    "constant word": (lambda t: t.assign(colour="red"), DISTINCT, "colour"),
    "renamed": (lambda t: t.rename(columns={"income": "wage"}), NOT_NULL, "income"),
    "renamed by case": (lambda t: t.rename(columns={"income": "Income"}), BETWEEN, "income"),
    "extra column": (lambda t: t.assign(more=1), COLUMNS, ""),
    "text": (lambda t: t.assign(age=t["age"].astype(str)), OF_TYPE, "age"),
    "numbers": (lambda t: t.assign(colour=7), OF_TYPE, "colour"),
    "shifted": (lambda t: t.assign(age=t["age"] + 10), "expect_column_quantile_values_to_be_between", "age"),
    "other shares": (
        lambda t: t.assign(colour=np.where(np.arange(len(t)) % 30 == 0, t["colour"], "red")),
        "expect_column_kl_divergence_to_be_less_than",
        "colour",
    ),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_planted_fault_is_found_by_name(table, suite, fault):
    plant, expectation, column = FAULTS[fault]
    found = {(verdict.expectation, verdict.column) for verdict in errors(check(plant(table), suite))}
    assert (expectation, column) in found


def test_the_good_table_has_a_verdict_for_each_expectation_in_order(table, suite):
    verdicts = check(table, suite)
    assert [(verdict.expectation, verdict.column) for verdict in verdicts] == [
        (item["type"], item["kwargs"].get("column", "")) for item in suite
    ]
    assert errors(verdicts) == []
    assert all(verdict.rows == [] for verdict in verdicts)


def test_a_fault_of_one_column_is_told_of_that_column_alone(table, suite):
    failures = errors(check(put(table, "age", slice(3, 4), 500), suite))
    assert {verdict.column for verdict in failures} == {"age"}


def test_the_offending_rows_are_shown_up_to_the_bound(table, suite):
    faulty = put(table, "age", slice(3, 9), 500)
    for examples, rows in ((0, []), (2, ["3", "4"]), (50, list("345678"))):
        (verdict,) = [
            v for v in check(faulty, suite, examples=examples) if (v.expectation, v.column) == (BETWEEN, "age")
        ]
        assert [row["row"] for row in verdict.rows] == rows
    assert (verdict.rows[0]["age"], verdict.rows[0]["colour"]) == ("500", faulty["colour"][3])
    assert verdict.observed == "6 of 600 rows (500)"


def test_a_failure_is_explained_with_column_values_and_rows(table, suite):
    text = explain(errors(check(put(table, "age", slice(3, 4), 500), suite)))
    assert f"error: {BETWEEN} of column 'age': expected min_value=2, max_value=95, observed 1 of 600 rows (500)" in text
    assert "\n    row=3, age=500, " in text


def test_a_column_that_is_not_there_is_said_to_be_so(table, suite):
    failures = errors(check(table.rename(columns={"income": "wage"}), suite))
    assert {verdict.observed for verdict in failures if verdict.column == "income"} == {"no such column"}
    assert next(verdict for verdict in failures if verdict.expectation == COLUMNS).observed.count("wage") == 1


def test_a_failed_warning_is_reported_and_does_not_stop(table):
    verdicts = check(table, [entry(BETWEEN, "warning", column="age", max_value=20), entry(NOT_NULL, column="age")])
    assert [(verdict.level, verdict.success) for verdict in verdicts] == [("warning", False), ("error", True)]
    assert verdicts[0].rows
    assert errors(verdicts) == []


@pytest.mark.parametrize(
    "plant",
    [
        lambda t: put(t, "town", slice(0, 5), "secretville"),
        lambda t: put(t, "colour", slice(0, 5), None).assign(town="secretville"),
        lambda t: pd.concat([t, t.iloc[:60]], ignore_index=True).assign(town="secretville"),
        lambda t: t.assign(town=[f"secretville {row}" for row in range(len(t))]),
    ],
    ids=["in the column", "in rows of another", "in copies of rows", "in every row"],
)
def test_values_of_a_sensitive_column_are_never_told(table, suite, plant):
    verdicts = check(plant(table), suite)
    told = explain(verdicts) + str([verdict.to_json() for verdict in verdicts])
    assert errors(verdicts)
    assert "secretville" not in told


def test_what_is_expected_of_a_sensitive_column_is_masked_and_its_rows_keep_the_rest(table, suite):
    verdicts = check(put(table, "town", slice(4, 5), "secretville"), suite)
    (verdict,) = [verdict for verdict in verdicts if (verdict.expectation, verdict.column) == (IN_SET, "town")]
    assert (verdict.expected, verdict.observed) == ("***", "1 of 600 rows")
    assert (verdict.rows[0]["row"], verdict.rows[0]["town"]) == ("4", "***")
    assert verdict.rows[0]["colour"] == table["colour"][4]


def test_numbers_of_a_sensitive_column_are_never_told_even_when_they_cannot_be_compared(table, suite):
    faulty = table.assign(age=[*table["age"][:-1], "secret age"])
    verdicts = check(faulty, suite, sensitive=("age",))
    assert {verdict.column for verdict in errors(verdicts)} >= {"age"}
    assert "secret age" not in explain(verdicts)


@pytest.mark.parametrize(
    ("broken", "reason"),
    [
        (entry("expect_nothing"), "expect_nothing: expect_nothing not found"),
        (entry(NOT_NULL, colum="age"), "colum extra fields not permitted"),
        (entry(BETWEEN, column="age"), "min_value and max_value cannot both be None"),
        (entry(NOT_NULL, column="age", mostly=2), "less than or equal to 1"),
    ],
)
def test_an_expectation_that_cannot_be_built_is_told_with_its_number(table, broken, reason):
    with pytest.raises(DataError) as caught:
        check(table, [entry(NOT_NULL, column="age"), broken])
    assert f"suite expectation 1, {broken['type']}: " in str(caught.value)
    assert reason in str(caught.value)
    assert str(caught.value).endswith("mend or remove it")


def test_a_suite_comes_back_from_its_file(tmp_path, suite):
    save_suite(tmp_path / "suite.json", suite)
    assert load_suite(tmp_path / "suite.json") == suite


def test_a_suite_that_is_not_there_names_the_command_that_proposes_one(tmp_path):
    with pytest.raises(DataError, match="does not exist: write a first suite with `ann suite propose`"):
        load_suite(tmp_path / "suite.json")


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ({"expectations": []}, "holds no expectation: write a first suite with `ann suite propose`"),
        ({}, "holds no expectation"),
        ({"expectations": [entry(NOT_NULL, column="a"), {"type": NOT_NULL}]}, "expectation 1 must hold type, kwargs"),
        ({"expectations": [entry(NOT_NULL, "fatal", column="a")]}, "level (error or warning)"),
        ({"expectations": ["text"]}, "expectation 0 must hold type, kwargs and level"),
    ],
)
def test_a_suite_that_lacks_something_is_refused(tmp_path, content, expected):
    save_json(tmp_path / "suite.json", content)
    with pytest.raises(DataError, match=re.escape(expected)):
        load_suite(tmp_path / "suite.json")


def test_a_torn_suite_is_refused(tmp_path):
    (tmp_path / "suite.json").write_text('{"format": 1, "expect')
    with pytest.raises(StageError, match=r"suite\.json is not JSON"):
        load_suite(tmp_path / "suite.json")
