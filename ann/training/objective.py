"""What a task asks of a network: the loss that training makes small, and the metrics that an epoch reports."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from ann.config.losses import AutoLoss, LossParams
from ann.config.losses import Quantile as QuantileLoss
from ann.config.train import TrainParams
from ann.data.batches import TensorData
from ann.data.target import Target, classification
from ann.errors import ConfigError, StageError, did_you_mean
from ann.evaluation.scoring import gain_sign, metrics_of, primary_metric, score
from ann.training.losses import Loss, build_loss, check_target, choose_loss

LOSS = "loss"
"""What `early_stopping.watch` calls the validation loss."""
LOSS_TASKS = {"forecast": "regression"}
"""Tasks whose losses are those of another."""


@dataclass(frozen=True)
class Objective:
    """Loss and metrics of a task."""

    target: Target
    loss: Loss
    loss_params: LossParams
    reason: str
    """Why this loss."""
    metrics: tuple[str, ...]
    """What an epoch reports of the validation rows."""
    watch: str
    """`loss` or one of the metrics."""

    def measure(self, outputs: Tensor, target: Tensor) -> tuple[float, dict[str, float]]:
        """(N, outputs), stored target (N, ...) -> mean loss and the metrics by name."""
        loss = self.loss(outputs, target).item()
        answers, truth = self.target.answers(outputs.cpu().numpy()), self.target.truth(target.cpu().numpy())
        return loss, {name: score(self.target, name, answers, truth) for name in self.metrics}

    def watched(self, loss: float, metrics: dict[str, float]) -> float:
        """Return the value that must fall: the loss, or a metric, negated where more is better."""
        return loss if self.watch == LOSS else -gain_sign(self.watch) * metrics[self.watch]


def build_objective(
    network: nn.Module, train: TensorData, params: TrainParams, target: Target | None = None
) -> Objective:
    """Choose the loss by `params` and the training rows.

    Without a `target` the rows have classes, as many as the network has outputs.

    Raises:
        ConfigError: the loss does not fit the task, or `early_stopping.watch` names no metric of it.
        DataError: a label is outside the classes.
        StageError: the network has another number of outputs than the target needs.
    """
    outputs = _outputs(network, train)
    target = target or classification(outputs)
    if outputs != target.outputs:
        raise StageError(f"the network has {outputs} outputs, but the {target.task} target needs {target.outputs}")
    if target.has_classes:
        check_target(train.target, outputs)
    elif params.sampling == "balanced":
        raise ConfigError(f"train.sampling: balanced needs one class a row, not a {target.task} target: write shuffle")
    task = LOSS_TASKS.get(target.task, target.task)
    wanted, reason = params.loss, f"{params.loss.name}, since params.yaml names it"
    if isinstance(wanted, AutoLoss):
        if target.quantiles:
            wanted, reason = QuantileLoss(name="quantile"), "quantile, since data.quantiles asks for them"
        else:
            wanted, reason = choose_loss(task, train.target)
    names = list(metrics_of(target))
    watch = params.early_stopping.watch if params.early_stopping else LOSS
    if watch not in (LOSS, *names):
        raise ConfigError(
            f"train.early_stopping.watch: {watch!r} is no metric of a {target.task} task"
            f"{did_you_mean(watch, [LOSS, *names])}"
        )
    reported = {primary_metric(target), *REPORTED.get(target.task, ())} | ({watch} - {LOSS})
    return Objective(
        target,
        build_loss(wanted, task=task, target=train.target, quantiles=target.quantiles),
        wanted,
        reason,
        tuple(name for name in names if name in reported),
        watch,
    )


@torch.no_grad()
def _outputs(network: nn.Module, data: TensorData) -> int:
    training = network.training
    outputs = network.eval()(data.rows(torch.arange(2, device=data.target.device)).inputs)
    network.train(training)
    return int(outputs.shape[1])


REPORTED = {
    "binary": ("accuracy",),
    "forecast": ("mae",),
    "multiclass": ("accuracy",),
    "multilabel": ("f1_micro",),
    "regression": ("mae", "r2"),
}
"""What an epoch reports beside the most important metric."""
