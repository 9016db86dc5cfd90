"""What a task asks of a network: its loss and why, its metrics, and what does not fit."""

from typing import Any

import numpy as np
import pytest
import torch
from sklearn import metrics as sk
from torch import Tensor

from ann.config.train import TrainParams
from ann.data.batches import TensorData
from ann.data.target import Target, classification
from ann.errors import ConfigError, DataError, StageError
from ann.models.mlp import MLP
from ann.training.fit import fit
from ann.training.objective import Objective, build_objective
from ann.training.prediction import predict_logits

ROWS = 60
QUANTILES = (0.1, 0.5, 0.9)
LABELS = Target("multilabel", ("a", "b", "c"))
NUMBER = Target("regression", ("y",), shift=(50.0,), scale=(4.0,))
NUMBERS = Target("regression", ("y", "z"), shift=(0.0, 0.0), scale=(1.0, 1.0))
AHEAD = Target("forecast", ("y", "z"), horizon=3, shift=(0.0, 0.0), scale=(1.0, 1.0), naive=(0.5, 0.5))
QUANTILE = Target("regression", ("y", "z"), quantiles=QUANTILES, shift=(0.0, 0.0), scale=(1.0, 1.0))
AHEAD_QUANTILES = Target("forecast", ("y",), quantiles=QUANTILES, horizon=3, shift=(0.0,), scale=(1.0,))
REPORTED = {
    "binary": (classification(2), "cross_entropy", ("auc", "accuracy")),
    "multiclass": (classification(3), "cross_entropy", ("accuracy",)),
    "multilabel": (LABELS, "bce_with_logits", ("ap_macro", "f1_micro")),
    "number": (NUMBER, "mse", ("rmse", "mae", "r2")),
    "numbers": (NUMBERS, "mse", ("rmse", "mae", "r2")),
    "forecast": (AHEAD, "mse", ("rmse", "mae")),
    "quantiles": (QUANTILE, "quantile", ("rmse", "mae", "r2")),
    "quantiles ahead": (AHEAD_QUANTILES, "quantile", ("rmse", "mae")),
}
CASES = pytest.mark.parametrize(("target", "loss", "metrics"), REPORTED.values(), ids=REPORTED)


def stored(target: Target) -> Tensor:
    random = np.random.default_rng(0)
    if target.has_classes:
        return torch.from_numpy(random.permutation(np.arange(ROWS) % len(target.classes)))
    shape = (ROWS, target.horizon, len(target.names)) if target.horizon else (ROWS, len(target.names))
    if target.task == "multilabel":
        return torch.from_numpy(random.integers(2, size=shape).astype(np.float32))
    return torch.from_numpy(random.uniform(-1, 1, size=shape).astype(np.float32))


def data(target: Target) -> TensorData:
    random = torch.Generator().manual_seed(0)
    return TensorData({"numeric": torch.randn(ROWS, 4, generator=random)}, stored(target))


def network(outputs: int) -> MLP:
    torch.manual_seed(1)
    return MLP(width=4, sizes=[], outputs=outputs, hidden=[8], dropout=0.5)


def objective(target: Target, **params: Any) -> Objective:
    settings = TrainParams(**{"batch_size": 30, **params})
    return build_objective(network(target.outputs), data(target), settings, target)


@CASES
def test_a_task_has_its_loss_and_reports_its_metrics(target: Target, loss: str, metrics: tuple[str, ...]) -> None:
    found = objective(target)
    assert (found.loss_params.name, found.metrics, found.watch) == (loss, metrics, "loss")
    assert found.reason.startswith(f"{loss}, since ")
    assert found.target == target


@CASES
def test_the_loss_of_a_network_is_a_number_with_a_gradient(target: Target, loss: str, metrics: tuple[str, ...]) -> None:
    rows = data(target)
    outputs = network(target.outputs)(rows.inputs)
    value = objective(target).loss(outputs, rows.target)
    assert value.shape == ()
    assert value > 0
    [gradient] = torch.autograd.grad(value, outputs)
    assert (gradient != 0).any(dim=0).all()


@CASES
def test_training_makes_the_loss_smaller_and_tells_the_metrics(
    target: Target, loss: str, metrics: tuple[str, ...]
) -> None:
    rows, trained = data(target), network(target.outputs)
    params = TrainParams(epochs=25, batch_size=30, optimizer={"lr": 0.02}, early_stopping=None)
    found = build_objective(trained, rows, params, target)
    history = fit(trained, rows, rows, params, seed=0, objective=found).history
    assert history[-1].valid_loss < history[0].valid_loss
    assert {tuple(record.metrics) for record in history} == {metrics}


def test_without_a_target_rows_have_as_many_classes_as_the_network_has_outputs() -> None:
    found = build_objective(network(3), data(classification(3)), TrainParams(batch_size=30))
    assert found.target == classification(3)


def test_looking_at_the_outputs_leaves_the_network_in_its_mode() -> None:
    for training in (True, False):
        looked_at = network(3).train(training)
        build_objective(looked_at, data(classification(3)), TrainParams(batch_size=30))
        assert looked_at.training is training


def test_a_network_with_another_number_of_outputs_is_refused() -> None:
    with pytest.raises(StageError, match="the network has 4 outputs, but the regression target needs 6"):
        build_objective(network(4), data(QUANTILE), TrainParams(batch_size=30), QUANTILE)


def test_a_label_outside_the_classes_is_refused() -> None:
    rows = data(classification(3))
    with pytest.raises(DataError, match=r"have a label outside 0\.\.1 \(least 0, greatest 2\)"):
        build_objective(network(2), rows, TrainParams(batch_size=30), classification(2))


