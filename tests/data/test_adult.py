"""The committed suite on the bundled data: it passes, and each planted fault is stopped."""

from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest

from ann.data.sources import read_table
from ann.data.validation import errors, load_suite, validate_table
from ann.project import Project

REPOSITORY = Path(__file__).resolve().parent.parent.parent


@pytest.fixture(scope="module")
def adult() -> pd.DataFrame:
    project = Project.at(REPOSITORY)
    return read_table(project.params().data, project)


def failures(table: pd.DataFrame) -> set[tuple[str, str]]:
    verdicts = validate_table(table, load_suite(REPOSITORY / "suite.json"), examples=1, sensitive=("race", "gender"))
    return {(verdict.expectation.removeprefix("expect_"), verdict.column) for verdict in errors(verdicts)}


def test_the_committed_suite_passes_on_the_bundled_data(adult: pd.DataFrame) -> None:
    assert failures(adult) == set()


def swapped(rows: pd.DataFrame) -> pd.DataFrame:
    return rows.assign(**{"age": rows["hours-per-week"], "hours-per-week": rows["age"]})


FAULTS: dict[str, tuple[Callable[[pd.DataFrame], pd.DataFrame], tuple[str, str]]] = {
    "nulls": (
        lambda rows: rows.assign(age=rows["age"].where(rows.index > 3000)),
        ("column_values_to_not_be_null", "age"),
    ),
    "range": (
        lambda rows: rows.assign(age=rows["age"].where(rows.index != 5, -5)),
        ("column_values_to_be_between", "age"),
    ),
    "category": (
        lambda rows: rows.assign(workclass=rows["workclass"].where(rows.index != 5, "Pirate")),
        ("column_values_to_be_in_set", "workclass"),
    ),
    "duplicates": (
        lambda rows: pd.concat([rows, rows.head(1000)], ignore_index=True),
        ("compound_columns_to_be_unique", ""),
    ),
    "swapped": (swapped, ("column_quantile_values_to_be_between", "hours-per-week")),
    "constant": (
        lambda rows: rows.assign(**{"hours-per-week": 40}),
        ("column_unique_value_count_to_be_between", "hours-per-week"),
    ),
    "target": (
        lambda rows: rows.assign(income=rows["income"].where(rows.index % 2 == 0, ">50K")),
        ("column_kl_divergence_to_be_less_than", "income"),
    ),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_planted_fault_is_stopped(adult: pd.DataFrame, fault: str) -> None:
    plant, expected = FAULTS[fault]
    assert expected in failures(plant(adult))
