"""What MLflow is told of an ONNX file: its inputs and outputs as it would be sent them, and a variant's numbers."""

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from mlflow import MlflowClient
from onnx import TensorProto, helper, numpy_helper

from ann.tracking.models import log_variants, signature_of
from ann.tracking.store import Store


@pytest.mark.parametrize(
    ("kind", "dtype"),
    [
        (TensorProto.FLOAT, np.float32),
        (TensorProto.DOUBLE, np.float64),
        (TensorProto.INT64, np.int64),
        (TensorProto.UINT8, np.uint8),
        (TensorProto.BOOL, np.bool_),
        (TensorProto.STRING, object),
    ],
)
def test_a_tensor_is_told_with_its_type_and_what_is_free_in_size(kind: int, dtype: type) -> None:
    put = helper.make_tensor_value_info("photo", kind, ["N", "H", 8, 3])
    graph = helper.make_graph([], "none", [put], [helper.make_tensor_value_info("label", kind, ["N"])])
    signature = signature_of(helper.make_model(graph))
    told = [(spec.name, spec.type, spec.shape) for spec in (*signature.inputs, *signature.outputs)]
    assert told == [("photo", np.dtype(dtype), (-1, -1, 8, 3)), ("label", np.dtype(dtype), (-1,))]


def test_a_variant_is_a_model_of_its_own_with_all_its_numbers(tmp_path: Path) -> None:
    """First all models, then all numbers: MLflow copies what is logged in between onto the models that follow."""
    candidates = [candidate("fp32", 1.0), candidate("small", 0.5)]
    for number, entry in enumerate(candidates):
        write_scaling(tmp_path / f"{entry['name']}.onnx", float(number + 1))
    store = connect_at(tmp_path)
    run_id = store.client.create_run(store.experiment_id).info.run_id
    log_variants(store, run_id, candidates, tmp_path)
    models = {model.name: model for model in store.client.search_logged_models([store.experiment_id])}
    assert set(models) == {"fp32", "small"}
    small = models["small"]
    assert small.params == {"variant": "small", "recipe": "how small is made"}
    assert {name: small.tags[name] for name in ("ann.front", "ann.allowed", "ann.chosen", "ann.why")} == {
        "ann.front": "true",
        "ann.allowed": "false",
        "ann.chosen": "false",
        "ann.why": "may lose too much",
    }
    assert {metric.key: metric.value for metric in small.metrics} == {
        "variant.quality": 0.9,
        "variant.quality.low": 0.8,
        "variant.quality.high": 1.0,
        "variant.drop": 0.01,
        "variant.drop.low": -0.01,
        "variant.drop.high": 0.02,
        "variant.bytes": 500.0,
        "variant.packed_bytes": 250.0,
        "variant.parameters": 100.0,
        "variant.flops": 80.0,
        "variant.memory_mb": 6.0,
        "variant.load_ms": 2.0,
        "variant.p50_ms.b1": 0.5,
        "variant.p95_ms.b1": 1.0,
        "variant.p50_ms.b256": 5.0,
        "variant.p95_ms.b256": 10.0,
    }
    assert {metric.value for metric in models["fp32"].metrics if metric.key == "variant.bytes"} == {1000.0}


def candidate(name: str, size: float) -> dict[str, Any]:
    """Return an entry of candidates.json whose figures grow with `size`."""
    times = {"1": (1.0, 2.0), "256": (10.0, 20.0)}
    return {
        "name": name,
        "recipe": f"how {name} is made",
        "quality": {"value": 0.9, "low": 0.8, "high": 1.0},
        "drop": {"value": 0.01, "low": -0.01, "high": 0.02},
        "bytes": int(1000 * size),
        "packed_bytes": int(500 * size),
        "parameters": int(200 * size),
        "flops": 160 * size,
        "memory_mb": 12 * size,
        "load_ms": 4 * size,
        "latency_ms": {batch: {"p50": p50 * size, "p95": p95 * size} for batch, (p50, p95) in times.items()},
        "front": True,
        "allowed": False,
        "chosen": False,
        "why": "may lose too much",
    }


def write_scaling(path: Path, factor: float) -> None:
    """Write x (N, 2) -> factor * x."""
    graph = helper.make_graph(
        [helper.make_node("Mul", ["x", "factor"], ["y"])],
        "scaling",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N", 2])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["N", 2])],
        [numpy_helper.from_array(np.array(factor, np.float32), "factor")],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10), path)


def connect_at(folder: Path) -> Store:
    """Return a store of its own in a folder."""
    uri = f"sqlite:///{folder / 'mlflow.db'}"
    client = MlflowClient(uri)
    return Store(client, client.create_experiment("shop", artifact_location=(folder / "artifacts").as_uri()), uri)
