"""export: one file that takes raw columns and answers labels, checked against its network."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pandas as pd

from ann.artifacts import Build, fresh_folder, load_arrays, load_json, save_json
from ann.compression.choice import FP32
from ann.compression.shipped import shipped_latency
from ann.config import Params
from ann.config.model import MLPParams
from ann.data.batches import TensorData
from ann.data.graph import save_model
from ann.data.preparation import run_preparation
from ann.data.schema import Schema, category_text, class_ids, graph_inputs
from ann.data.sources import read_table
from ann.errors import StageError
from ann.evaluation.intervals import metric_intervals
from ann.evaluation.metrics import metric_names
from ann.export.join import join
from ann.export.network import TOLERANCE, run_network, softmax
from ann.export.parity import Parity, check_parity
from ann.lineage import lineage_of
from ann.predict import Model
from ann.project import Project
from ann.stages.process import stage_process
from ann.tracking.projection import log_stage, recorded_lineage
from ann.training.network import load_network
from ann.training.prediction import predict_logits

EXAMPLE_ROWS = 5
Network = Callable[[dict[str, np.ndarray]], np.ndarray]
"""Prepared rows by group -> (N, K) probabilities."""


def run(params: Params, project: Project) -> None:
    """Write model.onnx, its own test metrics, its parity, example rows, and its latency on this machine.

    Raises:
        StageError: the file does not answer what its network answers.
    """
    build = project.build
    content = load_json(build.schema)
    schema = Schema.from_json(content)
    chosen = _chosen(build)
    table = read_table(params.data, project)
    test = table.iloc[load_arrays(build.folder("prepare") / "test")["rows"]]
    tags = lineage_of("export", params, project).tags() | {"ann.key": recorded_lineage(build).key}
    with fresh_folder(build.folder("export")) as folder:
        plain = _join_variant(FP32, build, schema, tags, folder / "fp32.onnx")
        checks = {FP32: _check(plain, _torch_network(_entry(build, FP32), build, content), test, schema, build)}
        (folder / "fp32.onnx").unlink()
        model = _join_variant(chosen["name"], build, schema, tags, folder / "model.onnx")
        if chosen["name"] != FP32:
            own = (
                _graph_network(build, chosen["name"]) if chosen["quantized"] else _torch_network(chosen, build, content)
            )
            checks[chosen["name"]] = _check(model, own, test, schema, build)
        report = {name: {kind: parity.to_json() for kind, parity in kinds.items()} for name, kinds in checks.items()}
        save_json(folder / "parity.json", {"shipped": chosen["name"], "tolerance": TOLERANCE, "parity": report})
        save_json(folder / "metrics.json", {"key": tags["ann.key"], **_metrics(model, test, schema, params)})
        save_json(folder / "example.json", {"rows": _example(test, schema)})
    shipped_latency(build, params.export.latency_batches)
    log_stage("export", project, params)


def _chosen(build: Build) -> dict[str, Any]:
    return _entry(build, load_json(build.choice)["chosen"])


def _entry(build: Build, name: str) -> dict[str, Any]:
    return next(entry for entry in load_json(build.choice)["candidates"] if entry["name"] == name)


def _join_variant(name: str, build: Build, schema: Schema, tags: dict[str, str], path: Path) -> Model:
    """Write the variant behind its preparation and return it opened."""
    network = onnx.load(build.variants / f"{name}.onnx")
    save_model(join(onnx.load(build.preprocess), network, schema, {**tags, "ann.variant": name}), path)
    return Model(path)


def _torch_network(entry: dict[str, Any], build: Build, schema: dict[str, Any]) -> Network:
    """Return a float variant's torch network as a function of prepared rows."""
    network = load_network(MLPParams(**entry["model"]), schema, build.variants / f"{entry['name']}.safetensors")

    def score(inputs: dict[str, np.ndarray]) -> np.ndarray:
        rows = len(next(iter(inputs.values())))
        return softmax(
            predict_logits(network, TensorData.on_device({**inputs, "target": np.zeros(rows, np.int64)})).numpy()
        )

    return score


def _graph_network(build: Build, name: str) -> Network:
    """Return a quantized variant's graph as a function of prepared rows."""
    return lambda inputs: softmax(run_network(build.variants / f"{name}.onnx", inputs))


def _check(model: Model, network: Network, test: pd.DataFrame, schema: Schema, build: Build) -> dict[str, Parity]:
    """Compare the file with preparation and network run apart.

    Raises:
        StageError: a label flips, or a probability differs by more than TOLERANCE.
    """
    preprocess = onnx.load(build.preprocess)
    found = check_parity(model, lambda rows: network(run_preparation(preprocess, rows, schema)), test, schema)
    for kind, parity in found.items():
        if parity.flips or not parity.max_difference <= TOLERANCE:  # a NaN is no agreement
            raise StageError(
                f"the exported file differs from its network on {kind} rows: {parity.flips} of {parity.rows} "
                f"labels flip, a probability is off by {parity.max_difference:.2g}; "
                f"at most 0 and {TOLERANCE:g} are allowed"
            )
    return found


def _metrics(model: Model, test: pd.DataFrame, schema: Schema, params: Params) -> dict[str, Any]:
    _, probabilities = model.run(graph_inputs(test, schema.features))
    target = class_ids(test[schema.target], schema.classes)
    settings = {**params.evaluate.model_dump(), "seed": params.seed}
    found = metric_intervals(metric_names(len(schema.classes)), probabilities.astype(np.float64), target, **settings)
    return {"test": {name: interval.to_json() for name, interval in found.items()}}


def _example(test: pd.DataFrame, schema: Schema) -> list[dict[str, Any]]:
    """Return the first test rows as a client would send them: text, numbers, null where missing."""
    head = test.head(EXAMPLE_ROWS)
    columns = {
        feature.name: [value or None for value in category_text(head[feature.name])]
        if feature.type == "category"
        else [None if pd.isna(value) else float(value) for value in head[feature.name]]
        for feature in schema.features
    }
    return [{name: values[i] for name, values in columns.items()} for i in range(len(head))]


if __name__ == "__main__":
    stage_process(run)
