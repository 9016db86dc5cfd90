"""Distillation: another, smaller architecture learns the answers of the large network."""

from pathlib import Path
from typing import Any

from torch import Tensor, nn

from ann.config.model import Architecture
from ann.config.train import TrainParams
from ann.data.batches import TensorData
from ann.data.target import Target
from ann.errors import ConfigError
from ann.models.tabular import Tabular
from ann.training.distillation import fit_taught
from ann.training.network import new_network
from ann.training.step import DivergenceError


def distil(
    teacher: nn.Module | Tensor,
    model: Architecture,
    *,
    schema: dict[str, Any],
    target: Target,
    train: TensorData,
    valid: TensorData,
    settings: TrainParams,
    alpha: float,
    temperature: float,
    seed: int,
    epochs: int | None = None,
    lr: float | None = None,
    folder: Path | None = None,
) -> nn.Module:
    """Return a network of the architecture `model`, trained from the start, in evaluation mode on the rows' device.

    It is trained as `settings` say, optimizer, schedule and early stopping included; `epochs` and `lr` take the place
    of theirs. `teacher`, `alpha` and `temperature` are as `fit_taught` takes them. `schema` is schema.json, `folder`
    the project's, where networks of its own lie.

    Raises:
        ConfigError: the architecture does not fit the data.
        StageError: training diverges, or the teacher answers another target.
    """
    student = _student(model, schema, seed, folder).to(train.target.device)
    if isinstance(student, Tabular):
        student.adapt(train.inputs)
    params = _params(settings, epochs, lr)
    try:
        fit_taught(
            student, teacher, train, valid, params, target=target, alpha=alpha, temperature=temperature, seed=seed
        )
    except DivergenceError as error:
        rate = params.optimizer.lr
        raise DivergenceError(
            f"{error}; this is the student of a step distil in compress.recipes, at lr {rate:g}"
        ) from None
    return student.eval()


def _student(model: Architecture, schema: dict[str, Any], seed: int, folder: Path | None) -> nn.Module:
    """Build the network; what does not fit is said of the recipe, where the architecture stands."""
    try:
        return new_network(model, schema, seed, folder)
    except ConfigError as error:
        raise ConfigError(f"compress.recipes: the student of a step distil cannot be built: {error}") from error


def _params(settings: TrainParams, epochs: int | None, lr: float | None) -> TrainParams:
    optimizer = settings.optimizer if lr is None else settings.optimizer.model_copy(update={"lr": lr})
    return settings.model_copy(update={"epochs": epochs or settings.epochs, "optimizer": optimizer})
