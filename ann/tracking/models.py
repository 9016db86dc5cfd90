"""ONNX files as MLflow LoggedModels: each with its own numbers, so that the UI compares them."""

import shutil
import tempfile
from pathlib import Path
from time import time
from typing import Any

import mlflow.onnx
import numpy as np
import onnx
from mlflow.entities import LoggedModelOutput, LoggedModelStatus, Metric
from mlflow.models import Model, ModelSignature
from mlflow.types import Schema, TensorSpec

from ann.compression.table import SIZES
from ann.tracking.runs import log_metrics
from ann.tracking.store import Store

TYPES: dict[int, type] = {
    onnx.TensorProto.BOOL: np.bool_,
    onnx.TensorProto.DOUBLE: np.float64,
    onnx.TensorProto.FLOAT: np.float32,
    onnx.TensorProto.INT64: np.int64,
    onnx.TensorProto.UINT8: np.uint8,
}
REQUIREMENTS = ["numpy", "onnxruntime"]


def log_variants(store: Store, run_id: str, candidates: list[dict[str, Any]], variants: Path) -> None:
    """Log every variant as a model of the run, first all models, then all their numbers.

    Numbers logged in between would be copied onto the models that follow.
    """
    models = {
        candidate["name"]: log_onnx(
            store,
            run_id,
            variants / f"{candidate['name']}.onnx",
            name=candidate["name"],
            params={"variant": candidate["name"], "recipe": candidate["recipe"]},
            tags={f"ann.{name}": str(candidate[name]).lower() for name in ("front", "allowed", "chosen")}
            | {"ann.why": candidate["why"]},
        )
        for candidate in candidates
    }
    for candidate in candidates:
        log_metrics(store, run_id, _numbers(candidate, models[candidate["name"]]))


def log_onnx(
    store: Store,
    run_id: str,
    path: Path,
    *,
    name: str,
    params: dict[str, str],
    tags: dict[str, str],
    example: dict[str, np.ndarray] | None = None,
) -> str:
    """Log one file as a model of the run and return the model's id; a failure leaves it marked FAILED."""
    logged = store.client.create_logged_model(
        store.experiment_id, name=name, source_run_id=run_id, params=params, tags=tags, model_type="onnx"
    )
    try:
        proto = onnx.load(path)
        with tempfile.TemporaryDirectory() as folder:
            mlflow.onnx.save_model(
                proto,
                f"{folder}/model",
                mlflow_model=Model(model_id=logged.model_id, run_id=run_id),
                signature=signature_of(proto),
                input_example=example,
                pip_requirements=REQUIREMENTS,
                onnx_execution_providers=["CPUExecutionProvider"],
                save_as_external_data=False,
            )
            shutil.copyfile(path, f"{folder}/model/model.onnx")  # the very bytes, so that their sha256 holds
            store.client.log_model_artifacts(logged.model_id, f"{folder}/model")
    except BaseException:
        store.client.finalize_logged_model(logged.model_id, LoggedModelStatus.FAILED)
        raise
    store.client.finalize_logged_model(logged.model_id, LoggedModelStatus.READY)
    store.client.log_outputs(run_id, [LoggedModelOutput(logged.model_id, 0)])
    return str(logged.model_id)


def signature_of(model: onnx.ModelProto) -> ModelSignature:
    """Return one named tensor an input and an output, free batch size first."""
    return ModelSignature(
        inputs=Schema([_tensor(value) for value in model.graph.input]),
        outputs=Schema([_tensor(value) for value in model.graph.output]),
    )


def _tensor(value: onnx.ValueInfoProto) -> TensorSpec:
    kind = value.type.tensor_type
    shape = tuple(dim.dim_value or -1 for dim in kind.shape.dim)
    return TensorSpec(np.dtype(TYPES.get(int(kind.elem_type), object)), shape, value.name)


def _numbers(candidate: dict[str, Any], model_id: str) -> list[Metric]:
    """Return what can be compared of a variant: quality and drop with their bounds, sizes, memory, times."""
    values: dict[str, float] = {
        f"{name}{'' if bound == 'value' else '.' + bound}": candidate[name][bound]
        for name in ("quality", "drop")
        for bound in ("value", "low", "high")
    }
    values |= {name: candidate[name] for name in SIZES}
    for batch, row in candidate["latency_ms"].items():
        values |= {f"p50_ms.b{batch}": row["p50"], f"p95_ms.b{batch}": row["p95"]}
    now = int(time() * 1000)
    return [Metric(f"variant.{name}", float(value), now, 0, model_id=model_id) for name, value in values.items()]
