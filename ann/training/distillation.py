"""Train a network by the answers of another, its teacher (Hinton et al. 2015, arXiv:1503.02531).

The engine trains one module by one loss. So student and teacher answer side by side, and the loss cuts them apart; in
evaluation the student answers alone, and what is measured is its loss by the truth.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn

from ann.config.train import TrainParams
from ann.data.batches import TensorData
from ann.data.target import Target
from ann.errors import StageError
from ann.training.fit import FitResult, fit
from ann.training.losses import Loss, distillation_loss
from ann.training.objective import build_objective

ANSWERS = "teacher"
"""Group of the rows under which answers that a teacher gave beforehand go through a batch."""


def fit_taught(
    student: nn.Module,
    teacher: nn.Module | Tensor,
    train: TensorData,
    valid: TensorData,
    params: TrainParams,
    *,
    target: Target,
    alpha: float,
    temperature: float,
    seed: int,
) -> FitResult:
    """Train `student` in place as `fit` does, by the share `alpha` of the teacher's answers; leave its best weights.

    A `teacher` that is a network answers each batch as it is augmented. One that is somewhere else has answered
    beforehand: (N, K) outputs, one row a training row. Neither is changed. What makes the best weights is the
    student's loss of the validation rows by the truth.

    Raises:
        ConfigError: as `fit`; or answers given beforehand meet rows that augmentation blends.
        StageError: the teacher has other outputs than the target needs; or as `fit`.
    """
    objective = build_objective(student, train, params, target)
    _check_answers(teacher, train, target.outputs)
    if isinstance(teacher, Tensor):
        train = TensorData({**train.inputs, ANSWERS: teacher.to(train.target.device)}, train.target)
    pair = Taught(student, teacher if isinstance(teacher, nn.Module) else None)
    loss = TaughtLoss(objective.loss, target.task, target.outputs, alpha, temperature)
    result = fit(pair, train, valid, params, seed=seed, objective=replace(objective, loss=loss))
    return replace(result, objective=objective)


class Taught(nn.Module):
    """A student whose teacher answers beside it while it is trained.

    The teacher is no part of this module: it has no parameters, no state and no training mode here.
    B rows, M members of an ensemble, K outputs.
    """

    def __init__(self, student: nn.Module, teacher: nn.Module | None) -> None:
        """Without a `teacher` its answers are the group ANSWERS of the inputs."""
        super().__init__()
        self.student = student
        self.members = int(getattr(student, "members", 1))
        self._teacher = (teacher.eval(),) if teacher is not None else ()  # within a tuple torch does not find it

    @property
    def blocks(self) -> Any:
        """What `train.recompute` computes again, if the student has it."""
        return getattr(self.student, "blocks", ())

    def forward(self, inputs: Mapping[str, Tensor]) -> Tensor:
        """{group: (B, ..)} -> in training (B, 2 K) or (B, M, 2 K), the student's before the teacher's; else (B, K)."""
        own: Tensor = self.student({name: values for name, values in inputs.items() if name != ANSWERS})
        if not self.training:
            return own
        with torch.no_grad():
            shown: Tensor = self._teacher[0](inputs) if self._teacher else inputs[ANSWERS]
        if own.ndim > shown.ndim:
            shown = shown.unsqueeze(1).expand(own.shape)
        return torch.cat([own, shown], dim=-1)


@dataclass(frozen=True)
class TaughtLoss:
    """`truth` for outputs of the student alone, `distillation_loss` where the teacher's stand beside them."""

    truth: Loss
    task: str
    outputs: int
    alpha: float
    temperature: float

    def __call__(self, output: Tensor, target: Tensor) -> Tensor:
        """(B, K) or (B, 2 K) outputs, target as `truth` takes it -> ()."""
        if output.shape[1] == self.outputs:
            return self.truth(output, target)
        student, teacher = output[:, : self.outputs], output[:, self.outputs :]
        return distillation_loss(
            student, teacher, target, self.temperature, self.alpha, task=self.task, truth=self.truth
        )


@torch.no_grad()
def _check_answers(teacher: nn.Module | Tensor, train: TensorData, outputs: int) -> None:
    """Raise StageError where a teacher does not answer the rows as the student must."""
    if isinstance(teacher, nn.Module):
        some = train.rows(torch.arange(2, device=train.target.device))
        found, wanted = tuple(teacher.eval()(some.inputs).shape), (2, outputs)
    else:
        found, wanted = tuple(teacher.shape), (len(train), outputs)
    if found != wanted:
        raise StageError(f"the teacher answers {found}, the student needs {wanted}: take a teacher of the same target")
