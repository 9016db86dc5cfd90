"""The drop of a variant: of classes in the metric's own unit, of numbers a share of what the plain network has."""

from pathlib import Path

import numpy as np
import onnx
import pytest
from sklearn import metrics
from torch import nn

from ann.compression.choice import Candidate, objection
from ann.compression.recipes import Variant
from ann.config import load_params
from ann.config.layers import MLPParams
from ann.data.target import Target, classification
from ann.evaluation.intervals import Interval
from ann.stages.compress import _entry

PRICE = Target("regression", ("price",), shift=(10.0,), scale=(2.0,))
ROWS = 80


def interval(entry: dict[str, object], name: str) -> Interval:
    found = entry[name]
    assert isinstance(found, dict)
    return Interval(**found)


@pytest.fixture
def entry_of(params_file: Path, tmp_path: Path):
    """What choice.json says of a variant that answers so, beside a plain network that answers so."""
    variant = Variant("small", "int8", onnx.ModelProto(), nn.Identity(), MLPParams(), quantized=True)
    (tmp_path / "variants").mkdir()
    (tmp_path / "variants" / "small.onnx").write_bytes(b"12345")

    def entry(
        target: Target, metric: str, answers: np.ndarray, plain: np.ndarray, truth: np.ndarray
    ) -> dict[str, object]:
        return _entry(variant, answers, plain, truth, target, metric, load_params(params_file), tmp_path)

    return entry


def numbers() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return answers (N, 1, 1) of a variant and of the plain network, and the truth (N, 1)."""
    random = np.random.default_rng(0)
    truth = random.normal(10, 2, (ROWS, 1))
    plain = truth[:, :, None] + random.normal(0, 0.5, (ROWS, 1, 1))
    return plain + random.normal(0, 0.1, plain.shape), plain, truth


def test_a_drop_of_numbers_is_a_share_of_the_plain_networks_error(entry_of) -> None:
    answers, plain, truth = numbers()
    entry = entry_of(PRICE, "rmse", answers, plain, truth)
    ours, theirs = (metrics.root_mean_squared_error(truth, found[..., 0]) for found in (answers, plain))
    assert interval(entry, "quality").value == pytest.approx(ours)
    drop = interval(entry, "drop")
    assert drop.value == pytest.approx((ours - theirs) / theirs)
    assert drop.low <= drop.value <= drop.high
    assert entry["bytes"] == 5


def test_the_unit_of_a_number_changes_no_drop(entry_of) -> None:
    answers, plain, truth = numbers()
    small, large = (
        interval(entry_of(PRICE, "mae", *(factor * part for part in (answers, plain, truth))), "drop")
        for factor in (1, 1e6)
    )
    assert (large.value, large.low, large.high) == pytest.approx((small.value, small.low, small.high))


def test_a_metric_that_rises_drops_as_a_share_too(entry_of) -> None:
    answers, plain, truth = numbers()
    ours, theirs = (metrics.r2_score(truth, found[..., 0]) for found in (answers, plain))
    assert interval(entry_of(PRICE, "r2", answers, plain, truth), "drop").value == pytest.approx(
        (theirs - ours) / theirs
    )


def test_beside_a_network_without_error_only_one_without_error_may_be_shipped(entry_of) -> None:
    answers, _, truth = numbers()
    exact = truth[:, :, None]
    for found, refused in ((answers, True), (exact, False)):
        entry = entry_of(PRICE, "rmse", found, exact, truth)
        candidate = Candidate("small", interval(entry, "quality"), interval(entry, "drop"), 5, timings={})
        assert bool(objection(candidate, 0.1, "bytes")) is refused


def test_a_drop_of_classes_is_in_the_unit_of_the_metric(entry_of) -> None:
    truth = np.arange(ROWS) % 2
    right = np.eye(2)[truth] * 0.8 + 0.1
    some_wrong = right.copy()
    some_wrong[:8] = some_wrong[:8, ::-1]
    more_wrong = right.copy()
    more_wrong[:20] = more_wrong[:20, ::-1]
    entry = entry_of(classification(2), "accuracy", more_wrong, some_wrong, truth)
    assert interval(entry, "drop").value == pytest.approx(12 / ROWS)
