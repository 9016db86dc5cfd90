"""Write what a stage left in `build/` into its MLflow run. Adoption is all of these, one after the other."""

import csv
import json
from collections.abc import Callable
from time import time
from typing import Any

from mlflow.entities import Dataset, DatasetInput, InputTag, Metric

from ann.artifacts import Build, load_json
from ann.compression.shipped import shipped_latency
from ann.compression.table import measured_table
from ann.config import Params
from ann.lineage import Lineage
from ann.project import Project
from ann.tracking.models import log_variants
from ann.tracking.runs import create_run, finished_run, log_metrics, log_missing, set_tags
from ann.tracking.store import Store, connect


def run_for_build(project: Project, params: Params) -> tuple[Store, str]:
    """Return the run of the network in `build/train`; one that the store does not hold is adopted from the files."""
    store = connect(project, params.register_.name)
    lineage = recorded_lineage(project.build)
    return store, finished_run(store, lineage.key) or _adopt(store, project, params, lineage)


def recorded_lineage(build: Build) -> Lineage:
    """Return the lineage that training wrote beside its weights."""
    return Lineage(**load_json(build.train_summary)["lineage"])


def log_stage(stage: str, project: Project, params: Params) -> None:
    """Write the results of one later stage into the run of its network."""
    store, run_id = run_for_build(project, params)
    PROJECTIONS[stage](store, run_id, project, params)
    set_tags(store, run_id, {f"ann.stage.{stage}": "finished"})


def log_training(store: Store, run_id: str, project: Project, params: Params) -> None:
    """Write what does not come epoch by epoch: the data set, the best epoch, history and pictures."""
    build, lineage = project.build, recorded_lineage(project.build)
    summary = load_json(build.train_summary)
    dataset = Dataset(
        name=params.register_.name,
        digest=lineage.data_md5[:36],
        source_type="local",
        source=json.dumps({"uri": project.data_file.name}),
        schema=json.dumps({"mlflow_colspec": _columns(load_json(build.schema))}),
        profile=json.dumps({"num_rows": summary["rows"]}),
    )
    tags = [InputTag("mlflow.data.context", "training"), InputTag("dvc.md5", lineage.data_md5)]
    store.client.log_inputs(run_id, datasets=[DatasetInput(dataset, tags)])
    numbers = _numbers({name: summary[name] for name in ("best_epoch", "best_valid_loss", "parameters")})
    log_missing(store, run_id, numbers)
    _upload_folder(
        store,
        run_id,
        project,
        "train",
        ("history.csv", "summary.json", "training.png", "diagnosis.json", "diagnosis.png"),
    )
    _upload_folder(store, run_id, project, "validate", ("report.json", "docs"))
    _upload_folder(store, run_id, project, "prepare", ("schema.json", "leakage.json"))
    why = {"ann.loss": summary["loss"], "ann.loss_reason": summary["loss_reason"]}
    why |= {"ann.family": summary["model"]["family"], "ann.family_reason": summary["model_reason"]}
    set_tags(store, run_id, {"ann.stage.train": "finished", "ann.device": summary["device"]} | why)


def log_evaluation(store: Store, run_id: str, project: Project, params: Params) -> None:  # noqa: ARG001 - one signature
    """Write metrics with their bounds, and the pictures."""
    log_metrics(store, run_id, _intervals(load_json(project.build.metrics), ""))
    _upload_folder(store, run_id, project, "evaluate")


def log_compression(store: Store, run_id: str, project: Project, params: Params) -> None:
    """Write each variant as a model with its own numbers, and the table of all."""
    candidates = measured_table(project.build, params.compress)["candidates"]
    log_variants(store, run_id, candidates, project.build.variants)
    chosen = next(candidate for candidate in candidates if candidate["chosen"])
    set_tags(store, run_id, {"ann.variant": chosen["name"]})
    _upload_folder(
        store, run_id, project, "compress", ("choice.json", "candidates.json", "variants.md", "front.csv", "front.png")
    )


def log_export(store: Store, run_id: str, project: Project, params: Params) -> None:
    """Write the shipped file's own metrics, latency and parity."""
    build = project.build
    log_metrics(store, run_id, _intervals(load_json(build.model_metrics), "model."))
    latency = shipped_latency(build, params.export.latency_batches)["latency_ms"]
    log_metrics(store, run_id, _numbers({f"model.p50_ms.b{batch}": row["p50"] for batch, row in latency.items()}))
    log_metrics(store, run_id, _numbers({"model.bytes": build.model.stat().st_size}))
    _upload_folder(store, run_id, project, "export", ("metrics.json", "parity.json", "latency.json"))


def _adopt(store: Store, project: Project, params: Params, lineage: Lineage) -> str:
    """Rebuild the run of `build/train` from its files."""
    run_id = create_run(store, project, params, lineage, {"ann.adopted": "true"})
    try:
        with project.build.history.open(encoding="utf-8", newline="") as file:
            log_metrics(store, run_id, [metric for row in csv.DictReader(file) for metric in _epoch(row)])
        log_training(store, run_id, project, params)
        for stage in ("evaluate", "compress", "export"):
            if _complete(stage, project.build):
                PROJECTIONS[stage](store, run_id, project, params)
                set_tags(store, run_id, {f"ann.stage.{stage}": "finished"})
    except BaseException:
        store.client.set_terminated(run_id, "FAILED")
        raise
    store.client.set_terminated(run_id, "FINISHED")
    return run_id


def _complete(stage: str, build: Build) -> bool:
    """Return whether a stage's files are there and belong to the network in `build/train`."""
    marker = {"evaluate": build.metrics, "compress": build.choice, "export": build.model_metrics}[stage]
    return marker.exists() and load_json(marker).get("key") == recorded_lineage(build).key


def _epoch(row: dict[str, str]) -> list[Metric]:
    now, epoch = int(time() * 1000), int(row["epoch"])
    return [Metric(name, float(value), now, epoch) for name, value in row.items() if name != "epoch"]


def _intervals(metrics: dict[str, Any], prefix: str) -> list[Metric]:
    """Return {"test": {"auc": {"value", "low", "high"}}} as test.auc, test.auc.low, test.auc.high."""
    flat = {
        f"{prefix}{part}.{name}{'' if bound == 'value' else '.' + bound}": value
        for part in ("test", "valid")
        for name, interval in metrics.get(part, {}).items()
        for bound, value in interval.items()
    }
    return _numbers(flat)


def _numbers(values: dict[str, float]) -> list[Metric]:
    now = int(time() * 1000)
    return [Metric(name, float(value), now, 0) for name, value in values.items()]


def _columns(schema: dict[str, Any]) -> list[dict[str, Any]]:
    types = {"number": "double", "date": "datetime", "image": "binary", "audio": "binary", "series": "double"}
    return [
        {"name": name, "type": types.get(feature["type"], "string"), "required": False}
        for feature in schema["features"]
        for name in feature["columns"] or [feature["name"]]
    ]


def _upload_folder(
    store: Store, run_id: str, project: Project, stage: str, names: tuple[str, ...] | None = None
) -> None:
    """Upload files and folders of a stage; what was measured elsewhere may lack a picture."""
    folder = project.build.folder(stage)
    for path in [folder / name for name in names] if names else sorted(folder.iterdir()):
        if path.is_dir():
            store.client.log_artifacts(run_id, str(path), f"{stage}/{path.name}")
        elif path.exists():
            store.client.log_artifact(run_id, str(path), stage)


PROJECTIONS: dict[str, Callable[[Store, str, Project, Params], None]] = {
    "evaluate": log_evaluation,
    "compress": log_compression,
    "export": log_export,
}
