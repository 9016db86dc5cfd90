"""train: fit the network that `model` and `train` describe, tracked in MLflow, resumed where it was killed."""

from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path

import pandas as pd
import torch
from torch import nn

from ann.artifacts import fresh_folder, load_json, save_json
from ann.config import Params
from ann.config.model import Architecture
from ann.config.networks import CustomParams
from ann.data.batches import TensorData
from ann.data.schema import Schema
from ann.data.target import Target
from ann.data.windows import load_part
from ann.errors import ConfigError
from ann.lineage import Lineage, lineage_of
from ann.models import check_family
from ann.models.automatic import choose_architecture
from ann.project import Project
from ann.report.pictures import draw_diagnosis, draw_training
from ann.report.progress import EpochProgress
from ann.stages.process import stage_process
from ann.template import NETWORKS
from ann.tracking.projection import log_training
from ann.tracking.runs import EpochLogger, training_run
from ann.training.checkpoints import Checkpoints, forget_finished, open_checkpoints
from ann.training.diagnostics import diagnose
from ann.training.distributed import Group, launch, launched, local_device, process_group
from ann.training.fit import FitResult, fit
from ann.training.losses import check_classes
from ann.training.network import first_network, pick_device, save_network
from ann.training.objective import build_objective
from ann.training.state import TrainState


def run(params: Params, project: Project) -> None:
    """Write weights.safetensors, history.csv, summary.json and a picture of the curves.

    With `train.processes` it starts that many of itself under torchrun, which may also be done by hand:
    `torchrun --nproc-per-node 2 -m ann.stages.train`.
    """
    if params.train.processes > 1 and not launched():
        launch("ann.stages.train", params.train.processes, project.root)
        return
    with process_group(pick_device(params.train.device)) as group:
        _run(params, project, group)


@dataclass(frozen=True, eq=False)
class Prepared:
    """All that training starts from, on the device that it runs on."""

    network: nn.Module
    train: TensorData
    valid: TensorData
    target: Target
    model: Architecture
    reason: str
    """Why this architecture."""


def prepared_training(params: Params, project: Project) -> Prepared:
    """Return the untrained network, the training and the validation rows.

    Raises:
        ConfigError: the family of network cannot read the data.
        DataError: a class has no rows in one of the parts.
    """
    device = local_device(pick_device(params.train.device))
    if params.train.threads is not None:
        torch.set_num_threads(params.train.threads)
    content = load_json(project.build.schema)
    schema = Schema.from_json(content)
    model, reason = choose_architecture(params.model, content["groups"])
    check_family(model.family, content["groups"], schema.target)
    if isinstance(model, CustomParams):
        _require_watched(model.module, project)
    train, valid = (
        TensorData.on_device(load_part(project.build.folder("prepare") / part, schema), device)
        for part in ("train", "valid")
    )
    if schema.target.has_classes:
        check_classes(train.target, valid.target, schema.target.classes)
    network = first_network(model, content, params.seed, train, project.root)
    return Prepared(network, train, valid, schema.target, model, reason)


def _require_watched(module: str, project: Project) -> None:
    """Raise ConfigError where a network of the project's own could change without a stage running again."""
    top = module.partition(":")[0].partition(".")[0]
    own = (project.root / top).is_dir() or (project.root / f"{top}.py").is_file()
    if own and top != NETWORKS:
        raise ConfigError(
            f"model.module: {module} must lie in the folder {NETWORKS}/, which dvc.yaml watches: move it there"
        )
    if own and f"- {NETWORKS}" not in (project.root / "dvc.yaml").read_text(encoding="utf-8"):
        raise ConfigError(
            f"model.module: dvc.yaml does not watch {NETWORKS}/, so a change there would go unseen: add `- {NETWORKS}` "
            f"to the deps of train, evaluate, compress and export"
        )


def _run(params: Params, project: Project, group: Group) -> None:
    prepared = prepared_training(params, project)
    network, train, valid = prepared.network, prepared.train, prepared.valid
    objective = build_objective(network, train, params.train, prepared.target)
    lineage = lineage_of("train", params, project)
    root = project.state / "checkpoints"
    training = partial(fit, network, train, valid, params.train, seed=params.seed, objective=objective, group=group)
    if not group.leads:
        training(checkpoints=Checkpoints(root / lineage.key, lineage.key))
        return
    with (
        open_checkpoints(root / lineage.key, lineage.key) as checkpoints,
        training_run(project, params, lineage, checkpoints) as (store, run_id),
    ):
        with fresh_folder(project.build.folder("train")) as folder:
            with (
                EpochLogger(store, run_id) as logger,
                EpochProgress(params.train.epochs, len(train)) as progress,
            ):
                progress.say(f"network: {prepared.reason}")
                progress.say(f"loss: {objective.reason}")

                def resumed(state: TrainState) -> None:
                    progress.resume(state.epoch, state.done / state.steps_per_epoch, finished=state.finished)
                    for record in state.history:  # the last ones may not have come to MLflow
                        logger(record)

                result = training(callbacks=(logger, progress), resumed=resumed, checkpoints=checkpoints)
            save_network(network, folder / "weights.safetensors")
            _save_history(result, folder)
            _save_diagnosis(result, network, train, folder)
            chosen = {"model": prepared.model.model_dump(mode="json"), "model_reason": prepared.reason}
            save_json(folder / "summary.json", {**_summary(result, lineage, len(train), network), **chosen})
        log_training(store, run_id, project, params)
    forget_finished(root, keep=lineage.key)


def _save_history(result: FitResult, folder: Path) -> None:
    history = pd.DataFrame([record.row() for record in result.history])
    history.to_csv(folder / "history.csv", index=False)
    draw_training(history, result.best_epoch, result.objective.loss_params.name, folder / "training.png")


def _save_diagnosis(result: FitResult, network: nn.Module, train: TensorData, folder: Path) -> None:
    diagnosis = diagnose(network, train, result.history)
    norms = {str(record.epoch): record.layer_norms for record in result.history}
    save_json(folder / "diagnosis.json", {**asdict(diagnosis), "gradient_norms": norms})
    draw_diagnosis(diagnosis, result.history, folder / "diagnosis.png")


def _summary(result: FitResult, lineage: Lineage, rows: int, network: nn.Module) -> dict[str, object]:
    weights = list(network.parameters())
    return {
        "lineage": asdict(lineage),
        "best_epoch": result.best_epoch,
        "best_valid_loss": result.best_loss,
        "epochs": len(result.history),
        "stopped_early": result.stopped_early,
        "loss": result.objective.loss_params.name,
        "loss_reason": result.objective.reason,
        "rows": rows,
        "parameters": sum(parameter.numel() for parameter in weights),
        "device": weights[0].device.type,
        "threads": torch.get_num_threads(),
        "torch": torch.__version__,
    }


if __name__ == "__main__":
    stage_process(run)
