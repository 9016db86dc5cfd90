"""`data` and `prepare.split`: what fits together, and what each refusal says."""

from typing import Any

import pytest
from pydantic import TypeAdapter, ValidationError

from ann.config.data import DataParams, Windows
from ann.config.model import AutoParams, ModelParams, read_model
from ann.config.split import (
    AutoSplit,
    ColumnSplit,
    FilesSplit,
    GroupSplit,
    HashSplit,
    RandomSplit,
    SplitParams,
    StratifiedSplit,
    TimeSplit,
)

SPLIT: TypeAdapter[SplitParams] = TypeAdapter(SplitParams)
MODEL: TypeAdapter[ModelParams] = TypeAdapter(ModelParams)
WINDOWS = {"length": 8, "horizon": 2}


def test_one_target_or_several_are_named() -> None:
    assert DataParams(target="y").targets == ("y",)
    assert DataParams(target=["y", "z"]).targets == ("y", "z")
    assert DataParams(target="y").task == "auto"


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"target": ""}, "at least 1 character"),
        ({"target": []}, "at least 1 item"),
        ({"target": ["y", "z", "y"]}, "target names must differ, got y, z, y"),
        ({"task": "forecast"}, "'auto', 'binary', 'multiclass', 'multilabel' or 'regression'"),
        (
            {"quantiles": [0.1, 0.9]},
            r"quantiles must rise and be odd in number.* \[0\.1, 0\.5, 0\.9\], got \[0\.1, 0\.9\]",
        ),
        ({"quantiles": [0.5, 0.1, 0.9]}, r"quantiles must rise .*got \[0\.5, 0\.1, 0\.9\]"),
        ({"quantiles": [0.5, 0.5, 0.9]}, r"quantiles must rise .*got \[0\.5, 0\.5, 0\.9\]"),
        ({"quantiles": [0.0]}, "greater than 0"),
        ({"quantiles": [1.0]}, "less than 1"),
        ({"quantiles": [0.5], "task": "multilabel"}, "quantiles are of numbers, but task is multilabel: remove one"),
        ({"windows": WINDOWS, "task": "regression"}, "windows make a forecast, but task is regression: remove one"),
        ({"windows": {**WINDOWS, "season": 9}}, r"windows\.season is 9 rows, more than the 8 .*raise windows\.length"),
        ({"windows": {"length": 8}}, "horizon"),
        ({"windows": {"length": 1, "horizon": 1}}, "greater than or equal to 2"),
    ],
)
def test_a_mistake_in_data_is_refused_with_the_rule(values: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        DataParams(**{"target": "y", **values})


def test_quantiles_go_with_numbers_and_forecasts() -> None:
    assert DataParams(target="y", quantiles=[0.5], task="regression").quantiles == (0.5,)
    data = DataParams(target="y", quantiles=[0.1, 0.5, 0.9], windows={**WINDOWS, "season": 8})
    assert data.windows == Windows(length=8, horizon=2, stride=1, season=8)


@pytest.mark.parametrize(
    ("written", "read"),
    [
        ({}, AutoSplit()),
        ({"valid": 0.1, "test": 0.3}, AutoSplit(valid=0.1, test=0.3)),
        ({"name": "random"}, RandomSplit(name="random")),
        ({"name": "stratified", "test": 0.5}, StratifiedSplit(name="stratified", test=0.5)),
        ({"name": "group", "column": "person"}, GroupSplit(name="group", column="person")),
        ({"name": "time"}, TimeSplit(name="time", column=None)),
        ({"name": "hash", "columns": ["id"]}, HashSplit(name="hash", columns=("id",))),
        ({"name": "column", "column": "part"}, ColumnSplit(name="column", column="part", valid="valid")),
        ({"name": "files", "test": ["test/*"]}, FilesSplit(name="files", test=("test/*",), valid=())),
    ],
)
def test_the_name_of_a_split_chooses_its_fields(written: dict[str, Any], read: SplitParams) -> None:
    assert SPLIT.validate_python(written) == read
    assert type(SPLIT.validate_python(written)) is type(read)


@pytest.mark.parametrize(
    ("written", "message"),
    [
        ({"valid": 0.5, "test": 0.5}, "valid \\+ test must be below 1 to leave rows for training, got 1"),
        ({"name": "time", "valid": 0.9}, "valid \\+ test must be below 1 .*got 1.1"),
        ({"valid": 0}, "greater than 0"),
        ({"name": "random", "column": "id"}, "Extra inputs are not permitted"),
        ({"name": "group"}, "column"),
        ({"name": "hash", "columns": []}, "at least 1 item"),
        ({"name": "files", "test": []}, "at least 1 item"),
        (
            {"name": "column", "column": "part", "valid": "test"},
            "train, valid and test must differ, got 'train', 'test', 'test'",
        ),
        ({"name": "kfold"}, "'auto', 'random', 'stratified', 'group', 'time', 'hash', 'column', 'files'"),
    ],
)
def test_a_mistake_in_a_split_is_refused_with_the_rule(written: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        SPLIT.validate_python(written)


def test_without_a_family_the_kinds_of_column_choose_one() -> None:
    assert MODEL.validate_python({}) == AutoParams(family="auto")


def test_what_a_stage_wrote_names_an_architecture() -> None:
    model = MODEL.validate_python({"family": "tabular", "members": 5})
    assert read_model(model.model_dump(mode="json")) == model
    with pytest.raises(ValidationError, match="auto"):
        read_model({"family": "auto"})
