"""train: fit the network that `model` and `train` describe, tracked in MLflow."""

from dataclasses import asdict
from pathlib import Path

import pandas as pd
import torch

from ann.artifacts import fresh_folder, load_arrays, load_json, save_json
from ann.config import Params
from ann.data.batches import TensorData
from ann.lineage import Lineage, lineage_of
from ann.project import Project
from ann.report.pictures import draw_training
from ann.report.progress import EpochProgress
from ann.stages.process import stage_process
from ann.tracking.projection import log_training
from ann.tracking.runs import EpochLogger, training_run
from ann.training.fit import FitResult, fit
from ann.training.network import new_network, pick_device, save_network


def run(params: Params, project: Project) -> None:
    """Write weights.safetensors, history.csv, summary.json and a picture of the curves."""
    device = pick_device(params.train.device)
    if params.train.threads is not None:
        torch.set_num_threads(params.train.threads)
    schema = load_json(project.build.schema)
    train, valid = (
        TensorData.on_device(load_arrays(project.build.folder("prepare") / part), device) for part in ("train", "valid")
    )
    network = new_network(params.model, schema, params.seed).to(device)
    lineage = lineage_of("train", params, project)
    with training_run(project, params, lineage) as (store, run_id):
        logger = EpochLogger(store, run_id)
        with fresh_folder(project.build.folder("train")) as folder:
            with EpochProgress(params.train.epochs, len(train)) as progress:
                result = fit(network, train, valid, params.train, seed=params.seed, callbacks=(logger, progress))
            logger.flush()
            save_network(network, folder / "weights.safetensors")
            _save_history(result, folder)
            save_json(folder / "summary.json", _summary(result, lineage, len(train), device, network))
        log_training(store, run_id, project, params)


def _save_history(result: FitResult, folder: Path) -> None:
    history = pd.DataFrame([asdict(record) for record in result.history])
    history.to_csv(folder / "history.csv", index=False)
    draw_training(history, result.best_epoch, folder / "training.png")


def _summary(
    result: FitResult, lineage: Lineage, rows: int, device: torch.device, network: torch.nn.Module
) -> dict[str, object]:
    return {
        "lineage": asdict(lineage),
        "best_epoch": result.best_epoch,
        "best_valid_loss": result.best_loss,
        "epochs": len(result.history),
        "stopped_early": result.stopped_early,
        "rows": rows,
        "parameters": sum(parameter.numel() for parameter in network.parameters()),
        "device": device.type,
        "threads": torch.get_num_threads(),
        "torch": torch.__version__,
    }


if __name__ == "__main__":
    stage_process(run)
