"""The drop of a variant: of classes in the metric's own unit, of numbers a share of what the plain network has."""

import numpy as np
import pytest
from sklearn import metrics

from ann.compression.choice import Candidate, objection
from ann.compression.footprint import Footprint
from ann.compression.judge import Judge
from ann.data.target import Target, classification
from ann.evaluation.intervals import Interval

PRICE = Target("regression", ("price",), shift=(10.0,), scale=(2.0,))
ROWS = 80


def judged(
    target: Target, metric: str, answers: np.ndarray, plain: np.ndarray, truth: np.ndarray
) -> tuple[Interval, Interval]:
    """Return quality and drop of some answers beside those of the plain network."""
    judge = Judge(target, metric, {}, truth, plain, resamples=200, confidence=0.95, seed=7)
    return judge.quality(answers), judge.drop(answers)


def numbers() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return answers (N, 1, 1) of a variant and of the plain network, and the truth (N, 1)."""
    random = np.random.default_rng(0)
    truth = random.normal(10, 2, (ROWS, 1))
    plain = truth[:, :, None] + random.normal(0, 0.5, (ROWS, 1, 1))
    return plain + random.normal(0, 0.1, plain.shape), plain, truth


def test_a_drop_of_numbers_is_a_share_of_the_plain_networks_error() -> None:
    answers, plain, truth = numbers()
    quality, drop = judged(PRICE, "rmse", answers, plain, truth)
    ours, theirs = (metrics.root_mean_squared_error(truth, found[..., 0]) for found in (answers, plain))
    assert quality.value == pytest.approx(ours)
    assert drop.value == pytest.approx((ours - theirs) / theirs)
    assert drop.low <= drop.value <= drop.high


def test_the_unit_of_a_number_changes_no_drop() -> None:
    answers, plain, truth = numbers()
    small, large = (
        judged(PRICE, "mae", *(factor * part for part in (answers, plain, truth)))[1] for factor in (1, 1e6)
    )
    assert (large.value, large.low, large.high) == pytest.approx((small.value, small.low, small.high))


def test_a_metric_that_rises_drops_as_a_share_too() -> None:
    answers, plain, truth = numbers()
    ours, theirs = (metrics.r2_score(truth, found[..., 0]) for found in (answers, plain))
    assert judged(PRICE, "r2", answers, plain, truth)[1].value == pytest.approx((theirs - ours) / theirs)


def test_beside_a_network_without_error_only_one_without_error_may_be_shipped() -> None:
    answers, _, truth = numbers()
    exact = truth[:, :, None]
    for found, refused in ((answers, True), (exact, False)):
        quality, drop = judged(PRICE, "rmse", found, exact, truth)
        candidate = Candidate("small", quality, drop, 5, 100.0, {}, Footprint(12.0, 5.0))
        assert bool(objection(candidate, 0.1, "bytes")) is refused


def test_a_drop_of_classes_is_in_the_unit_of_the_metric() -> None:
    truth = np.arange(ROWS) % 2
    right = np.eye(2)[truth] * 0.8 + 0.1
    some_wrong = right.copy()
    some_wrong[:8] = some_wrong[:8, ::-1]
    more_wrong = right.copy()
    more_wrong[:20] = more_wrong[:20, ::-1]
    _, drop = judged(classification(2), "accuracy", more_wrong, some_wrong, truth)
    assert drop.value == pytest.approx(12 / ROWS)
