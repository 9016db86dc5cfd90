"""Bootstrap intervals: what is drawn, that they hold what they should, and that pairs are compared as pairs."""

from math import sqrt

import numpy as np
import pytest

from ann.data.target import Target, classification
from ann.evaluation.intervals import Interval, bounds, metric_intervals, paired_gain, resample_weights
from ann.evaluation.scoring import score

TWO = classification(2)
SETTINGS = {"resamples": 500, "confidence": 0.95, "seed": 1}


def answers(rows: int, accuracy: float, seed: int = 0, classes: int = 2) -> tuple[np.ndarray, np.ndarray]:
    """Return probabilities whose argmax is right with chance `accuracy`, whatever the class."""
    random = np.random.default_rng(seed)
    target = random.integers(classes, size=rows)
    label = np.where(random.random(rows) < accuracy, target, (target + 1) % classes)
    confidence = random.uniform(0.6, 0.95, rows)
    probabilities = np.repeat(((1 - confidence) / (classes - 1))[:, None], classes, axis=1)
    probabilities[np.arange(rows), label] = confidence
    return probabilities, target


def test_every_resample_has_as_many_rows_and_as_many_of_each_class() -> None:
    target = np.random.default_rng(0).choice(4, size=300, p=[0.7, 0.2, 0.09, 0.01])
    weights = np.concatenate(list(resample_weights(classification(4), target, 50, seed=3)))
    assert weights.shape == (50, 300)
    assert (weights.sum(axis=1) == 300).all()
    for label in range(4):
        assert (weights[:, target == label].sum(axis=1) == (target == label).sum()).all()
    assert (weights == weights.round()).all()
    assert (weights >= 0).all()


def test_rows_are_drawn_independently_with_equal_chance() -> None:
    weights = np.concatenate(list(resample_weights(TWO, np.zeros(100, dtype=int), 4000, seed=0)))
    np.testing.assert_allclose(weights.mean(axis=0), 1, atol=0.1)  # standard error 0.016
    assert weights.var() == pytest.approx(1 - 1 / 100, rel=0.02)  # multinomial counts: n p (1 - p)
    assert len(np.unique(weights, axis=0)) == 4000


def test_resamples_come_in_bounded_pieces_and_none_is_lost() -> None:
    pieces = [len(weights) for weights in resample_weights(TWO, np.zeros(400_000, dtype=int), 5, seed=0)]
    assert sum(pieces) == 5
    assert max(pieces) <= 2


def test_the_seed_decides_the_resamples() -> None:
    probabilities, target = answers(200, 0.8)
    first = metric_intervals(TWO, ["auc"], probabilities, target, resamples=200, confidence=0.9, seed=5)
    assert metric_intervals(TWO, ["auc"], probabilities, target, resamples=200, confidence=0.9, seed=5) == first
    assert metric_intervals(TWO, ["auc"], probabilities, target, resamples=200, confidence=0.9, seed=6) != first


def test_the_value_is_the_plain_metric() -> None:
    probabilities, target = answers(200, 0.8)
    found = metric_intervals(TWO, ["accuracy", "log_loss"], probabilities, target, **SETTINGS)
    assert list(found) == ["accuracy", "log_loss"]
    for name, interval in found.items():
        assert interval.value == score(TWO, name, probabilities, target)
        assert interval.low < interval.value < interval.high
        exact = {"value": interval.value, "low": interval.low, "high": interval.high}
        assert interval.to_json() == pytest.approx(exact, rel=1e-9)


def test_written_figures_are_rounded_to_what_two_processes_agree_on() -> None:
    assert Interval(0.30279790582560084, 1 / 3, 2e9 / 3).to_json() == {
        "value": 0.3027979058,
        "low": 0.3333333333,
        "high": 666666666.7,
    }
    assert Interval(0.25, -1.0, 0.5).negated() == Interval(-0.25, -0.5, 1.0)


def test_the_interval_of_accuracy_is_close_to_the_normal_approximation() -> None:
    probabilities, target = answers(2000, 0.8)
    interval = metric_intervals(TWO, ["accuracy"], probabilities, target, resamples=4000, confidence=0.95, seed=0)
    half = 1.96 * sqrt(interval["accuracy"].value * (1 - interval["accuracy"].value) / 2000)
    assert interval["accuracy"].low == pytest.approx(interval["accuracy"].value - half, abs=0.1 * half)
    assert interval["accuracy"].high == pytest.approx(interval["accuracy"].value + half, abs=0.1 * half)


