"""export: one file that takes raw columns and answers, checked against its network."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx

from ann.artifacts import Build, fresh_folder, load_arrays, load_json, save_inputs, save_json
from ann.compression.choice import FP32
from ann.compression.shipped import shipped_latency
from ann.config import Params
from ann.config.model import read_model
from ann.data.batches import TensorData
from ann.data.examples import Examples
from ann.data.graph import save_model
from ann.data.preparation import prepared
from ann.data.schema import Schema
from ann.data.sources import read_table
from ann.data.windows import stored_truth
from ann.errors import StageError
from ann.evaluation.intervals import metric_intervals
from ann.evaluation.scoring import metrics_of
from ann.export.join import join
from ann.export.network import TOLERANCE, run_network
from ann.export.parity import Parity, check_parity
from ann.lineage import lineage_of
from ann.predict import Model
from ann.project import Project
from ann.stages.process import stage_process
from ann.tracking.projection import log_stage, recorded_lineage
from ann.training.network import load_network
from ann.training.prediction import predict_logits

EXAMPLE_ROWS = 5
ROWS_AT_ONCE = 8192
Network = Callable[[dict[str, np.ndarray]], np.ndarray]
"""Prepared rows by group -> (N, outputs)."""


def run(params: Params, project: Project) -> None:
    """Write model.onnx, its own test metrics, its parity, example rows, and its latency on this machine.

    Raises:
        StageError: the file does not answer what its network answers.
    """
    build = project.build
    content = load_json(build.schema)
    schema = Schema.from_json(content)
    chosen = _entry(build, load_json(build.choice)["chosen"])
    examples = Examples(read_table(params.data, project), schema, **content["media"])
    rows = load_arrays(build.folder("prepare") / "test")["rows"]
    tags = lineage_of("export", params, project).tags() | {"ann.key": recorded_lineage(build).key}
    if content["media"]["rate"]:
        tags["ann.rate"] = str(content["media"]["rate"])
    with fresh_folder(build.folder("export")) as folder:
        plain = _join_variant(FP32, build, schema, tags, folder / "fp32.onnx")
        checks = {FP32: _check(plain, _torch_network(_entry(build, FP32), build, content), examples, rows, build)}
        (folder / "fp32.onnx").unlink()
        model = _join_variant(chosen["name"], build, schema, tags, folder / "model.onnx")
        if chosen["name"] != FP32:
            own = (
                _graph_network(build, chosen["name"]) if chosen["quantized"] else _torch_network(chosen, build, content)
            )
            checks[chosen["name"]] = _check(model, own, examples, rows, build)
        report = {name: {kind: parity.to_json() for kind, parity in kinds.items()} for name, kinds in checks.items()}
        save_json(folder / "parity.json", {"shipped": chosen["name"], "tolerance": TOLERANCE, "parity": report})
        save_json(folder / "metrics.json", {"key": tags["ann.key"], **_metrics(model, examples, rows, build, params)})
        save_json(folder / "example.json", {"rows": examples.client_rows(rows[:EXAMPLE_ROWS])})
        save_inputs(folder / "example.npz", examples.inputs(next(examples.chunks(rows, EXAMPLE_ROWS))))
    shipped_latency(build, params.export.latency_batches)
    log_stage("export", project, params)


def _entry(build: Build, name: str) -> dict[str, Any]:
    return next(entry for entry in load_json(build.choice)["candidates"] if entry["name"] == name)


def _join_variant(name: str, build: Build, schema: Schema, tags: dict[str, str], path: Path) -> Model:
    """Write the variant behind its preparation and return it opened."""
    network = onnx.load(build.variants / f"{name}.onnx")
    save_model(join(onnx.load(build.preprocess), network, schema, {**tags, "ann.variant": name}), path)
    return Model(path)


def _torch_network(entry: dict[str, Any], build: Build, schema: dict[str, Any]) -> Network:
    """Return a float variant's torch network as a function of prepared rows."""
    network = load_network(
        read_model(entry["model"]), schema, build.variants / f"{entry['name']}.safetensors", build.root.parent
    )

    def score(inputs: dict[str, np.ndarray]) -> np.ndarray:
        rows = len(next(iter(inputs.values())))
        return predict_logits(network, TensorData.on_device({**inputs, "target": np.zeros(rows, np.int64)})).numpy()

    return score


def _graph_network(build: Build, name: str) -> Network:
    """Return a quantized variant's graph as a function of prepared rows."""
    return lambda inputs: run_network(build.variants / f"{name}.onnx", inputs)


def _check(model: Model, network: Network, examples: Examples, rows: np.ndarray, build: Build) -> dict[str, Parity]:
    """Compare the file with preparation and network run apart.

    Raises:
        StageError: a label flips, or an answer differs by more than TOLERANCE.
    """
    preprocess, target = onnx.load(build.preprocess), examples.schema.target

    def reference(inputs: dict[str, np.ndarray]) -> np.ndarray:
        return target.answers(network(prepared(preprocess, [inputs])))

    found = check_parity(model, reference, examples, rows, ROWS_AT_ONCE)
    for kind, parity in found.items():
        if parity.flips or not parity.max_difference <= TOLERANCE:  # a NaN is no agreement
            raise StageError(
                f"the exported file differs from its network on {kind} rows: {parity.flips} of {parity.rows} "
                f"labels flip, an answer is off by {parity.max_difference:.2g}; "
                f"at most 0 and {TOLERANCE:g} are allowed"
            )
    return found


def _metrics(model: Model, examples: Examples, rows: np.ndarray, build: Build, params: Params) -> dict[str, Any]:
    target = examples.schema.target
    parts = examples.chunks(rows, ROWS_AT_ONCE)
    answers = np.concatenate([target.read(model.run(examples.inputs(part))) for part in parts])
    truth = stored_truth(build.folder("prepare") / "test", examples.schema)
    settings = {**params.evaluate.model_dump(), "seed": params.seed}
    found = metric_intervals(target, list(metrics_of(target)), answers, truth, **settings)
    return {"test": {name: interval.to_json() for name, interval in found.items()}}


if __name__ == "__main__":
    stage_process(run)
