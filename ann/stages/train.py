"""train: fit the network that `model` and `train` describe, tracked in MLflow, resumed where it was killed."""

from dataclasses import asdict
from pathlib import Path

import pandas as pd
import torch
from torch import nn

from ann.artifacts import fresh_folder, load_arrays, load_json, save_json
from ann.config import Params
from ann.data.batches import TensorData
from ann.lineage import Lineage, lineage_of
from ann.project import Project
from ann.report.pictures import draw_diagnosis, draw_training
from ann.report.progress import EpochProgress
from ann.stages.process import stage_process
from ann.tracking.projection import log_training
from ann.tracking.runs import EpochLogger, training_run
from ann.training.checkpoints import Checkpoints, forget_finished, open_checkpoints
from ann.training.diagnostics import diagnose
from ann.training.distributed import Group, launch, launched, local_device, process_group
from ann.training.fit import FitResult, fit
from ann.training.losses import check_classes
from ann.training.network import new_network, pick_device, save_network
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


def prepared_training(params: Params, project: Project) -> tuple[nn.Module, TensorData, TensorData]:
    """Return the untrained network, the training and the validation rows, on the device that they train on.

    Raises:
        DataError: a class has no rows in one of the parts.
    """
    device = local_device(pick_device(params.train.device))
    if params.train.threads is not None:
        torch.set_num_threads(params.train.threads)
    schema = load_json(project.build.schema)
    train, valid = (
        TensorData.on_device(load_arrays(project.build.folder("prepare") / part), device) for part in ("train", "valid")
    )
    check_classes(train.target, valid.target, tuple(schema["classes"]))
    return new_network(params.model, schema, params.seed).to(device), train, valid


def _run(params: Params, project: Project, group: Group) -> None:
    network, train, valid = prepared_training(params, project)
    lineage = lineage_of("train", params, project)
    root = project.state / "checkpoints"
    if not group.leads:
        follower = Checkpoints(root / lineage.key, lineage.key)
        fit(network, train, valid, params.train, seed=params.seed, checkpoints=follower, group=group)
        return
    objective = build_objective(network, train, params.train)
    with (
        open_checkpoints(root / lineage.key, lineage.key) as checkpoints,
        training_run(project, params, lineage, checkpoints) as (store, run_id),
    ):
        with fresh_folder(project.build.folder("train")) as folder:
            with (
                EpochLogger(store, run_id) as logger,
                EpochProgress(params.train.epochs, len(train)) as progress,
            ):
                progress.say(f"loss: {objective.reason}")

                def resumed(state: TrainState) -> None:
                    progress.resume(state.epoch, state.done / state.steps_per_epoch, finished=state.finished)
                    for record in state.history:  # the last ones may not have come to MLflow
                        logger(record)

                result = fit(
                    network,
                    train,
                    valid,
                    params.train,
                    seed=params.seed,
                    objective=objective,
                    callbacks=(logger, progress),
                    resumed=resumed,
                    checkpoints=checkpoints,
                    group=group,
                )
            save_network(network, folder / "weights.safetensors")
            _save_history(result, folder)
            _save_diagnosis(result, network, train, folder)
            save_json(folder / "summary.json", _summary(result, lineage, len(train), network))
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