def test_more_confidence_gives_a_wider_interval() -> None:
    probabilities, target = answers(300, 0.8)
    narrow, wide = (
        metric_intervals(TWO, ["accuracy"], probabilities, target, **{**SETTINGS, "confidence": confidence})["accuracy"]
        for confidence in (0.8, 0.99)
    )
    assert wide.low < narrow.low < narrow.high < wide.high


def test_bounds_cut_the_same_share_off_both_ends() -> None:
    draws = np.random.default_rng(0).permutation(1001.0 + np.arange(1001))
    assert bounds(draws, 0.9) == (pytest.approx(1051), pytest.approx(1951))


def test_95_percent_intervals_hold_the_true_accuracy_as_often_as_they_say() -> None:
    held = 0
    for draw in range(200):
        probabilities, target = answers(300, 0.8, seed=draw)
        [interval] = metric_intervals(
            TWO, ["accuracy"], probabilities, target, resamples=200, confidence=0.95, seed=draw
        ).values()
        held += interval.low <= 0.8 <= interval.high
    assert 0.88 <= held / 200 <= 0.99


@pytest.mark.parametrize("name", ["accuracy", "auc", "log_loss", "brier", "ece"])
def test_a_model_gains_exactly_nothing_over_itself(name: str) -> None:
    probabilities, target = answers(200, 0.8)
    gain = paired_gain(TWO, name, probabilities, probabilities.copy(), target, **SETTINGS)
    assert (gain.value, gain.low, gain.high) == (0.0, 0.0, 0.0)


@pytest.mark.parametrize("name", ["accuracy", "auc", "f1", "log_loss", "brier"])
@pytest.mark.parametrize("classes", [2, 3])
def test_a_positive_gain_is_better_whichever_way_the_metric_points(name: str, classes: int) -> None:
    good, target = answers(400, 0.9, classes=classes)
    bad = np.full_like(good, 0.1 / (classes - 1))
    bad[np.arange(400), (target + (np.arange(400) % 2)) % classes] = 0.9  # half of the rows are wrong
    gain = paired_gain(classification(classes), name, good, bad, target, **SETTINGS)
    assert 0 < gain.low < gain.value < gain.high
    loss = paired_gain(classification(classes), name, bad, good, target, **SETTINGS)
    assert (loss.value, loss.low, loss.high) == pytest.approx((-gain.value, -gain.high, -gain.low), abs=1e-12)


def test_a_gain_is_the_difference_of_the_plain_metrics() -> None:
    ours, target = answers(300, 0.8, seed=1)
    theirs = np.roll(ours, 1, axis=1)
    gain = paired_gain(TWO, "log_loss", ours, theirs, target, **SETTINGS)
    assert gain.value == pytest.approx(score(TWO, "log_loss", theirs, target) - score(TWO, "log_loss", ours, target))


def test_pairs_share_their_resamples_so_a_constant_shift_has_no_spread() -> None:
    probabilities, target = answers(300, 0.8)
    true = probabilities[np.arange(300), target]
    sharper = np.empty_like(probabilities)
    sharper[np.arange(300), target], sharper[np.arange(300), 1 - target] = 0.9 * true, 1 - 0.9 * true
    gain = paired_gain(TWO, "log_loss", probabilities, sharper, target, **SETTINGS)
    assert (gain.value, gain.low, gain.high) == pytest.approx([-np.log(0.9)] * 3)


NUMBER = Target("regression", ("y",), shift=(0.0,), scale=(1.0,))


def forecast(horizon: int) -> Target:
    return Target("forecast", ("y",), horizon=horizon)


def drawn(target: Target, truth: np.ndarray, resamples: int, seed: int = 0) -> np.ndarray:
    return np.concatenate(list(resample_weights(target, truth, resamples, seed)))


def width(target: Target, errors: np.ndarray, metric: str) -> float:
    """Return how wide the interval of a metric is for answers of 0 and these errors."""
    answers = np.zeros((len(errors), 1, 1))
    settings = {**SETTINGS, "resamples": 2000}
    interval = metric_intervals(target, [metric], answers, errors[:, None], **settings)[metric]
    return interval.high - interval.low


