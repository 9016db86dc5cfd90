"""What a network's outputs become: in the file, in `Target.answers`, and back through `Target.read`."""

import numpy as np
import pytest
from scipy import special

from ann.data.target import Target, sigmoid
from ann.export.answer import answer_graph, prediction_shape
from ann.export.network import open_session

THREE = (0.1, 0.5, 0.9)
TARGETS = {
    "binary": Target("binary", ("t",), classes=("no", "yes")),
    "multiclass": Target("multiclass", ("t",), classes=("2", "10", "b")),
    "multilabel": Target("multilabel", ("a", "b")),
    "regression": Target("regression", ("t",), shift=(300.0,), scale=(20.0,)),
    "several": Target("regression", ("a", "b"), shift=(300.0, -1.0), scale=(20.0, 0.1)),
    "quantiles": Target("regression", ("t",), quantiles=THREE, shift=(300.0,), scale=(20.0,)),
    "quantiles of several": Target("regression", ("a", "b"), quantiles=THREE, shift=(300.0, -1.0), scale=(20.0, 0.1)),
    "forecast": Target("forecast", ("a", "b"), horizon=4, shift=(300.0, -1.0), scale=(20.0, 0.1)),
    "forecast of one": Target("forecast", ("a",), horizon=4, shift=(300.0,), scale=(20.0,)),
    "forecast of quantiles": Target(
        "forecast", ("a", "b"), horizon=4, quantiles=THREE, shift=(300.0, -1.0), scale=(20.0, 0.1)
    ),
}
SHAPES = {
    "regression": (),
    "several": (2,),
    "quantiles": (3,),
    "quantiles of several": (2, 3),
    "forecast": (4, 2),
    "forecast of one": (4, 1),
    "forecast of quantiles": (4, 2, 3),
}


def outputs(name: str, rows: int = 9) -> np.ndarray:
    return np.random.default_rng(0).normal(scale=3, size=(rows, TARGETS[name].outputs)).astype(np.float32)


def answer(name: str, logits: np.ndarray) -> dict[str, np.ndarray]:
    session = open_session(answer_graph(TARGETS[name]))
    names = [put.name for put in session.get_outputs()]
    return dict(zip(names, session.run(names, {"logits": logits}), strict=True))


@pytest.mark.parametrize("rows", [1, 9])
@pytest.mark.parametrize("name", TARGETS)
def test_what_the_file_answers_is_read_as_what_the_outputs_mean(name, rows):
    target, logits = TARGETS[name], outputs(name, rows)
    found, expected = target.read(answer(name, logits)), target.answers(logits)
    assert (found.dtype, found.shape) == (np.float64, expected.shape)
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("name", TARGETS)
def test_no_rows_are_answered_by_no_rows(name):
    assert {len(values) for values in answer(name, outputs(name, 0)).values()} == {0}


@pytest.mark.parametrize("name", ["binary", "multiclass"])
def test_classes_are_answered_with_label_and_probabilities(name):
    logits = outputs(name)
    found = answer(name, logits)
    assert list(found) == ["label", "probabilities"]
    np.testing.assert_allclose(found["probabilities"], special.softmax(logits, axis=1), atol=1e-6)
    assert found["label"].tolist() == [TARGETS[name].classes[k] for k in logits.argmax(axis=1)]
    assert found["probabilities"].dtype == np.float32


def test_labels_are_set_where_their_probability_is_above_a_half():
    logits = np.array([[0.1, -0.1], [0.0, 30.0], [-30.0, 5.0]], np.float32)
    found = answer("multilabel", logits)
    assert list(found) == ["labels", "probabilities"]
    assert found["labels"].dtype == bool
    assert found["labels"].tolist() == [[True, False], [False, True], [False, True]]
    np.testing.assert_allclose(found["probabilities"], special.expit(logits), atol=1e-6)


@pytest.mark.parametrize("name", SHAPES)
def test_predictions_are_in_their_own_units_in_the_shape_of_targets_and_quantiles(name):
    target, logits = TARGETS[name], outputs(name)
    [(key, found)] = answer(name, logits).items()
    assert (key, found.shape, tuple(prediction_shape(target))) == ("prediction", (9, *SHAPES[name]), SHAPES[name])
    whole = found.reshape(9, max(1, target.horizon), len(target.names), max(1, len(target.quantiles)))
    times, columns, quantiles = whole.shape[1:]
    for h, c, q in np.ndindex(times, columns, quantiles):
        expected = logits[:, (h * columns + c) * quantiles + q] * target.scale[c] + target.shift[c]
        np.testing.assert_allclose(whole[:, h, c, q], expected, rtol=1e-5)


@pytest.mark.parametrize("constant", [7.0, 0.1])
def test_a_target_that_is_constant_in_the_training_rows_is_not_blown_up(constant):
    target = Target("regression", ("a",)).fitted(np.full((1000, 1), constant))
    assert target.scale == (1.0,)
    np.testing.assert_allclose(target.stored(np.array([[constant], [constant + 2]])), [[0], [2]], atol=1e-6)


def test_sigmoid_equals_scipy_without_overflow():
    logits = np.array([-1e4, -30.0, -1.0, 0.0, 2.0, 40.0, 1e4])
    np.testing.assert_allclose(sigmoid(logits), special.expit(logits), rtol=1e-12, atol=1e-300)
