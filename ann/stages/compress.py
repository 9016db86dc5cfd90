"""compress: smaller variants of the network, measured, and the one to ship."""

from functools import partial
from typing import Any

from ann.artifacts import fresh_folder, load_json, replace_text
from ann.compression.bench import Bench
from ann.compression.judge import judge
from ann.compression.recipes import make_variants, recipes_for
from ann.compression.written import write_choice, written
from ann.config import Params
from ann.config.model import Architecture
from ann.data.batches import TensorData
from ann.data.schema import Schema
from ann.data.windows import load_part
from ann.evaluation.scoring import primary_metric
from ann.project import Project
from ann.report.pictures import draw_front
from ann.report.variants import variants_markdown
from ann.stages.process import stage_process
from ann.tracking.champion import champion_outputs
from ann.tracking.projection import log_stage, recorded_lineage
from ann.training.network import first_network, load_network, pick_device, trained_model


def run(params: Params, project: Project) -> None:
    """Write the variants, choice.json, and what was measured: candidates.json, variants.md, front.csv, front.png."""
    build, settings = project.build, params.compress
    content = load_json(build.schema)
    schema, model = Schema.from_json(content), trained_model(build)
    bench = _bench(params, project, content, schema, model)
    with fresh_folder(build.folder("compress")) as folder:
        variants = make_variants(bench, recipes_for(bench, settings.recipes))
        entries = [written(variant, bench, folder / "variants") for variant in variants]
        table = write_choice(entries, bench.judge, settings, recorded_lineage(build).key, folder)
        replace_text(folder / "variants.md", variants_markdown(table))
        draw_front(table["candidates"], max(settings.batches), folder / "front.png")
    log_stage("compress", project, params)


def _bench(params: Params, project: Project, content: dict[str, Any], schema: Schema, model: Architecture) -> Bench:
    """Load rows and network, on the device of training."""
    build, target = project.build, schema.target
    device = pick_device(params.train.device)
    rows = {part: load_part(build.folder("prepare") / part, schema) for part in ("train", "valid")}
    train, valid = (TensorData.on_device(rows[part], device) for part in ("train", "valid"))
    judge_of = partial(
        judge,
        target=target,
        metric=primary_metric(target, params.compress.metric),
        rows=rows["valid"],
        resamples=params.evaluate.resamples,
        confidence=params.evaluate.confidence,
        seed=params.seed,
    )
    return Bench(
        load_network(model, content, build.weights, project.root).to(device),
        model,
        train,
        valid,
        target,
        params.train,
        params.seed,
        params.compress.max_drop,
        max(params.compress.batches),
        judge_of,
        schema=content,
        folder=project.root,
        champion=lambda: champion_outputs(params, project, schema, content["media"]),
        untrained=lambda: first_network(model, content, params.seed, train, project.root),
    )


if __name__ == "__main__":
    stage_process(run)
