"""Metrics of numbers against scikit-learn and NumPy on repeated rows, and against values worked out by hand."""

import numpy as np
import pandas as pd
import pytest
from sklearn import metrics as sk

from ann.errors import DataError
from ann.evaluation.numbers import LOWER_IS_BETTER, number_metrics, per_target, prediction_points

QUANTILES = (0.1, 0.5, 0.9)
NAIVE = np.array([0.5, 2.0, 3.0])
METRICS = number_metrics(quantiles=QUANTILES, naive=NAIVE)
POINT_METRICS = ("rmse", "mae", "r2", "median_ae")

ORACLES = {
    "rmse": lambda a, y: np.sqrt(sk.mean_squared_error(y, a[..., 1])),
    "mae": lambda a, y: sk.mean_absolute_error(y, a[..., 1]),
    "r2": lambda a, y: sk.r2_score(y, a[..., 1]),
    "median_ae": lambda a, y: sk.median_absolute_error(y.ravel(), a[..., 1].ravel()),
    "pinball": lambda a, y: np.mean([sk.mean_pinball_loss(y, a[..., q], alpha=QUANTILES[q]) for q in range(3)]),
    "coverage": lambda a, y: (
        pd.Series(y.ravel()).between(pd.Series(a[..., 0].ravel()), pd.Series(a[..., 2].ravel())).mean()
    ),
    "mase": lambda a, y: np.mean(sk.mean_absolute_error(y, a[..., 1], multioutput="raw_values") / NAIVE),
}


def case(rows: int = 101, targets: int = 3, *, ties: bool = False, seed: int = 0) -> tuple[np.ndarray, ...]:
    """Return answers (N, M, 3), truth (N, M) and whole weights (N,), some of them 0."""
    random = np.random.default_rng(seed)
    truth = random.normal(size=(rows, targets)) * np.arange(1, targets + 1) + 5
    answers = truth[:, :, None] + random.normal(size=(rows, targets, 1)) + np.array([-1.0, 0.0, 0.5])
    if ties:  # many equal truths and equal errors
        truth, answers = truth.round(), answers.round()
    return answers, truth, random.integers(0, 4, size=rows)


def score(name: str, answers: np.ndarray, truth: np.ndarray) -> float:
    return METRICS[name](answers, truth, np.ones((1, len(truth))))[0]


def points(values: list) -> np.ndarray:
    """Return (N, M) point predictions as answers with a single quantile."""
    return np.array(values, dtype=float)[:, :, None]


@pytest.mark.parametrize("ties", [False, True], ids=["distinct", "ties"])
@pytest.mark.parametrize("name", METRICS)
def test_metric_equals_its_oracle(name: str, ties: bool) -> None:
    answers, truth, _ = case(ties=ties)
    assert score(name, answers, truth) == pytest.approx(ORACLES[name](answers, truth), rel=1e-12)


@pytest.mark.parametrize("ties", [False, True], ids=["distinct", "ties"])
@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("name", METRICS)
def test_a_weighted_metric_equals_its_oracle_on_repeated_rows(name: str, seed: int, ties: bool) -> None:
    answers, truth, weights = case(ties=ties, seed=seed)
    [found] = METRICS[name](answers, truth, weights[None].astype(float))
    repeated = np.repeat(answers, weights, axis=0), np.repeat(truth, weights, axis=0)
    assert found == pytest.approx(ORACLES[name](*repeated), rel=1e-11)
    assert found == pytest.approx(score(name, *repeated), rel=1e-11)


@pytest.mark.parametrize("name", METRICS)
def test_many_weightings_at_once_equal_one_at_a_time(name: str) -> None:
    answers, truth, _ = case(ties=False)
    weights = np.random.default_rng(4).integers(0, 3, size=(6, len(truth))).astype(float)
    together = METRICS[name](answers, truth, weights)
    assert together.shape == (6,)
    assert len(set(together)) == 6
    alone = [METRICS[name](answers, truth, row[None])[0] for row in weights]
    np.testing.assert_allclose(together, alone, rtol=1e-12)


