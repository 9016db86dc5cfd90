"""What is stored, what a network gives, and what is answered: each task against plain arithmetic."""

import json

import numpy as np
import pytest
from scipy.special import expit
from scipy.special import softmax as scipy_softmax

from ann.data.target import Target, classification, sigmoid, softmax

RANDOM = np.random.default_rng(0)
BINARY = Target("binary", ("y",), "two", classes=("no", "yes"))
MANY = Target("multiclass", ("y",), classes=("a", "b", "c"))
LABELS = Target("multilabel", ("a", "b"))
ONE = Target("regression", ("y",), shift=(50.0,), scale=(4.0,))
TWO = Target("regression", ("y", "z"), shift=(50.0, -1.0), scale=(4.0, 0.5))
QUANTILES = (0.1, 0.5, 0.9)
ONE_QUANTILES = Target("regression", ("y",), quantiles=QUANTILES, shift=(50.0,), scale=(4.0,))
TWO_QUANTILES = Target("regression", ("y", "z"), quantiles=QUANTILES, shift=(50.0, -1.0), scale=(4.0, 0.5))
AHEAD = {"horizon": 4, "shift": (50.0, -1.0), "scale": (4.0, 0.5), "naive": (0.3, 0.2)}
FORECAST = Target("forecast", ("y", "z"), **AHEAD)
FORECAST_QUANTILES = Target("forecast", ("y", "z"), quantiles=QUANTILES, **AHEAD)
ONE_CHANNEL = Target("forecast", ("y",), horizon=4, shift=(50.0,), scale=(4.0,))
ALL = [BINARY, MANY, LABELS, ONE, TWO, ONE_QUANTILES, TWO_QUANTILES, FORECAST, FORECAST_QUANTILES, ONE_CHANNEL]


def named(target: Target) -> str:
    return f"{target.task} {len(target.names)} {len(target.quantiles)}"


@pytest.mark.parametrize(("target", "outputs"), [*zip(ALL, [2, 3, 2, 1, 2, 3, 6, 4 * 2, 4 * 2 * 3, 4], strict=True)])
def test_a_network_gives_a_value_for_each_class_label_or_number_time_and_quantile(target: Target, outputs: int) -> None:
    assert target.outputs == outputs


def test_tasks_are_of_classes_or_of_numbers_or_of_labels() -> None:
    assert [(target.has_classes, target.has_numbers) for target in (BINARY, MANY, LABELS, ONE, FORECAST)] == [
        (True, False),
        (True, False),
        (False, False),
        (False, True),
        (False, True),
    ]


def test_only_a_single_number_is_answered_in_its_own_unit() -> None:
    assert [named(target) for target in ALL if target.in_own_unit] == ["regression 1 0", "regression 1 3"]


@pytest.mark.parametrize("target", ALL, ids=named)
def test_a_target_comes_back_from_json(target: Target) -> None:
    assert Target.from_json(json.loads(json.dumps(target.to_json()))) == target


def test_classes_and_labels_are_stored_and_judged_as_they_are() -> None:
    for target, values in ((MANY, np.array([2, 0, 1])), (LABELS, np.array([[0, 1], [1, 1]], np.float32))):
        assert target.fitted(values) == target
        assert target.stored(values) is values
        np.testing.assert_array_equal(target.truth(values), values)


@pytest.mark.parametrize("target", [ONE, TWO, FORECAST], ids=named)
def test_numbers_are_stored_in_standard_deviations_of_the_training_rows(target: Target) -> None:
    values = RANDOM.normal([50.0, -1.0], [4.0, 0.5], (400, 2))[:, : len(target.names)]
    fitted = target.fitted(values)
    np.testing.assert_allclose(fitted.shift, values.mean(axis=0), rtol=1e-12)
    np.testing.assert_allclose(fitted.scale, values.std(axis=0), rtol=1e-12)
    stored = fitted.stored(values)
    assert stored.dtype == np.float32
    np.testing.assert_allclose(stored, (values - values.mean(axis=0)) / values.std(axis=0), atol=1e-5)


def test_other_rows_are_scaled_by_the_training_rows() -> None:
    fitted = ONE.fitted(np.array([[1.0], [3.0]]))
    np.testing.assert_array_equal(fitted.stored(np.array([[7.0]])), np.array([[5.0]], np.float32))


def test_a_number_that_never_changes_in_the_training_rows_has_the_scale_1() -> None:
    fitted = TWO.fitted(np.array([[7.0, 1.0], [7.0, 3.0]]))
    assert (fitted.shift, fitted.scale) == ((7.0, 2.0), (1.0, 1.0))


def test_the_truth_of_a_single_number_is_in_its_own_unit() -> None:
    values = RANDOM.normal(50, 4, (30, 1))
    truth = ONE.truth(ONE.stored(values))
    assert truth.dtype == np.float64
    np.testing.assert_allclose(truth, values, rtol=1e-6)


def test_the_truth_of_several_numbers_stays_scaled_and_is_flat_time_by_time() -> None:
    values = RANDOM.normal(size=(30, 2))
    np.testing.assert_allclose(TWO.truth(TWO.stored(values)), (values - [50, -1]) / [4, 0.5], rtol=1e-5)
    stored = RANDOM.normal(size=(5, 4, 2)).astype(np.float32)
    truth = FORECAST.truth(stored)
    assert (truth.shape, truth.dtype) == ((5, 8), np.float64)
    assert all(truth[n, h * 2 + c] == stored[n, h, c] for n in range(5) for h in range(4) for c in range(2))


