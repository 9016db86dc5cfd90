"""Every metric against scikit-learn, plain and weighted, with ties."""

from collections.abc import Callable

import numpy as np
import pytest
from sklearn import metrics as sk

from ann.data.target import classification
from ann.evaluation.metrics import LOWER_IS_BETTER, METRICS
from ann.evaluation.scoring import metrics_of, score

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


def top5_oracle(probabilities: np.ndarray, target: np.ndarray, weights: np.ndarray) -> float:
    """Share of the places that a class may have among equally probable ones which are among the first five."""
    places = [np.flatnonzero(np.sort(row)[::-1] == row[k]) for row, k in zip(probabilities, target, strict=True)]
    return float(np.average([(place < 5).mean() for place in places], weights=weights))


def measured(name: str, probabilities: np.ndarray, target: np.ndarray) -> float:
    return score(classification(probabilities.shape[1]), name, probabilities, target)


ORACLES: dict[str, Oracle] = {
    "accuracy": lambda p, y, w: sk.accuracy_score(y, p.argmax(axis=1), sample_weight=w),
    "ap": lambda p, y, w: sk.average_precision_score(y, p[:, 1], sample_weight=w),
    "auc": auc_oracle,
    "brier": brier_oracle,
    "ece": ece_loop,
    "f1": f1_oracle,
    "log_loss": lambda p, y, w: sk.log_loss(y, p, sample_weight=w),
    "top5": top5_oracle,
}
CASES = [(name, classes) for classes in (2, 3, 5, 12) for name in metrics_of(classification(classes))]


@pytest.mark.parametrize("ties", [False, True], ids=["distinct", "ties"])
@pytest.mark.parametrize(("name", "classes"), CASES)
def test_metric_equals_its_oracle(name: str, classes: int, ties: bool) -> None:
    probabilities, target, _ = case(classes, ties=ties)
    expected = ORACLES[name](probabilities, target, np.ones(len(target)))
    assert measured(name, probabilities, target) == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("ties", [False, True], ids=["distinct", "ties"])
@pytest.mark.parametrize(("name", "classes"), CASES)
def test_weighted_metric_equals_its_oracle_and_repeated_rows(name: str, classes: int, ties: bool) -> None:
    probabilities, target, weights = case(classes, ties=ties)
    [found] = METRICS[name](probabilities, target, weights[None].astype(float))
    assert found == pytest.approx(ORACLES[name](probabilities, target, weights), abs=1e-12)
    repeated = np.repeat(probabilities, weights, axis=0), np.repeat(target, weights)
    assert found == pytest.approx(measured(name, *repeated), abs=1e-12)


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
    for name in metrics_of(classification(2)):
        assert measured(name, probabilities[order], target[order]) == pytest.approx(
            measured(name, probabilities, target), abs=1e-12
        )


@pytest.mark.parametrize("name", metrics_of(classification(2)))
def test_certain_and_right_is_the_best_value(name: str) -> None:
    best = float(name not in LOWER_IS_BETTER)
    target = np.array([0, 1, 1, 0])
    assert measured(name, np.eye(2)[target], target) == pytest.approx(best, abs=1e-12)


def test_certain_and_wrong_is_a_large_but_finite_log_loss() -> None:
    assert measured("log_loss", np.array([[1.0, 0.0]]), np.array([1])) == pytest.approx(-np.log(1e-15))


def test_equal_scores_are_a_coin_toss_and_so_is_a_single_class() -> None:
    same = np.full((4, 2), 0.5)
    assert measured("auc", same, np.array([0, 1, 1, 0])) == 0.5
    assert measured("auc", same, np.array([1, 1, 1, 1])) == 0.5


def test_with_distinct_probabilities_top5_is_that_of_scikit_learn() -> None:
    probabilities, target, _ = case(12, ties=False)
    expected = sk.top_k_accuracy_score(target, probabilities, k=5)
    assert 0.5 < expected < 1
    assert measured("top5", probabilities, target) == pytest.approx(expected, abs=1e-12)


def test_saying_the_same_of_every_class_is_right_in_five_of_twelve() -> None:
    assert measured("top5", np.full((3, 12), 1 / 12), np.array([0, 5, 11])) == pytest.approx(5 / 12)


def test_every_metric_has_a_case() -> None:
    assert {name for name, _ in CASES} == set(METRICS)