@pytest.mark.parametrize("target", [LABELS, NUMBER, AHEAD], ids=lambda target: target.task)
def test_balanced_sampling_is_refused_without_classes(target: Target) -> None:
    with pytest.raises(ConfigError, match=rf"train\.sampling: balanced .*not a {target.task} target: write shuffle"):
        objective(target, sampling="balanced")


@pytest.mark.parametrize(
    ("target", "loss", "message"),
    [
        (NUMBER, "cross_entropy", "cross_entropy does not fit a regression target; write one of auto, huber"),
        (AHEAD, "focal", "focal does not fit a regression target; write one of auto, huber, mae, mse, quantile"),
        (LABELS, "mse", "mse does not fit a multilabel target; write one of auto, bce, bce_with_logits"),
        (classification(3), "bce", "bce does not fit a multiclass target; write one of auto, cross_entropy"),
        (classification(3), "quantile", "quantile does not fit a multiclass target"),
        (NUMBER, "quantile", r"quantile needs data\.quantiles"),
        (QUANTILE, "mae", r"mae cannot learn data\.quantiles; write auto"),
        (AHEAD_QUANTILES, "huber", r"huber cannot learn data\.quantiles; write auto"),
    ],
)
def test_a_loss_of_another_task_is_refused(target: Target, loss: str, message: str) -> None:
    with pytest.raises(ConfigError, match=rf"train\.loss: {message}"):
        objective(target, loss={"name": loss})


@pytest.mark.parametrize(
    ("target", "loss"), [(NUMBER, "mae"), (AHEAD, "huber"), (LABELS, "bce"), (QUANTILE, "quantile")]
)
def test_a_loss_that_fits_is_taken_as_named(target: Target, loss: str) -> None:
    found = objective(target, loss={"name": loss})
    assert (found.loss_params.name, found.reason) == (loss, f"{loss}, since params.yaml names it")


@pytest.mark.parametrize(
    ("target", "watch", "metrics"),
    [
        (classification(2), "brier", ("auc", "accuracy", "brier")),
        (LABELS, "hamming", ("ap_macro", "f1_micro", "hamming")),
        (NUMBER, "median_ae", ("rmse", "mae", "r2", "median_ae")),
        (AHEAD, "mase", ("rmse", "mae", "mase")),
        (QUANTILE, "coverage", ("rmse", "mae", "r2", "coverage")),
        (NUMBER, "loss", ("rmse", "mae", "r2")),
    ],
)
def test_what_is_watched_is_reported_too(target: Target, watch: str, metrics: tuple[str, ...]) -> None:
    found = objective(target, early_stopping={"watch": watch})
    assert (found.watch, found.metrics) == (watch, metrics)


def test_a_metric_of_another_task_cannot_be_watched() -> None:
    for target, watch in ((NUMBER, "accuracy"), (LABELS, "auc"), (NUMBER, "mase"), (classification(3), "ap")):
        with pytest.raises(ConfigError, match=rf"watch: '{watch}' is no metric of a {target.task} task"):
            objective(target, early_stopping={"watch": watch})
    with pytest.raises(ConfigError, match=r"'median_a' is no metric.*did you mean 'median_ae'\?"):
        objective(NUMBER, early_stopping={"watch": "median_a"})


@pytest.mark.parametrize(("watch", "sign"), [("loss", 1), ("rmse", 1), ("r2", -1), ("mase", 1)])
def test_what_is_watched_must_fall(watch: str, sign: int) -> None:
    found = objective(AHEAD, early_stopping={"watch": watch})
    assert found.watched(7.0, {"rmse": 7.0, "r2": 7.0, "mase": 7.0}) == sign * 7.0


def test_a_single_number_is_measured_in_its_own_unit_and_lost_in_the_scaled_one() -> None:
    rows = data(NUMBER)
    outputs = predict_logits(network(1), rows)
    loss, metrics = objective(NUMBER).measure(outputs, rows.target)
    truth, answers = rows.target.double().numpy(), outputs.double().numpy()
    assert loss == pytest.approx(sk.mean_squared_error(truth, answers), rel=1e-5)
    assert metrics["rmse"] == pytest.approx(4 * sk.root_mean_squared_error(truth, answers), rel=1e-9)
    assert metrics["r2"] == pytest.approx(sk.r2_score(truth, answers), rel=1e-9)


def test_labels_are_measured_from_their_probabilities() -> None:
    rows = data(LABELS)
    outputs = predict_logits(network(3), rows)
    loss, metrics = objective(LABELS).measure(outputs, rows.target)
    truth, probabilities = rows.target.numpy(), torch.sigmoid(outputs.double()).numpy()
    assert loss == pytest.approx(np.mean([sk.log_loss(truth[:, k], probabilities[:, k]) for k in range(3)]), rel=1e-5)
    assert metrics["ap_macro"] == pytest.approx(sk.average_precision_score(truth, probabilities), rel=1e-9)
    assert metrics["f1_micro"] == pytest.approx(sk.f1_score(truth, outputs.numpy() > 0, average="micro"), rel=1e-9)


def test_quantiles_ahead_are_measured_at_their_middle_and_lost_at_all() -> None:
    rows = data(AHEAD_QUANTILES)
    outputs = predict_logits(network(9), rows)
    loss, metrics = objective(AHEAD_QUANTILES).measure(outputs, rows.target)
    truth, answers = rows.target.double().numpy()[..., 0], outputs.double().numpy().reshape(ROWS, 3, 3)
    losses = [sk.mean_pinball_loss(truth, answers[..., i], alpha=q) for i, q in enumerate(QUANTILES)]
    assert loss == pytest.approx(np.mean(losses), rel=1e-5)
    assert metrics["mae"] == pytest.approx(sk.mean_absolute_error(truth, answers[..., 1]), rel=1e-9)