@pytest.mark.parametrize("rows", [1, 2, 7])
@pytest.mark.parametrize("targets", [1, 2, 5])
def test_the_median_is_right_for_odd_and_even_numbers_of_rows_and_targets(rows: int, targets: int) -> None:
    answers, truth, _ = case(rows, targets)
    draws = np.random.default_rng(1).multinomial(rows, np.full(rows, 1 / rows), size=40)
    found = METRICS["median_ae"](answers, truth, draws.astype(float))
    errors = np.abs(answers[..., 1] - truth)
    np.testing.assert_array_equal(found, [np.median(np.repeat(errors, draw, axis=0)) for draw in draws])


def test_the_median_takes_weights_that_are_not_whole() -> None:
    answers, truth, weights = case()
    weights[0] += 1 - weights.sum() % 2  # odd, so that one value is the middle, whatever the last digits of the sums
    tenths = METRICS["median_ae"](answers, truth, 0.1 * weights[None])
    np.testing.assert_array_equal(tenths, METRICS["median_ae"](answers, truth, weights[None].astype(float)))


def test_values_by_hand() -> None:
    truth = np.array([[0.0, 10.0], [2.0, 10.0], [4.0, 40.0]])
    answers = points([[1, 10], [2, 10], [1, 34]])  # errors 1, 0, -3 and 0, 0, -6
    found = {name: score(name, answers, truth) for name in POINT_METRICS}
    assert found["rmse"] == pytest.approx(np.sqrt(46 / 6))
    assert found["mae"] == pytest.approx(10 / 6)
    assert found["r2"] == pytest.approx((1 - 10 / 8 + 1 - 36 / 600) / 2)
    assert found["median_ae"] == 0.5  # 0 0 0 | 1 3 6
    scaled = number_metrics(naive=np.array([2.0, 4.0]))["mase"](answers, truth, np.ones((1, 3)))
    assert scaled == pytest.approx([(4 / 3 / 2 + 2 / 4) / 2])


def test_a_naive_forecast_on_its_training_rows_has_a_mase_of_1() -> None:
    series = np.random.default_rng(0).normal(size=(50, 2)).cumsum(axis=0)
    truth, answers = series[1:], series[:-1, :, None]
    mase = number_metrics(naive=np.abs(np.diff(series, axis=0)).mean(axis=0))["mase"]
    assert mase(answers, truth, np.ones((1, 49))) == pytest.approx([1.0])


def test_pinball_of_the_median_alone_is_half_the_absolute_error() -> None:
    answers, truth, _ = case()
    once = np.ones((1, len(truth)))
    metrics = number_metrics(quantiles=(0.5,))
    assert metrics["pinball"](answers[..., 1:2], truth, once) == pytest.approx(METRICS["mae"](answers, truth, once) / 2)


def test_a_value_on_the_border_of_the_quantiles_is_covered() -> None:
    answers = np.tile([1.0, 2.0, 3.0], (4, 1, 1))
    assert score("coverage", answers, np.array([[1.0], [3.0], [0.9], [3.1]])) == 0.5


def test_errors_are_of_the_middle_quantile() -> None:
    answers = np.array([[[0.0, 1.0, 5.0, 9.0, 10.0]]])
    assert score("mae", answers, np.array([[4.0]])) == 1.0


@pytest.mark.parametrize("value", [0.0, 0.1, 1e9 + 0.1])
def test_a_constant_target_has_an_r2_of_1_if_it_is_met_and_else_of_0(value: float) -> None:
    truth = np.full((7, 1), value)
    weights = np.random.default_rng(0).integers(0, 4, size=(20, 7)) + 1.0
    assert (METRICS["r2"](truth[..., None], truth, weights) == 1).all()
    assert (METRICS["r2"](truth[..., None] + 1e-6, truth, weights) == 0).all()