@pytest.mark.parametrize("target", [NUMBER, Target("multilabel", ("a",))], ids=lambda target: target.task)
def test_rows_without_classes_are_drawn_without_strata(target: Target) -> None:
    truth = (np.arange(100) % 2).astype(np.float64)[:, None]
    weights = drawn(target, truth, 4000)
    assert (weights.sum(axis=1) == 100).all()
    np.testing.assert_allclose(weights.mean(axis=0), 1, atol=0.1)  # standard error 0.016
    ones = weights[:, truth[:, 0] == 1].sum(axis=1)
    assert ones.std() == pytest.approx(sqrt(100 * 0.5 * 0.5), rel=0.05)  # binomial; strata would give 0


@pytest.mark.parametrize(("rows", "horizon"), [(97, 10), (100, 9), (7, 3), (5, 4)])
def test_windows_are_drawn_in_blocks_of_the_horizon_on_a_ring(rows: int, horizon: int) -> None:
    weights = drawn(forecast(horizon), np.zeros((rows, horizon)), 200)
    blocks = np.stack([np.roll(np.arange(rows) < horizon, start) for start in range(rows)]).astype(float)
    starts = np.linalg.solve(blocks.T, weights.T)  # rows and horizon have no divisor in common, so only one set fits
    np.testing.assert_allclose(starts, starts.round(), atol=1e-6)
    assert (starts.round() >= 0).all()
    assert (starts.round().sum(axis=0) == -(-rows // horizon)).all()


@pytest.mark.parametrize(("rows", "horizon"), [(5, 5), (5, 9), (1, 3)])
def test_fewer_windows_than_a_block_are_all_drawn_once(rows: int, horizon: int) -> None:
    assert (drawn(forecast(horizon), np.zeros((rows, horizon)), 20) == 1).all()


@pytest.mark.parametrize(("rows", "horizon"), [(40, 7), (24, 12), (30, 1)])
def test_every_window_is_as_likely_as_another(rows: int, horizon: int) -> None:
    weights = drawn(forecast(horizon), np.zeros((rows, horizon)), 20_000)
    expected = -(-rows // horizon) * horizon / rows
    np.testing.assert_allclose(weights.mean(axis=0), expected, atol=0.05)  # standard error 0.007


def test_overlapping_windows_have_a_wider_interval_than_independent_rows() -> None:
    random, horizon = np.random.default_rng(0), 20
    errors = np.convolve(random.normal(size=2000 + horizon), np.ones(horizon) / sqrt(horizon), mode="valid")[:2000]
    assert width(forecast(horizon), errors, "rmse") > 2.5 * width(NUMBER, errors, "rmse")


def test_independent_windows_have_about_the_interval_of_independent_rows() -> None:
    errors = np.random.default_rng(0).normal(size=2000)
    assert width(forecast(20), errors, "mae") == pytest.approx(width(NUMBER, errors, "mae"), rel=0.2)


def test_block_intervals_of_overlapping_errors_hold_the_truth_about_as_often_as_they_say() -> None:
    held, horizon = 0, 10
    for draw in range(200):
        random = np.random.default_rng(draw)
        errors = np.convolve(random.normal(size=400 + horizon), np.ones(horizon) / horizon, mode="valid")[:400]
        settings = {"resamples": 200, "confidence": 0.95, "seed": draw}
        found = metric_intervals(forecast(horizon), ["mae"], np.zeros((400, 1, 1)), errors[:, None], **settings)["mae"]
        held += found.low <= sqrt(2 / np.pi / horizon) <= found.high
    assert 0.85 <= held / 200 <= 0.99


def test_a_gain_in_errors_is_positive_where_ours_are_smaller() -> None:
    random = np.random.default_rng(0)
    truth = random.normal(size=(300, 1))
    near, far = (truth[..., None] + spread * random.normal(size=(300, 1, 1)) for spread in (0.1, 1.0))
    gain = paired_gain(NUMBER, "rmse", near, far, truth, **SETTINGS)
    assert 0 < gain.low < gain.value < gain.high
    assert gain.value == pytest.approx(score(NUMBER, "rmse", far, truth) - score(NUMBER, "rmse", near, truth))


def test_an_interval_can_be_told_in_another_unit() -> None:
    assert Interval(1.0, 0.5, 2.0).scaled(4) == Interval(4.0, 2.0, 8.0)
