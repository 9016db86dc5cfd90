"""A project trained within this process: the code of the stages prepare and train, without DVC and MLflow."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from time import monotonic
from typing import Any

import numpy as np
from ruamel.yaml import YAML
from torch import nn

import ann
from ann.artifacts import load_json
from ann.config import Params
from ann.data.batches import TensorData
from ann.data.schema import Schema
from ann.data.target import Target
from ann.data.windows import load_part
from ann.project import Project
from ann.stages import prepare
from ann.stages.train import prepared_training
from ann.training.fit import fit
from ann.training.objective import build_objective
from ann.training.prediction import predict_logits
from benchmarks.quality.kept import Figures

FRAME: dict[str, Any] = {
    "ann": ann.__version__,
    "seed": 0,
    "validate": {},
    "prepare": {},
    "model": {},
    "train": {},
    "evaluate": {},
    "compress": {},
    "export": {},
    "register": {},
    "schedule": {},
}
"""What every params.yaml must hold."""


@dataclass(frozen=True, eq=False)
class Answers:
    """What a network says about the rows of a part, and the truth; `rows` are their numbers in the table."""

    answers: np.ndarray
    truth: np.ndarray
    rows: np.ndarray


@dataclass(frozen=True, eq=False)
class Trained:
    """A finished training."""

    valid: Answers
    test: Answers
    train_rows: np.ndarray
    """Numbers of the training rows in the table."""
    seconds: float
    """Of the training, from loading the prepared rows to the best weights."""
    epochs: int
    best_epoch: int
    loss: float
    """On validation rows, at the best epoch."""


def figures(settings: dict[str, Any], data: Path, score: Callable[[Answers], Figures], seed: int) -> Figures:
    """Train, and return the `score` of the test rows, that of the validation rows, and how long it took."""
    done = trained(settings, data, seed)
    return {
        **score(done.test),
        **{f"valid_{name}": value for name, value in score(done.valid).items()},
        "seconds": done.seconds,
        "epochs": done.epochs,
        "best_epoch": done.best_epoch,
    }


def trained(settings: dict[str, Any], data: Path, seed: int) -> Trained:
    """Prepare and train what `settings`, sections of params.yaml, say about the rows in `data`."""
    with project_of(settings, data, seed) as project:
        return trained_project(project.params(), project)


@contextmanager
def project_of(settings: dict[str, Any], data: Path, seed: int) -> Iterator[Project]:
    """Yield a project in a temporary folder, its rows prepared."""
    with TemporaryDirectory() as folder:
        root = Path(folder)
        (root / "data").symlink_to(data.resolve())
        with (root / "params.yaml").open("w") as stream:
            YAML().dump({**FRAME, **settings, "seed": seed}, stream)
        project = Project.at(root)
        prepare.run(project.params(), project)
        yield project


def trained_project(params: Params, project: Project) -> Trained:
    """Train on the prepared rows of a project, and answer about its validation and test rows."""
    before = monotonic()
    prepared = prepared_training(params, project)
    objective = build_objective(prepared.network, prepared.train, params.train, prepared.target)
    result = fit(prepared.network, prepared.train, prepared.valid, params.train, seed=params.seed, objective=objective)
    seconds = monotonic() - before
    schema = Schema.from_json(load_json(project.build.schema))
    parts = {name: load_part(project.build.folder("prepare") / name, schema) for name in ("train", "valid", "test")}
    return Trained(
        valid=_answers(prepared.network, parts["valid"], prepared.target),
        test=_answers(prepared.network, parts["test"], prepared.target),
        train_rows=parts["train"]["rows"],
        seconds=seconds,
        epochs=len(result.history),
        best_epoch=result.best_epoch,
        loss=result.best_loss,
    )


def _answers(network: nn.Module, arrays: dict[str, np.ndarray], target: Target) -> Answers:
    logits = predict_logits(network, TensorData.on_device(arrays)).numpy()
    return Answers(target.answers(logits), target.truth(arrays["target"]), arrays["rows"])
