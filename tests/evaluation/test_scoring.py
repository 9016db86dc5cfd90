"""Which metrics a task has, and which of them comes first."""

import numpy as np
import pytest
from sklearn import metrics as sk

from ann.data.target import Target, classification
from ann.errors import ConfigError
from ann.evaluation import labels, metrics, numbers
from ann.evaluation.scoring import LOWER_IS_BETTER, gain_sign, metrics_of, primary_metric, score

LABELS = Target("multilabel", ("a", "b"))
NUMBERS = Target("regression", ("y",), shift=(0.0,), scale=(1.0,))
QUANTILES = Target("regression", ("y",), quantiles=(0.1, 0.5, 0.9))
FORECAST = Target("forecast", ("y", "z"), horizon=3, naive=(0.5, 2.0))
TARGETS = [classification(2), classification(11), LABELS, QUANTILES, FORECAST]


@pytest.mark.parametrize(
    ("target", "names"),
    [
        (classification(2), "auc ap accuracy f1 log_loss brier ece"),
        (classification(3), "accuracy f1 auc log_loss brier ece"),
        (classification(10), "accuracy f1 auc log_loss brier ece"),
        (classification(11), "accuracy f1 auc log_loss brier ece top5"),
        (LABELS, "ap_macro auc_macro f1_micro f1_macro subset_accuracy hamming log_loss brier"),
        (NUMBERS, "rmse mae r2 median_ae"),
        (QUANTILES, "rmse mae r2 median_ae pinball coverage"),
        (FORECAST, "rmse mae r2 median_ae mase"),
    ],
)
def test_a_task_has_its_metrics_the_most_important_first(target: Target, names: str) -> None:
    assert sorted(metrics_of(target)) == sorted(names.split())
    assert primary_metric(target) == names.split()[0] == next(iter(metrics_of(target)))


@pytest.mark.parametrize("target", TARGETS, ids=lambda target: target.task)
def test_any_metric_of_the_task_may_be_wanted(target: Target) -> None:
    assert [primary_metric(target, name) for name in metrics_of(target)] == list(metrics_of(target))


@pytest.mark.parametrize(
    ("target", "wanted", "message"),
    [
        (classification(2), "acuracy", r"'acuracy' does not exist for a binary task.*did you mean 'accuracy'\?"),
        (classification(3), "ap", r"metric 'ap' does not exist for a multiclass task"),
        (classification(3), "top5", r"metric 'top5' does not exist for a multiclass task"),
        (LABELS, "f1_makro", r"metric 'f1_makro' does not exist for a multilabel task.*did you mean 'f1_macro'\?"),
        (NUMBERS, "pinball", r"metric 'pinball' does not exist for a regression task"),
        (FORECAST, "auc", r"metric 'auc' does not exist for a forecast task"),
    ],
)
def test_a_metric_of_another_task_is_refused_with_the_nearest_name(target: Target, wanted: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        primary_metric(target, wanted)


def test_less_is_better_of_losses_and_errors_alone() -> None:
    known = {name for target in TARGETS for name in metrics_of(target)}
    less = {name for name in known if gain_sign(name) == -1}
    assert less == LOWER_IS_BETTER
    assert less == {"log_loss", "brier", "ece", "hamming", "rmse", "mae", "median_ae", "pinball", "mase"}
    assert {gain_sign(name) for name in known - less} == {1}


def test_a_name_that_tasks_share_points_the_same_way_in_each() -> None:
    tables = [
        (set(metrics.METRICS), metrics.LOWER_IS_BETTER),
        (set(labels.LABEL_METRICS), labels.LOWER_IS_BETTER),
        (set(numbers.number_metrics(quantiles=(0.1, 0.9), naive=np.ones(1))), numbers.LOWER_IS_BETTER),
    ]
    for names, lower in tables:
        assert names & LOWER_IS_BETTER == lower


def test_a_score_is_the_metric_of_every_row_once() -> None:
    random = np.random.default_rng(0)
    answers, truth = random.normal(size=(50, 1, 1)), random.normal(size=(50, 1))
    assert score(NUMBERS, "rmse", answers, truth) == pytest.approx(sk.root_mean_squared_error(truth, answers[..., 0]))
    probabilities, labelled = random.random((50, 2)), random.integers(2, size=(50, 2)).astype(np.float32)
    expected = sk.average_precision_score(labelled, probabilities, average="macro")
    assert score(LABELS, "ap_macro", probabilities, labelled) == pytest.approx(expected)


def test_a_forecast_is_compared_with_the_naive_one_channel_by_channel() -> None:
    truth = np.zeros((4, 6))
    answers = np.tile([0.5, 2.0], (4, 3))[:, :, None]  # time after time: y, z, y, z, y, z
    assert score(FORECAST, "mase", answers, truth) == pytest.approx(1.0)
    assert score(FORECAST, "mase", answers[:, ::-1], truth) == pytest.approx((2 / 0.5 + 0.5 / 2) / 2)


def test_quantiles_reach_the_pinball_loss() -> None:
    random = np.random.default_rng(0)
    answers, truth = np.sort(random.normal(size=(60, 1, 3)), axis=2), random.normal(size=(60, 1))
    losses = [
        sk.mean_pinball_loss(truth[:, 0], answers[:, 0, i], alpha=alpha) for i, alpha in enumerate(QUANTILES.quantiles)
    ]
    assert score(QUANTILES, "pinball", answers, truth) == pytest.approx(np.mean(losses))
