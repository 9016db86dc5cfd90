"""compress: smaller variants of the network, measured, and the one to ship."""

from pathlib import Path

import numpy as np

from ann.artifacts import file_sha256, fresh_folder, load_json, save_json
from ann.compression.recipes import Variant, make_variants
from ann.compression.table import chosen_name, timed, write_table
from ann.config import Params
from ann.data.batches import TensorData
from ann.data.graph import save_model
from ann.data.schema import Schema
from ann.data.target import Target
from ann.data.windows import load_part
from ann.evaluation.intervals import metric_intervals, paired_gain
from ann.evaluation.scoring import primary_metric, score
from ann.export.network import run_network
from ann.project import Project
from ann.report.pictures import draw_front
from ann.stages.process import stage_process
from ann.tracking.projection import log_stage, recorded_lineage
from ann.training.network import load_network, pick_device, save_network, trained_model

LEAST = 1e-12
"""A drop is a share of at least this, so that beside a network without error any error is too much."""


def run(params: Params, project: Project) -> None:
    """Write the variants, choice.json, and what was measured: candidates.json and the picture of the front."""
    build, settings = project.build, params.compress
    content = load_json(build.schema)
    schema, model = Schema.from_json(content), trained_model(build)
    target = schema.target
    metric = primary_metric(target, settings.metric)
    device = pick_device(params.train.device)
    rows = {part: load_part(build.folder("prepare") / part, schema) for part in ("train", "valid")}
    train, valid = (TensorData.on_device(rows[part], device) for part in ("train", "valid"))
    network = load_network(model, content, build.weights, project.root).to(device)
    truth = target.truth(rows["valid"]["target"])
    with fresh_folder(build.folder("compress")) as folder:
        variants = make_variants(
            network,
            model,
            settings.recipes_for(model.family),
            train=train,
            valid=valid,
            target=target,
            settings=params.train,
            seed=params.seed,
        )
        scored = []
        for variant in variants:
            save_model(variant.graph, folder / "variants" / f"{variant.name}.onnx")
            if not variant.quantized:
                save_network(variant.network, folder / "variants" / f"{variant.name}.safetensors")
            scored.append((variant, target.answers(run_network(variant.graph, rows["valid"]))))
        fp32 = scored[0][1]
        entries = [_entry(variant, answers, fp32, truth, target, metric, params, folder) for variant, answers in scored]
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
    answers: np.ndarray,
    fp32: np.ndarray,
    truth: np.ndarray,
    target: Target,
    metric: str,
    params: Params,
    folder: Path,
) -> dict[str, object]:
    """Return what is a function of the commit: quality, the paired drop against fp32, and bytes."""
    settings = {**params.evaluate.model_dump(), "seed": params.seed}
    quality = metric_intervals(target, [metric], answers, truth, **settings)[metric]
    gain = paired_gain(target, metric, answers, fp32, truth, **settings)
    if target.has_numbers:
        gain = gain.scaled(1 / max(LEAST, abs(score(target, metric, fp32, truth))))
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
