"""All that changes while a network is fitted, and what a step needs beside it."""

import math
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from ann.config.schedules import Plateau
from ann.config.train import TrainParams
from ann.data.batches import TensorData, batch_sizes
from ann.training.augmentation import Augment, build_augment
from ann.training.averaging import Average
from ann.training.distributed import SINGLE, Group
from ann.training.flat import FlatParameters
from ann.training.objective import Objective
from ann.training.optimizers import FlatOptimizer, build_optimizer
from ann.training.precision import LossScale, pick_precision
from ann.training.schedules import PlateauState, lr_factor
from ann.training.stopping import BestWeights


@dataclass(frozen=True)
class EpochRecord:
    """What one epoch gave. Losses are means over rows; metrics are of the validation rows.

    `lr` is that of the epoch's last step. The norms of gradients are those of its last full batch, before `clip_norm`;
    `grad_norm` is before `clip_value`, too.
    """

    epoch: int
    lr: float
    train_loss: float
    valid_loss: float
    grad_norm: float
    metrics: dict[str, float]
    layer_norms: dict[str, float]
    """Norm of each matrix's gradient, by the layer's name."""

    def row(self) -> dict[str, float]:
        """Return one flat row of history.csv."""
        plain = {"epoch": self.epoch, "lr": self.lr, "train_loss": self.train_loss, "valid_loss": self.valid_loss}
        named = {f"valid_{name}": value for name, value in self.metrics.items()}
        return plain | named | {"grad_norm": self.grad_norm}


@dataclass
class TrainState:
    """Everything that a step reads or changes."""

    network: nn.Module
    params: TrainParams
    objective: Objective
    flat: FlatParameters
    optimizer: FlatOptimizer
    best: BestWeights
    average: Average | None
    scale: LossScale | None
    plateau: PlateauState | None
    augment: Augment | None
    precision: str
    group: Group
    batch_size: int
    steps_per_epoch: int
    accumulate: int
    """Parts a batch is computed in; doubles when memory runs out."""
    epoch: int = 1
    """The epoch that runs, from 1."""
    done: int = 0
    """Its steps that are done."""
    losses: list[float] = field(default_factory=list)
    """Mean loss of each step of the epoch, as far as they were read from the device."""
    last_norm: Tensor | None = None
    """() norm of all gradients before clipping, at the last step; None where the step did not need it."""
    divisor: Tensor | None = None
    """() what the optimizer divided the gradients by, at the last step."""
    grad_norm: float = math.nan
    """Norm of all gradients at the epoch's last full batch, once it is done."""
    layer_norms: dict[str, float] = field(default_factory=dict)
    """Likewise of each matrix's gradient, by the layer's name."""
    history: list[EpochRecord] = field(default_factory=list)
    stopped_early: bool = False

    @property
    def step(self) -> int:
        """Steps since the start."""
        return (self.epoch - 1) * self.steps_per_epoch + self.done

    @property
    def device(self) -> torch.device:
        """Where weights and data lie."""
        return self.flat.weights.device

    @property
    def finished(self) -> bool:
        """Whether no epoch is left to run."""
        return self.stopped_early or self.epoch > self.params.epochs

    @property
    def total_steps(self) -> int:
        """Steps of all epochs."""
        return self.params.epochs * self.steps_per_epoch

    def note_norms(self) -> None:
        """Read the norms of the last step's gradients, before clipping, in the network's order."""
        named = {
            name.removesuffix(".weight"): parameter.grad
            for name, parameter in self.network.named_parameters()
            if parameter.grad is not None and parameter.ndim >= 2
        }
        factor = 1.0 if self.divisor is None else self.divisor.item()  # the fused kernels divide in place
        norms = torch.stack(torch._foreach_norm(list(named.values()))) * factor
        self.layer_norms = dict(zip(named, norms.tolist(), strict=True))
        everything = torch.linalg.vector_norm(self.flat.gradients) if self.last_norm is None else self.last_norm
        self.grad_norm = everything.item()

    def lr(self, step: int) -> float:
        """Return the learning rate of a step, counted from 0."""
        factor = lr_factor(step, self.total_steps, self.steps_per_epoch, self.params.schedule)
        return self.params.optimizer.lr * factor * (self.plateau.factor if self.plateau else 1.0)


def start_state(
    network: nn.Module, train: TensorData, params: TrainParams, objective: Objective, group: Group = SINGLE
) -> TrainState:
    """Return the state before the first step; the network's parameters become views into flat buffers."""
    flat = FlatParameters.of(network)
    batch_size = len(train) if params.optimizer.name == "gd" else params.batch_size
    stopping = params.early_stopping
    precision = pick_precision(params.precision, flat.weights.device)
    return TrainState(
        network=network,
        params=params,
        objective=objective,
        flat=flat,
        optimizer=build_optimizer(network, flat, params.optimizer),
        best=BestWeights(stopping.patience, stopping.min_delta, stopping.window) if stopping else BestWeights(),
        average=Average.of(params.average, flat, network),
        scale=LossScale.of(precision, flat.weights.device),
        plateau=PlateauState() if isinstance(params.schedule, Plateau) else None,
        augment=build_augment(
            params.augment,
            groups=train.inputs.keys(),
            num_classes=objective.target.outputs if objective.target.has_classes else None,
        ),
        precision=precision,
        group=group,
        batch_size=batch_size,
        steps_per_epoch=len(batch_sizes(len(train), batch_size)),
        accumulate=params.accumulate,
    )