@pytest.mark.parametrize("value", [0.1, 1 / 3, 1e9 + 0.1])
def test_a_target_that_is_constant_in_one_resample_counts_as_constant_there(value: float) -> None:
    truth = np.array([[value], [value], [0.0], [-value], [-7.0]])
    answers = truth[..., None] + 0.5
    *constant, plain = METRICS["r2"](answers, truth, np.array([[1.0, 2, 0, 0, 0], [3, 4, 0, 0, 0], [1, 1, 1, 1, 1]]))
    assert constant == [0, 0]
    assert plain == pytest.approx(sk.r2_score(truth, answers[..., 0]))


def test_r2_keeps_its_digits_where_a_resample_lies_far_from_the_other_rows() -> None:
    truth = np.array([[0.0], [1.0], [2.0], [1e8 + 1], [1e8 + 2]])
    answers = truth[..., None] + 0.25
    [found] = METRICS["r2"](answers, truth, np.array([[0.0, 0, 0, 2, 1]]))
    assert found == pytest.approx(sk.r2_score([1, 1, 2], [1.25, 1.25, 2.25]), abs=1e-6)


@pytest.mark.parametrize("name", POINT_METRICS)
def test_exact_answers_have_the_best_value(name: str) -> None:
    answers, truth, _ = case()
    exact = np.repeat(truth[..., None], 3, axis=2)
    assert score(name, exact, truth) == (0 if name in LOWER_IS_BETTER else 1)
    assert (score(name, answers, truth) > score(name, exact, truth)) == (name in LOWER_IS_BETTER)


def test_the_metrics_of_a_task_come_in_order_and_follow_what_is_known() -> None:
    assert tuple(number_metrics()) == POINT_METRICS
    assert tuple(number_metrics(quantiles=(0.5,))) == (*POINT_METRICS, "pinball")
    assert tuple(METRICS) == (*POINT_METRICS, "pinball", "coverage", "mase")
    assert set(METRICS) - LOWER_IS_BETTER == {"r2", "coverage"}
    assert set(METRICS) > LOWER_IS_BETTER


@pytest.mark.parametrize("error", [0.0, np.nan])
def test_a_naive_error_of_0_is_refused(error: float) -> None:
    with pytest.raises(DataError, match=r"mase divides.*number 1 of 3 has (0|nan).*out of the target"):
        number_metrics(naive=np.array([1.0, error, 2.0]))


def test_each_target_has_its_own_metrics() -> None:
    answers, truth, _ = case()
    found = per_target(answers, truth)
    assert [list(entry) for entry in found] == [["rmse", "mae", "r2"]] * 3
    assert [entry["r2"] for entry in found] == pytest.approx(
        sk.r2_score(truth, answers[..., 1], multioutput="raw_values")
    )
    for m, entry in enumerate(found):
        assert entry["rmse"] == pytest.approx(sk.root_mean_squared_error(truth[:, m], answers[:, m, 1]))
        assert entry["mae"] == pytest.approx(sk.mean_absolute_error(truth[:, m], answers[:, m, 1]))


def test_few_points_are_all_there_row_by_row() -> None:
    answers, truth, _ = case(rows=4)
    table = prediction_points(answers, truth, seed=0)
    assert list(table) == ["target", "predicted"]
    np.testing.assert_array_equal(table["target"], truth.ravel())
    np.testing.assert_array_equal(table["predicted"], answers[..., 1].ravel())


def test_many_points_are_sampled_once_each_and_stay_pairs() -> None:
    truth = np.arange(3000.0).reshape(1000, 3)
    answers = truth[..., None] + 0.5
    first, again, other = (prediction_points(answers, truth, seed=seed, limit=500) for seed in (1, 1, 2))
    pd.testing.assert_frame_equal(first, again)
    assert not first.equals(other)
    assert len(first) == 500
    assert first["target"].is_monotonic_increasing
    assert first["target"].is_unique
    assert (first["predicted"] - first["target"] == 0.5).all()
    assert first["target"].mean() == pytest.approx(1500, abs=150)  # standard error 35
