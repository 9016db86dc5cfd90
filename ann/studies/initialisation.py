"""The initialisation study: one perceptron from four kinds of first weights, several seeds each.

Two hidden layers of 128 and 64 relu units without normalisation, 784-128-64-10 on MNIST, fitted by plain SGD with a
constant learning rate on batches of 64 rows. Published on MNIST are 85, 92, 96 and 97 % for zeros, small random, Xavier
and He. From zeros, though, relu gives every matrix a gradient of zero: only the last bias learns, every row gets the
same class, and what is measured is the share of that class, as a rule the most frequent one.

S seeds, E epochs.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from ann.artifacts import load_json, save_json
from ann.config.losses import CrossEntropy
from ann.config.optimizers import SGD
from ann.config.schedules import Constant
from ann.config.train import TrainParams
from ann.data.batches import TensorData
from ann.data.schema import Schema
from ann.data.target import Target
from ann.data.windows import load_part
from ann.errors import ConfigError, DataError
from ann.models.mlp import MLP
from ann.project import Project
from ann.report.initialisation import draw_initialisation, print_initialisation
from ann.seeding import stream_seed
from ann.studies.runs import study_experiment, study_run
from ann.tracking.runs import EpochLogger
from ann.tracking.store import Store
from ann.training.fit import fit
from ann.training.losses import check_classes
from ann.training.network import pick_device
from ann.training.objective import build_objective
from ann.training.prediction import predict_logits
from ann.training.step import DivergenceError

NAME = "initialisation"
HIDDEN = (128, 64)
BATCH_SIZE = 64
PUBLISHED = {"zeros": 0.85, "normal": 0.92, "xavier_normal": 0.96, "he_normal": 0.97}
"""Accuracy on MNIST by strategy of ann.models.initialisation; `normal` is the small random one, of deviation 0.01."""


@dataclass(frozen=True, eq=False)
class StudyRows:
    """What all trainings of a study read; images are flat rows of numbers."""

    train: TensorData
    valid: TensorData
    target: Target
    sizes: tuple[int, ...] = ()
    """Ids of each category column."""
    test: TensorData | None = None
    """Rows that the end is measured on; without them the validation rows serve."""

    @property
    def judged(self) -> TensorData:
        """Return the rows that the end is measured on."""
        return self.valid if self.test is None else self.test


@dataclass(frozen=True, eq=False)
class Outcome:
    """Accuracies by strategy."""

    epochs: dict[str, np.ndarray]
    """(S, E) of the validation rows after each epoch."""
    final: dict[str, np.ndarray]
    """(S,) of the weights of the best epoch, on test rows where there are any."""
    majority: float
    """Share of the most frequent training class among the rows of `final`."""


def study_project(
    project: Project,
    *,
    epochs: int,
    seeds: int,
    lr: float,
    data: Path | None = None,
    told: Callable[[str], None],
) -> Path:
    """Run the study on a project's prepared rows, print its table, and return the folder of its picture and numbers.

    Seeds count from the project's; `data` is another folder that `prepare` wrote; `told` is as in `run_study`.

    Raises:
        ConfigError: a training diverges at this learning rate.
        DataError: the rows are not of one class each, or hold more than numbers and categories, or images.
        BusyError: the study runs already.
    """
    params = project.params()
    if params.train.threads is not None:
        torch.set_num_threads(params.train.threads)
    rows = prepared_rows(data or project.build.folder("prepare"), pick_device(params.train.device))
    chosen = range(params.seed, params.seed + seeds)
    try:
        outcome = run_study(rows, project, params.register_.name, seeds=chosen, epochs=epochs, lr=lr, told=told)
    except DivergenceError:
        raise ConfigError(f"--lr: a training diverged at {lr:g}, which is too high for these rows: lower it") from None
    folder = project.build.folder("study")
    save_json(folder / f"{NAME}.json", _content(outcome, list(chosen), lr))
    draw_initialisation(outcome.epochs, folder / f"{NAME}.png")
    print_initialisation(outcome.final, PUBLISHED, outcome.majority)
    return folder


def prepared_rows(folder: Path, device: torch.device) -> StudyRows:
    """Read what `prepare` wrote, images as flat rows.

    Raises:
        DataError: the rows are not of one class each, or hold more than numbers and categories, or images.
    """
    content = load_json(folder / "schema.json")
    schema, groups = Schema.from_json(content), content["groups"]
    if not schema.target.has_classes:
        raise DataError(
            f"the {NAME} study counts right classes, but the task of {folder} is {schema.target.task}: "
            f"take a project with a binary or multiclass target"
        )
    if set(groups) != {"image"} and not set(groups) <= {"numeric", "categorical"}:
        raise DataError(
            f"the {NAME} study reads numeric and categorical columns, or images alone, but {folder} has "
            f"{' and '.join(groups)}: drop columns in data.columns, or take another project"
        )
    train, valid = (
        _flat(TensorData.on_device(load_part(folder / part, schema), device)) for part in ("train", "valid")
    )
    check_classes(train.target, valid.target, schema.target.classes)
    sizes = tuple(groups.get("categorical", {}).get("sizes", ()))
    return StudyRows(train, valid, schema.target, sizes)


def run_study(
    rows: StudyRows,
    project: Project,
    name: str,
    *,
    seeds: Sequence[int],
    epochs: int,
    lr: float,
    told: Callable[[str], None],
) -> Outcome:
    """Train from each strategy with each seed, one run each in the MLflow experiment `<name>-initialisation`.

    `told` gets a line when a training ends.
    """
    curves: dict[str, list[list[float]]] = {strategy: [] for strategy in PUBLISHED}
    final: dict[str, list[float]] = {strategy: [] for strategy in PUBLISHED}
    with study_experiment(project, NAME, name) as store:
        for seed in seeds:
            for strategy in PUBLISHED:
                curve, end = _train(rows, store, project, strategy, seed=seed, epochs=epochs, lr=lr)
                curves[strategy].append(curve)
                final[strategy].append(end)
                told(f"{strategy}, seed {seed}: accuracy {end:.4f}")
    frequent = rows.train.target.bincount().argmax()
    return Outcome(
        {strategy: np.array(values) for strategy, values in curves.items()},
        {strategy: np.array(values) for strategy, values in final.items()},
        (rows.judged.target == frequent).double().mean().item(),
    )


def _train(
    rows: StudyRows, store: Store, project: Project, strategy: str, *, seed: int, epochs: int, lr: float
) -> tuple[list[float], float]:
    """Return the validation rows' accuracy by epoch, and that of the best epoch's weights on the rows judged."""
    params = TrainParams(
        epochs=epochs,
        batch_size=min(BATCH_SIZE, len(rows.train)),
        loss=CrossEntropy(name="cross_entropy"),
        optimizer=SGD(name="sgd", lr=lr),
        schedule=Constant(name="constant"),
        early_stopping=None,
        clip_norm=None,
    )
    settings = {"strategy": strategy, "seed": seed, "epochs": epochs, "lr": lr, "batch_size": params.batch_size}
    logged = settings | {"hidden": "-".join(map(str, HIDDEN)), "rows": len(rows.train)}
    network = _perceptron(rows, strategy, seed).to(rows.train.target.device)
    objective = build_objective(network, rows.train, params, rows.target)
    with study_run(store, project, NAME, f"{strategy}-{seed}", logged) as run_id:
        with EpochLogger(store, run_id) as logger:
            result = fit(network, rows.train, rows.valid, params, seed=seed, objective=objective, callbacks=(logger,))
        right = predict_logits(network, rows.judged).argmax(dim=1) == rows.judged.target
        end = right.double().mean().item()
        part = "valid" if rows.test is None else "test"
        store.client.log_metric(run_id, f"best_epoch_{part}_accuracy", end)
    return [record.metrics["accuracy"] for record in result.history], end


def _perceptron(rows: StudyRows, strategy: str, seed: int) -> MLP:
    numeric = rows.train.inputs.get("numeric")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(stream_seed(seed, "weights"))
        return MLP(
            width=0 if numeric is None else numeric.shape[1],
            sizes=list(rows.sizes),
            outputs=rows.target.outputs,
            hidden=list(HIDDEN),
            activation="relu",
            norm="none",
            initialisation=strategy,
        )


def _flat(data: TensorData) -> TensorData:
    """{"image": (N, C, H, W)} -> {"numeric": (N, C H W)}; other groups stay."""
    if "image" not in data.inputs:
        return data
    return TensorData({"numeric": data.inputs["image"].flatten(1)}, data.target)


def _content(outcome: Outcome, seeds: list[int], lr: float) -> dict[str, object]:
    strategies = {
        strategy: {
            "published_on_mnist": published,
            "accuracy": outcome.final[strategy].tolist(),
            "accuracy_by_epoch": outcome.epochs[strategy].tolist(),
        }
        for strategy, published in PUBLISHED.items()
    }
    return {"seeds": seeds, "lr": lr, "most_frequent_class": outcome.majority, "strategies": strategies}
