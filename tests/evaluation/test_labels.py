"""Metrics of labels against scikit-learn, plain and on repeated rows, and labels that a resample has not got."""

import numpy as np
import pytest
from sklearn import metrics as sk

from ann.evaluation.labels import LABEL_METRICS, LOWER_IS_BETTER

ORACLES = {
    "ap_macro": lambda p, y: sk.average_precision_score(y, p, average="macro"),
    "auc_macro": lambda p, y: sk.roc_auc_score(y, p, average="macro"),
    "f1_micro": lambda p, y: sk.f1_score(y, p > 0.5, average="micro"),
    "f1_macro": lambda p, y: sk.f1_score(y, p > 0.5, average="macro"),
    "subset_accuracy": lambda p, y: sk.accuracy_score(y, p > 0.5),
    "hamming": lambda p, y: sk.hamming_loss(y, p > 0.5),
    "log_loss": lambda p, y: np.mean([sk.log_loss(y[:, k], p[:, k]) for k in range(y.shape[1])]),
    "brier": lambda p, y: np.mean([sk.brier_score_loss(y[:, k], p[:, k]) for k in range(y.shape[1])]),
}
RIGHT = np.array([[0.9, 0.1], [0.8, 0.7], [0.2, 0.3], [0.1, 0.6]])
TRUTH = np.array([[1.0, 0.0], [1.0, 1.0], [0.0, 0.0], [0.0, 1.0]])


def case(labels: int = 4, *, ties: bool = False, seed: int = 0, rows: int = 200) -> tuple[np.ndarray, ...]:
    """Return probabilities (N, L), truth (N, L) and whole weights (N,), some of them 0."""
    random = np.random.default_rng(seed)
    truth = (random.random((rows, labels)) < np.linspace(0.15, 0.6, labels)).astype(float)
    probabilities = (0.35 * truth + 0.6 * random.random((rows, labels))).clip(0.01, 0.99)
    return probabilities.round(1) if ties else probabilities, truth, random.integers(0, 4, size=rows)


def score(name: str, probabilities: np.ndarray, truth: np.ndarray) -> float:
    return LABEL_METRICS[name](probabilities, truth, np.ones((1, len(truth))))[0]


@pytest.mark.parametrize("ties", [False, True], ids=["distinct", "ties"])
@pytest.mark.parametrize("labels", [1, 4])
@pytest.mark.parametrize("name", LABEL_METRICS)
def test_metric_equals_its_oracle(name: str, labels: int, ties: bool) -> None:
    probabilities, truth, _ = case(labels, ties=ties)
    if labels == 1 and name.startswith("f1"):  # scikit-learn takes one column for two classes
        expected = sk.f1_score(truth[:, 0], probabilities[:, 0] > 0.5)
    else:
        expected = ORACLES[name](probabilities.clip(1e-15, 1), truth)
    assert score(name, probabilities, truth) == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("ties", [False, True], ids=["distinct", "ties"])
@pytest.mark.parametrize("name", LABEL_METRICS)
def test_a_weighted_metric_equals_its_oracle_on_repeated_rows(name: str, ties: bool) -> None:
    probabilities, truth, weights = case(ties=ties)
    [found] = LABEL_METRICS[name](probabilities, truth, weights[None].astype(float))
    repeated = np.repeat(probabilities, weights, axis=0), np.repeat(truth, weights, axis=0)
    assert found == pytest.approx(ORACLES[name](*repeated), abs=1e-12)
    assert found == pytest.approx(score(name, *repeated), abs=1e-12)


@pytest.mark.parametrize("name", LABEL_METRICS)
def test_many_weightings_at_once_equal_one_at_a_time(name: str) -> None:
    probabilities, truth, _ = case(ties=True)
    weights = np.random.default_rng(4).integers(0, 3, size=(6, len(truth))).astype(float)
    together = LABEL_METRICS[name](probabilities, truth, weights)
    assert together.shape == (6,)
    assert len(set(together)) == 6
    alone = [LABEL_METRICS[name](probabilities, truth, row[None])[0] for row in weights]
    np.testing.assert_allclose(together, alone, rtol=1e-12)


