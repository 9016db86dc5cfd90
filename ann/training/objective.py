"""What a task asks of a network: the loss that training makes small, and the metrics that an epoch reports."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from ann.config.losses import AutoLoss, LossParams
from ann.config.train import TrainParams
from ann.data.batches import TensorData
from ann.errors import ConfigError, did_you_mean
from ann.evaluation.metrics import gain_sign, metric_names, primary_metric, score
from ann.training.losses import Loss, build_loss, check_target, choose_loss

LOSS = "loss"
"""What `early_stopping.watch` calls the validation loss."""


@dataclass(frozen=True)
class Objective:
    """Loss and metrics of a classification with K classes."""

    num_classes: int
    loss: Loss
    loss_params: LossParams
    reason: str
    """Why this loss."""
    metrics: tuple[str, ...]
    """What an epoch reports of the validation rows."""
    watch: str
    """`loss` or one of the metrics."""

    def measure(self, logits: Tensor, target: Tensor) -> tuple[float, dict[str, float]]:
        """(N, K) logits and (N,) classes -> mean loss and the metrics by name."""
        loss = self.loss(logits, target).item()
        probabilities = torch.softmax(logits.double(), dim=1).cpu().numpy()
        truth = target.cpu().numpy()
        return loss, {name: score(name, probabilities, truth) for name in self.metrics}

    def watched(self, loss: float, metrics: dict[str, float]) -> float:
        """Return the value that must fall: the loss, or a metric, negated where more is better."""
        return loss if self.watch == LOSS else -gain_sign(self.watch) * metrics[self.watch]


def build_objective(network: nn.Module, train: TensorData, params: TrainParams) -> Objective:
    """Choose the loss by `params` and the training rows; K is what the network answers with.

    Raises:
        ConfigError: the loss does not fit the task, or `early_stopping.watch` names no metric of it.
        DataError: a label is outside the classes.
    """
    num_classes = _outputs(network, train)
    check_target(train.target, num_classes)
    task = "binary" if num_classes == 2 else "multiclass"
    wanted, reason = params.loss, f"{params.loss.name}, since params.yaml names it"
    if isinstance(wanted, AutoLoss):
        wanted, reason = choose_loss(task, train.target)
    names = metric_names(num_classes)
    watch = params.early_stopping.watch if params.early_stopping else LOSS
    if watch not in (LOSS, *names):
        raise ConfigError(
            f"train.early_stopping.watch: {watch!r} is no metric of {num_classes} classes"
            f"{did_you_mean(watch, [LOSS, *names])}"
        )
    reported = {primary_metric(num_classes), "accuracy"} | ({watch} - {LOSS})
    return Objective(
        num_classes,
        build_loss(wanted, task=task, target=train.target),
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
