"""compress: smaller variants of the network, measured, and the one to ship."""

from pathlib import Path

import numpy as np

from ann.artifacts import file_sha256, fresh_folder, load_arrays, load_json, save_json
from ann.compression.recipes import Variant, make_variants
from ann.compression.table import chosen_name, timed, write_table
from ann.config import Params
from ann.data.batches import TensorData
from ann.data.graph import save_model
from ann.evaluation.intervals import metric_intervals, paired_gain
from ann.evaluation.metrics import primary_metric
from ann.export.network import run_network, softmax
from ann.models.mlp import MLP
from ann.project import Project
from ann.report.pictures import draw_front
from ann.stages.process import stage_process
from ann.tracking.projection import log_stage, recorded_lineage
from ann.training.network import load_network, pick_device, save_network


def run(params: Params, project: Project) -> None:
    """Write the variants, choice.json, and what was measured: candidates.json and the picture of the front."""
    build, settings = project.build, params.compress
    schema = load_json(build.schema)
    metric = primary_metric(len(schema["classes"]), settings.metric)
    device = pick_device(params.train.device)
    rows = {part: load_arrays(build.folder("prepare") / part) for part in ("train", "valid")}
    train, valid = (TensorData.on_device(rows[part], device) for part in ("train", "valid"))
    network = load_network(params.model, schema, build.weights).to(device)
    assert isinstance(network, MLP)
    with fresh_folder(build.folder("compress")) as folder:
        variants = make_variants(
            network, params.model, settings.recipes, train=train, valid=valid, settings=params.train, seed=params.seed
        )
        scored = []
        for variant in variants:
            save_model(variant.graph, folder / "variants" / f"{variant.name}.onnx")
            if not variant.quantized:
                save_network(variant.network, folder / "variants" / f"{variant.name}.safetensors")
            scored.append((variant, softmax(run_network(variant.graph, rows["valid"]))))
        fp32 = scored[0][1]
        entries = [
            _entry(variant, scores, fp32, rows["valid"]["target"], metric, params, folder) for variant, scores in scored
        ]
        candidates = timed(entries, folder / "variants", rows["valid"], settings)
        choice = {
            "key": recorded_lineage(build).key,
            "metric": metric,
            "objective": settings.objective,
            "max_drop": settings.max_drop,
            "chosen": chosen_name(candidates, settings),
            "candidates": entries,
        }
        save_json(folder / "choice.json", choice)
        write_table(choice, candidates, settings, file_sha256(folder / "choice.json"), folder / "candidates.json")
        draw_front(load_json(folder / "candidates.json")["candidates"], max(settings.batches), folder / "front.png")
    log_stage("compress", project, params)


def _entry(
    variant: Variant,
    scores: np.ndarray,
    fp32: np.ndarray,
    target: np.ndarray,
    metric: str,
    params: Params,
    folder: Path,
) -> dict[str, object]:
    """Return what is a function of the commit: quality, the paired drop against fp32, and bytes."""
    settings = {**params.evaluate.model_dump(), "seed": params.seed}
    quality = metric_intervals([metric], scores, target, **settings)[metric]
    gain = paired_gain(metric, scores, fp32, target, **settings)
    return {
        "name": variant.name,
        "recipe": variant.recipe,
        "model": variant.model.model_dump(mode="json"),
        "quantized": variant.quantized,
        "quality": quality.to_json(),
        "drop": gain.negated().to_json(),
        "bytes": (folder / "variants" / f"{variant.name}.onnx").stat().st_size,
    }


if __name__ == "__main__":
    stage_process(run)
