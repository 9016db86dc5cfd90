"""Metrics by group."""

import numpy as np
import pytest

from ann.data.target import classification
from ann.evaluation.intervals import metric_intervals
from ann.evaluation.scoring import score
from ann.evaluation.slices import slice_metrics

TWO = classification(2)
SETTINGS = {"resamples": 100, "confidence": 0.95, "seed": 2}


def case(groups: dict[str, int], classes: int = 2) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    random = np.random.default_rng(0)
    values = random.permutation(np.repeat(list(groups), list(groups.values())))
    target = random.integers(classes, size=len(values))
    raw = random.random((len(values), classes)) + 0.5 * np.eye(classes)[target]
    return values, raw / raw.sum(axis=1, keepdims=True), target


def test_each_value_has_an_entry_with_its_rows() -> None:
    values, probabilities, target = case({"south": 120, "north": 80, "": 60})
    entries = slice_metrics(TWO, "town", values, ["accuracy"], probabilities, target, **SETTINGS)
    assert [(entry["column"], entry["value"], entry["rows"]) for entry in entries] == [
        ("town", "", 60),
        ("town", "north", 80),
        ("town", "south", 120),
    ]


@pytest.mark.parametrize("classes", [2, 3])
def test_metrics_are_those_of_the_group_alone(classes: int) -> None:
    values, probabilities, target = case({"a": 100, "b": 100}, classes)
    names = ["accuracy", "log_loss"]
    entries = slice_metrics(classification(classes), "town", values, names, probabilities, target, **SETTINGS)
    for entry in entries:
        rows = values == entry["value"]
        assert list(entry["metrics"]) == names
        assert entry["metrics"]["log_loss"]["value"] == pytest.approx(
            score(classification(classes), "log_loss", probabilities[rows], target[rows]), rel=1e-9
        )
        alone = metric_intervals(classification(classes), names, probabilities[rows], target[rows], **SETTINGS)
        assert entry["metrics"] == {name: interval.to_json() for name, interval in alone.items()}
    first, second = (entry["metrics"]["log_loss"]["value"] for entry in entries)
    assert first != second


def test_a_small_group_is_listed_without_metrics() -> None:
    values, probabilities, target = case({"large": 50, "small": 49})
    large, small = slice_metrics(TWO, "town", values, ["accuracy"], probabilities, target, **SETTINGS)
    assert "metrics" in large
    assert small == {"column": "town", "value": "small", "rows": 49}


def test_a_group_that_lacks_a_class_is_listed_without_metrics() -> None:
    values, probabilities, target = case({"a": 60, "b": 60}, classes=3)
    target[(values == "a") & (target == 2)] = 0
    lacking, full = slice_metrics(classification(3), "town", values, ["accuracy"], probabilities, target, **SETTINGS)
    assert lacking == {"column": "town", "value": "a", "rows": 60}
    assert full["metrics"]["accuracy"]["value"] > 0.5
