"""The points of curves, against scikit-learn and plain counting."""

import numpy as np
import pytest
from sklearn import metrics as sk

from ann.evaluation.curves import calibration_points, confusion, precision_recall_points, roc_points


def case(classes: int, rows: int = 2000) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(classes)
    target = random.integers(classes, size=rows)
    raw = random.random((rows, classes)) + 0.5 * np.eye(classes)[target]
    return raw / raw.sum(axis=1, keepdims=True), target


def test_two_classes_give_the_curve_of_the_positive_one_and_more_give_one_each() -> None:
    assert set(roc_points(*case(2))["class"]) == {1}
    assert set(precision_recall_points(*case(2))["class"]) == {1}
    assert set(roc_points(*case(4))["class"]) == {0, 1, 2, 3}
    assert set(precision_recall_points(*case(4))["class"]) == {0, 1, 2, 3}


@pytest.mark.parametrize("classes", [2, 3])
def test_the_area_under_the_thinned_roc_points_is_the_auc(classes: int) -> None:
    probabilities, target = case(classes)
    points = roc_points(probabilities, target)
    assert points["class"].value_counts().max() == 200
    for k, rows in points.groupby("class"):
        expected = sk.roc_auc_score(target == k, probabilities[:, k])
        assert sk.auc(rows["fpr"], rows["tpr"]) == pytest.approx(expected, abs=0.005)
        assert rows[["fpr", "tpr"]].iloc[0].tolist() == [0, 0]
        assert rows[["fpr", "tpr"]].iloc[-1].tolist() == [1, 1]


def test_every_roc_point_is_a_point_of_the_full_curve() -> None:
    probabilities, target = case(2, rows=300)
    fpr, tpr, _ = sk.roc_curve(target, probabilities[:, 1], drop_intermediate=False)
    full = set(zip(fpr, tpr, strict=True))
    points = roc_points(probabilities, target)
    assert set(zip(points["fpr"], points["tpr"], strict=True)) <= full


@pytest.mark.parametrize("classes", [2, 3])
def test_precision_over_recall_goes_from_nothing_found_to_all_found(classes: int) -> None:
    probabilities, target = case(classes)
    for k, rows in precision_recall_points(probabilities, target).groupby("class"):
        assert len(rows) <= 200
        assert rows[["recall", "precision"]].iloc[0].tolist() == [0, 1]
        assert rows["recall"].iloc[-1] == 1
        assert rows["precision"].iloc[-1] == pytest.approx((target == k).mean())
        assert rows["recall"].is_monotonic_increasing
        expected = sk.average_precision_score(target == k, probabilities[:, k])
        assert np.trapezoid(rows["precision"], rows["recall"]) == pytest.approx(expected, abs=0.01)


@pytest.mark.parametrize("classes", [2, 3])
def test_calibration_points_equal_plain_counting(classes: int) -> None:
    probabilities, target = case(classes)
    expected = []
    for m in range(15):
        predicted = probabilities[:, 1] if classes == 2 else probabilities.max(axis=1)
        observed = target == 1 if classes == 2 else probabilities.argmax(axis=1) == target
        inside = (predicted >= m / 15) & ((predicted < (m + 1) / 15) | (m == 14))
        if inside.any():
            expected.append([predicted[inside].mean(), observed[inside].mean(), inside.sum()])
    points = calibration_points(probabilities, target)
    assert points["rows"].sum() == len(target)
    np.testing.assert_allclose(points[["predicted", "observed", "rows"]].to_numpy(dtype=float), expected)


def test_a_certain_row_shares_the_last_bin_with_almost_certain_ones() -> None:
    points = calibration_points(np.array([[0.0, 1.0], [0.05, 0.95], [1.0, 0.0]]), np.array([1, 0, 0]))
    assert points[["predicted", "observed", "rows"]].to_numpy().tolist() == [[0, 0, 1], [0.975, 0.5, 2]]


@pytest.mark.parametrize("classes", [2, 3, 7])
def test_confusion_equals_scikit_learn(classes: int) -> None:
    probabilities, target = case(classes, rows=300)
    expected = sk.confusion_matrix(target, probabilities.argmax(axis=1))
    np.testing.assert_array_equal(confusion(probabilities, target), expected)


def test_confusion_keeps_a_class_that_no_row_has() -> None:
    probabilities = np.array([[0.9, 0.1, 0.0], [0.2, 0.8, 0.0]])
    assert confusion(probabilities, np.array([0, 0])).tolist() == [[1, 1, 0], [0, 0, 0], [0, 0, 0]]