@pytest.mark.parametrize("target", [BINARY, MANY], ids=named)
def test_logits_of_classes_become_probabilities(target: Target) -> None:
    logits = RANDOM.normal(size=(20, target.outputs), scale=5).astype(np.float32)
    np.testing.assert_allclose(target.answers(logits), scipy_softmax(logits.astype(np.float64), axis=1), rtol=1e-12)


def test_logits_of_labels_become_probabilities_of_their_own() -> None:
    logits = RANDOM.normal(size=(20, 2), scale=5).astype(np.float32)
    np.testing.assert_allclose(LABELS.answers(logits), expit(logits.astype(np.float64)), rtol=1e-12)


@pytest.mark.parametrize("target", [ONE_QUANTILES, TWO_QUANTILES, FORECAST_QUANTILES, FORECAST, ONE, TWO], ids=named)
def test_outputs_of_numbers_become_answers_by_number_and_quantile(target: Target) -> None:
    outputs = RANDOM.normal(size=(6, target.outputs)).astype(np.float32)
    answers, quantiles = target.answers(outputs), max(1, len(target.quantiles))
    assert (answers.shape, answers.dtype) == ((6, target.outputs // quantiles, quantiles), np.float64)
    scale, shift = (4.0, 50.0) if target.in_own_unit else (1.0, 0.0)
    for m in range(target.outputs // quantiles):
        for q in range(quantiles):
            np.testing.assert_allclose(answers[:, m, q], outputs[:, m * quantiles + q] * scale + shift, rtol=1e-6)


@pytest.mark.parametrize("target", [ONE, TWO, FORECAST], ids=named)
def test_a_network_that_says_what_is_stored_is_right(target: Target) -> None:
    stored = RANDOM.normal(size=(6, target.outputs)).astype(np.float32)
    np.testing.assert_allclose(target.answers(stored)[..., 0], target.truth(stored), rtol=1e-12)


@pytest.mark.parametrize("target", ALL, ids=named)
def test_outputs_for_answers_are_answered_by_them(target: Target) -> None:
    outputs = RANDOM.normal(size=(20, target.outputs), scale=3)
    answers = target.answers(outputs)
    found = target.outputs_for(answers)
    assert found.shape == outputs.shape
    np.testing.assert_allclose(target.answers(found), answers, rtol=1e-9, atol=1e-12)
    if not target.has_classes:  # logits of classes are known but for what all have in common
        np.testing.assert_allclose(found, outputs, rtol=1e-6)


@pytest.mark.parametrize("target", [BINARY, MANY, LABELS], ids=named)
def test_outputs_for_certain_answers_are_finite(target: Target) -> None:
    certain = np.eye(target.outputs)
    found = target.outputs_for(certain)
    assert np.isfinite(found).all()
    np.testing.assert_allclose(target.answers(found), certain, atol=1e-6)


@pytest.mark.parametrize("target", [BINARY, LABELS], ids=named)
def test_probabilities_of_the_exported_file_are_the_answers(target: Target) -> None:
    probabilities = RANDOM.random((5, 2)).astype(np.float32)
    answers = target.read({"probabilities": probabilities})
    assert answers.dtype == np.float64
    np.testing.assert_array_equal(answers, probabilities)


@pytest.mark.parametrize(
    ("target", "shape"),
    [
        (ONE, (6,)),
        (ONE_QUANTILES, (6, 3)),
        (TWO, (6, 2)),
        (TWO_QUANTILES, (6, 2, 3)),
        (ONE_CHANNEL, (6, 4)),
        (FORECAST, (6, 4, 2)),
        (FORECAST_QUANTILES, (6, 4, 2, 3)),
    ],
    ids=lambda value: named(value) if isinstance(value, Target) else str(value),
)
def test_numbers_of_the_exported_file_in_their_own_units_are_the_networks_answers(
    target: Target, shape: tuple[int, ...]
) -> None:
    outputs = RANDOM.normal(size=(6, target.outputs)).astype(np.float32)
    scaled = outputs.reshape(6, -1, len(target.names), max(1, len(target.quantiles))).astype(np.float64)
    own = scaled * np.array(target.scale)[:, None] + np.array(target.shift)[:, None]
    found = target.read({"prediction": own.reshape(shape).astype(np.float32)})
    np.testing.assert_allclose(found, target.answers(outputs), atol=1e-4 if target.in_own_unit else 2e-5)


def test_classes_without_names_are_numbered() -> None:
    assert classification(2) == Target("binary", ("target",), classes=("0", "1"))
    assert classification(4) == Target("multiclass", ("target",), classes=("0", "1", "2", "3"))


def test_probabilities_of_extreme_logits_do_not_overflow() -> None:
    logits = np.array([[-1e4, 0.0, 1e4], [800.0, 799.0, -800.0]])
    np.testing.assert_allclose(softmax(logits), scipy_softmax(logits, axis=1))
    np.testing.assert_allclose(sigmoid(logits), expit(logits), rtol=1e-12)
