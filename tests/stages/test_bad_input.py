"""Mistakes in data and parameters: one clear message, nothing half-written. Each stage by itself, in this process."""

import json
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest

from ann.errors import AnnError
from ann.pipeline import Pipeline
from ann.project import Project


def attempt(root: Path) -> str:
    """Run the stages until one refuses, and return its message; nothing that it would have written may be there."""
    pipeline = Pipeline(Project.at(root))
    pipeline.track_data()
    try:
        for name in pipeline.stages():
            pipeline.run(name)
    except AnnError as error:
        message = f"{name}: {error}"
    else:
        return "done"
    assert not list((root / "build").glob(".*"))
    return message


def change(root: Path, edit: Callable[[pd.DataFrame], pd.DataFrame]) -> None:
    path = root / "data" / "shop.csv"
    edit(pd.read_csv(path, keep_default_na=False)).to_csv(path, index=False)


def swapped(rows: pd.DataFrame) -> pd.DataFrame:
    return rows.assign(age=rows["income"].replace("", "30"), income=rows["age"])


PLANTED = {
    "nulls": (lambda rows: rows.assign(age=rows["age"].where(rows.index > 60, "")), "not_be_null of column 'age'"),
    "range": (lambda rows: rows.assign(age=rows["age"].where(rows.index != 3, 900)), "be_between of column 'age'"),
    "category": (
        lambda rows: rows.assign(colour=rows["colour"].where(rows.index != 3, "pink")),
        "observed 1 of 600 rows (pink)",
    ),
    "duplicates": (lambda rows: pd.concat([rows, rows.head(100)]), "compound_columns_to_be_unique of the table"),
    "swapped": (swapped, "of column 'income'"),
    "constant": (lambda rows: rows.assign(colour="red"), "unique_value_count_to_be_between of column 'colour'"),
    "renamed": (lambda rows: rows.rename(columns={"age": "Age"}), "of column 'age': "),
    "text": (
        lambda rows: rows.assign(age=rows["age"].astype(str).where(rows.index != 3, "old")),
        "of_type of column 'age'",
    ),
    "one class": (lambda rows: rows.assign(bought="no"), "of column 'bought'"),
}


@pytest.mark.parametrize("fault", PLANTED)
def test_a_fault_planted_in_the_data_is_stopped_by_validate(project: Path, fault: str) -> None:
    edit, expected = PLANTED[fault]
    change(project, edit)
    message = attempt(project)
    assert message.startswith("validate: the data breaks")
    assert expected in message
    assert (project / "build" / "validate" / "docs" / "index.html").exists()
    assert not (project / "build" / "validate" / "verdict.json").exists()


def test_offending_rows_are_shown_with_sensitive_values_masked(project: Path) -> None:
    change(project, PLANTED["range"][0])
    message = attempt(project)
    assert "row=3, age=900" in message
    assert "town=***" in message


def without_suite(root: Path) -> None:
    """Leave the row count as the only expectation, so that later stages see the data."""
    kind = "expect_table_row_count_to_be_between"
    suite = json.dumps({"format": 1, "expectations": [{"type": kind, "level": "error", "kwargs": {"min_value": 1}}]})
    (root / "suite.json").write_text(suite)


MISTAKES = {
    "one class": (lambda rows: rows.assign(bought="no"), "must have at least two classes, got only 'no'"),
    "target is an id": (
        lambda rows: rows.assign(bought=[f"id-{i}" for i in rows.index]),
        "looks like an id, not a class",
    ),
    "target missing": (
        lambda rows: rows.assign(bought=rows["bought"].where(rows.index != 7, "")),
        "is missing in 1 rows, first in row 7",
    ),
    "no target": (
        lambda rows: rows.rename(columns={"bought": "buys"}),
        "has no column 'bought', which data.target names",
    ),
    "rare class": (
        lambda rows: rows.assign(bought=rows["bought"].where(rows.index != 7, "maybe")),
        "too few to stand in train, valid and test",
    ),
    "empty column": (lambda rows: rows.assign(age=""), "column 'age'"),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_that_the_suite_lets_through_is_told_by_the_stage_that_meets_it(project: Path, mistake: str) -> None:
    edit, expected = MISTAKES[mistake]
    without_suite(project)
    change(project, edit)
    assert expected in attempt(project)


def test_an_empty_file_is_told(project: Path) -> None:
    (project / "data" / "shop.csv").write_text("")
    assert "shop.csv is empty: it must have a header line and rows" in attempt(project)


def test_a_header_without_rows_is_told(project: Path) -> None:
    (project / "data" / "shop.csv").write_text("age,income,colour,town,member,bought\n")
    assert "shop.csv has no rows" in attempt(project)


PARAMETERS = {
    "batch_size: 64": ("batch_size: 5000", "train: train.batch_size: 5000 is more than the"),
    "max_drop: 0.1": ("max_drop: 0.1\n  metric: rmse", "compress: metric 'rmse' does not exist for a binary task"),
}


@pytest.mark.parametrize("before", PARAMETERS)
def test_a_parameter_that_does_not_fit_the_data_is_told_by_its_stage(project: Path, before: str) -> None:
    after, expected = PARAMETERS[before]
    path = project / "params.yaml"
    path.write_text(path.read_text().replace(before, after))
    assert expected in attempt(project)


def test_a_suite_that_is_missing_is_told_with_the_command(project: Path) -> None:
    (project / "suite.json").unlink()
    assert "ann suite propose" in attempt(project)


def test_warnings_are_reported_and_go_on(project: Path) -> None:
    text = (project / "suite.json").read_text()
    (project / "suite.json").write_text(text.replace('"level": "error"', '"level": "warning"'))
    change(project, PLANTED["range"][0])
    pipeline = Pipeline(Project.at(project))
    pipeline.track_data()
    assert pipeline.run("validate").how == "ran"
    assert "be_between" in (project / "build" / "validate" / "report.json").read_text()
