"""Every metric against scikit-learn, plain and weighted, with ties."""

from collections.abc import Callable

import numpy as np
import pytest
from sklearn import metrics as sk

from ann.errors import ConfigError
from ann.evaluation.metrics import METRICS, gain_sign, metric_names, primary_metric, score

Case = tuple[np.ndarray, np.ndarray, np.ndarray]
Oracle = Callable[[np.ndarray, np.ndarray, np.ndarray], float]


def case(classes: int, *, ties: bool, seed: int = 0, rows: int = 400) -> Case:
    """Return probabilities (N, K), target (N,) and whole weights (N,), some of them 0."""
    random = np.random.default_rng(seed)
    target = random.integers(classes, size=rows)
    raw = random.random((rows, classes)) + 0.7 * np.eye(classes)[target] + 0.05
    probabilities = raw / raw.sum(axis=1, keepdims=True)
    if ties:  # a few distinct vectors, so that many rows share a score
        first = np.round(probabilities[:, :1], 1).clip(0.1, 0.9)
        rest = np.full((rows, classes - 1), 1 / (classes - 1))
        probabilities = np.hstack([first, (1 - first) * rest])
    return probabilities, target, random.integers(0, 4, size=rows)


def ece_loop(probabilities: np.ndarray, target: np.ndarray, weights: np.ndarray) -> float:
    """Guo et al. 2017, equation 3, as written there: sum over bins of |B|/n |acc(B) - conf(B)|."""
    total, found = weights.sum(), 0.0
    for m in range(15):
        hits = confidence = size = 0.0
        for row, truth, weight in zip(probabilities, target, weights, strict=True):
            if m / 15 <= row.max() < (m + 1) / 15 or (m == 14 and row.max() == 1):
                size += weight
                hits += weight * (row.argmax() == truth)
                confidence += weight * row.max()
        if size:
            found += size / total * abs(hits / size - confidence / size)
    return found


def f1_oracle(probabilities: np.ndarray, target: np.ndarray, weights: np.ndarray) -> float:
    average = "binary" if probabilities.shape[1] == 2 else "macro"
    return sk.f1_score(target, probabilities.argmax(axis=1), sample_weight=weights, average=average)


def auc_oracle(probabilities: np.ndarray, target: np.ndarray, weights: np.ndarray) -> float:
    if probabilities.shape[1] == 2:
        return sk.roc_auc_score(target, probabilities[:, 1], sample_weight=weights)
    one_against_rest = [
        sk.roc_auc_score(target == k, probabilities[:, k], sample_weight=weights) for k in range(probabilities.shape[1])
    ]
    return float(np.mean(one_against_rest))


def brier_oracle(probabilities: np.ndarray, target: np.ndarray, weights: np.ndarray) -> float:
    truth = np.eye(probabilities.shape[1])[target]
    summed = np.average(sk.mean_squared_error(truth.T, probabilities.T, multioutput="raw_values"), weights=weights)
    return summed * probabilities.shape[1] / (2 if probabilities.shape[1] == 2 else 1)


ORACLES: dict[str, Oracle] = {
    "accuracy": lambda p, y, w: sk.accuracy_score(y, p.argmax(axis=1), sample_weight=w),
    "ap": lambda p, y, w: sk.average_precision_score(y, p[:, 1], sample_weight=w),
    "auc": auc_oracle,
    "brier": brier_oracle,
    "ece": ece_loop,
    "f1": f1_oracle,
    "log_loss": lambda p, y, w: sk.log_loss(y, p, sample_weight=w),
}
CASES = [(name, classes) for classes in (2, 3, 5) for name in metric_names(classes)]


@pytest.mark.parametrize("ties", [False, True], ids=["distinct", "ties"])
@pytest.mark.parametrize(("name", "classes"), CASES)
def test_metric_equals_its_oracle(name: str, classes: int, ties: bool) -> None:
    probabilities, target, _ = case(classes, ties=ties)
    expected = ORACLES[name](probabilities, target, np.ones(len(target)))
    assert score(name, probabilities, target) == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("ties", [False, True], ids=["distinct", "ties"])
@pytest.mark.parametrize(("name", "classes"), CASES)
def test_weighted_metric_equals_its_oracle_and_repeated_rows(name: str, classes: int, ties: bool) -> None:
    probabilities, target, weights = case(classes, ties=ties)
    [found] = METRICS[name](probabilities, target, weights[None].astype(float))
    assert found == pytest.approx(ORACLES[name](probabilities, target, weights), abs=1e-12)
    repeated = np.repeat(probabilities, weights, axis=0), np.repeat(target, weights)
    assert found == pytest.approx(score(name, *repeated), abs=1e-12)


@pytest.mark.parametrize(("name", "classes"), CASES)
def test_many_weightings_at_once_equal_one_at_a_time(name: str, classes: int) -> None:
    probabilities, target, _ = case(classes, ties=True)
    weights = np.random.default_rng(4).integers(0, 3, size=(6, len(target))).astype(float)
    together = METRICS[name](probabilities, target, weights)
    assert together.shape == (6,)
    assert len(set(together)) == 6
    alone = [METRICS[name](probabilities, target, row[None])[0] for row in weights]
    np.testing.assert_allclose(together, alone, rtol=1e-12)


def test_the_order_of_rows_does_not_matter() -> None:
    probabilities, target, _ = case(2, ties=True)
    order = np.random.default_rng(2).permutation(len(target))
    for name in metric_names(2):
        assert score(name, probabilities[order], target[order]) == pytest.approx(
            score(name, probabilities, target), abs=1e-12
        )


@pytest.mark.parametrize(("name", "best"), [(name, float(gain_sign(name) > 0)) for name in metric_names(2)])
def test_certain_and_right_is_the_best_value(name: str, best: float) -> None:
    target = np.array([0, 1, 1, 0])
    assert score(name, np.eye(2)[target], target) == pytest.approx(best, abs=1e-12)


def test_certain_and_wrong_is_a_large_but_finite_log_loss() -> None:
    assert score("log_loss", np.array([[1.0, 0.0]]), np.array([1])) == pytest.approx(-np.log(1e-15))


def test_equal_scores_are_a_coin_toss_and_so_is_a_single_class() -> None:
    same = np.full((4, 2), 0.5)
    assert score("auc", same, np.array([0, 1, 1, 0])) == 0.5
    assert score("auc", same, np.array([1, 1, 1, 1])) == 0.5


def test_lower_is_better_for_losses_alone() -> None:
    assert {name for name in METRICS if gain_sign(name) == -1} == {"log_loss", "brier", "ece"}


def test_the_primary_metric_follows_the_task() -> None:
    assert (primary_metric(2), primary_metric(3)) == ("auc", "accuracy")
    assert primary_metric(2, "f1") == "f1"


def test_an_unknown_metric_is_refused_with_the_nearest_name() -> None:
    with pytest.raises(ConfigError, match=r"metric 'acuracy' does not exist.*did you mean 'accuracy'\?"):
        primary_metric(2, "acuracy")


def test_a_metric_of_two_classes_is_refused_for_three() -> None:
    with pytest.raises(ConfigError, match=r"metric 'ap' does not exist for 3 classes"):
        primary_metric(3, "ap")