@pytest.mark.parametrize("name", LABEL_METRICS)
def test_the_stored_float32_truth_gives_the_same_value(name: str) -> None:
    probabilities, truth, _ = case()
    assert score(name, probabilities, truth.astype(np.float32)) == score(name, probabilities, truth)


def test_values_by_hand() -> None:
    wrong_once = RIGHT.copy()
    wrong_once[0, 1] = 0.9  # now the highest of its label, though the row has it not
    found = {name: score(name, wrong_once, TRUTH) for name in LABEL_METRICS}
    assert found["ap_macro"] == pytest.approx((1 + (1 / 2 + 2 / 3) / 2) / 2)
    assert found["auc_macro"] == pytest.approx((1 + 2 / 4) / 2)
    assert found["f1_micro"] == pytest.approx(8 / 9)
    assert found["f1_macro"] == pytest.approx((1 + 4 / 5) / 2)
    assert (found["subset_accuracy"], found["hamming"]) == (0.75, 0.125)
    assert found["brier"] == pytest.approx((0.01 + 0.04 + 0.04 + 0.01 + 0.81 + 0.09 + 0.09 + 0.16) / 8)


@pytest.mark.parametrize("name", LABEL_METRICS)
def test_certain_and_right_is_the_best_value(name: str) -> None:
    best = 0.0 if name in LOWER_IS_BETTER else 1.0
    assert score(name, TRUTH, TRUTH) == pytest.approx(best, abs=1e-12)
    assert (score(name, 1 - TRUTH, TRUTH) > best) == (name in LOWER_IS_BETTER)


def test_certain_and_wrong_is_a_large_but_finite_log_loss() -> None:
    assert score("log_loss", 1 - TRUTH, TRUTH) == pytest.approx(-np.log(1e-15))


def test_a_probability_of_exactly_one_half_predicts_no_label() -> None:
    half = np.full((2, 1), 0.5)
    assert score("subset_accuracy", half, np.array([[0.0], [1.0]])) == 0.5
    assert score("f1_micro", half, np.array([[0.0], [1.0]])) == 0


@pytest.mark.parametrize("name", ["ap_macro", "auc_macro"])
@pytest.mark.parametrize("value", [0.0, 1.0])
def test_a_label_that_all_rows_or_none_have_is_left_out_of_the_ranking_means(name: str, value: float) -> None:
    probabilities, truth, _ = case(3)
    truth[:, 1] = value
    assert score(name, probabilities, truth) == pytest.approx(
        ORACLES[name](probabilities[:, [0, 2]], truth[:, [0, 2]]), abs=1e-12
    )


@pytest.mark.parametrize("name", ["ap_macro", "auc_macro"])
def test_a_label_is_left_out_only_in_the_resamples_that_lack_it(name: str) -> None:
    probabilities, truth, _ = case(2)
    weights = np.ones((2, len(truth)))
    weights[0, truth[:, 0] == 1] = 0
    without, plain = LABEL_METRICS[name](probabilities, truth, weights)
    kept = truth[:, 0] == 0
    assert without == pytest.approx(ORACLES[name](probabilities[kept, 1:], truth[kept, 1:]), abs=1e-12)
    assert plain == pytest.approx(ORACLES[name](probabilities, truth), abs=1e-12)


def test_without_any_label_to_rank_the_auc_is_a_coin_toss_and_precision_the_share_of_rows() -> None:
    for value, precision in ((0.0, 0.0), (1.0, 1.0)):
        truth = np.full((4, 2), value)
        assert score("auc_macro", RIGHT, truth) == 0.5
        assert score("ap_macro", RIGHT, truth) == precision


def test_f1_of_a_label_that_is_neither_true_nor_predicted_is_0() -> None:
    truth, nothing = np.array([[1.0, 0.0], [0.0, 0.0]]), np.array([[0.9, 0.1], [0.1, 0.1]])
    assert score("f1_macro", nothing, truth) == 0.5
    assert score("f1_micro", nothing, truth) == 1
    assert score("f1_micro", nothing[:, 1:], truth[:, 1:]) == 0


def test_the_most_important_metric_is_first_and_errors_are_better_lower() -> None:
    assert next(iter(LABEL_METRICS)) == "ap_macro"
    assert {"hamming", "log_loss", "brier"} == LOWER_IS_BETTER
    assert set(LABEL_METRICS) > LOWER_IS_BETTER
