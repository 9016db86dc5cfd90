"""evaluate: the torch network on rows that training did not see, with intervals."""

import numpy as np

from ann.artifacts import fresh_folder, load_json, save_json
from ann.config import Params
from ann.data.batches import TensorData
from ann.data.schema import Schema
from ann.data.windows import load_part, naive_forecast, target_channels
from ann.evaluation.intervals import metric_intervals
from ann.evaluation.scoring import metrics_of
from ann.evaluation.slices import slice_metrics
from ann.project import Project
from ann.report.evaluation import draw_evaluation
from ann.stages.process import stage_process
from ann.tracking.projection import log_stage, recorded_lineage
from ann.training.network import load_network, trained_model
from ann.training.prediction import predict_logits

SLICE_METRICS = 2
"""How many metrics groups are judged by, the most important first."""


def run(params: Params, project: Project) -> None:
    """Write metrics.json, slices.json, and the curves as tables and pictures."""
    content = load_json(project.build.schema)
    schema = Schema.from_json(content)
    target = schema.target
    network = load_network(trained_model(project.build), content, project.build.weights, project.root)
    key = recorded_lineage(project.build).key
    names = list(metrics_of(target))
    settings = {**params.evaluate.model_dump(), "seed": params.seed}
    parts = {part: load_part(project.build.folder("prepare") / part, schema) for part in ("test", "valid")}
    answers = {
        part: target.answers(predict_logits(network, TensorData.on_device(rows)).numpy())
        for part, rows in parts.items()
    }
    truth = {part: target.truth(rows["target"]) for part, rows in parts.items()}
    metrics = {
        part: {
            name: interval.to_json()
            for name, interval in metric_intervals(target, names, answers[part], truth[part], **settings).items()
        }
        for part in parts
    }
    slices = [
        entry
        for i, column in enumerate(schema.slices)
        for entry in slice_metrics(
            target,
            column,
            parts["test"][f"slice_{i}"],
            names[:SLICE_METRICS],
            answers["test"],
            truth["test"],
            **settings,
        )
    ]
    with fresh_folder(project.build.folder("evaluate")) as folder:
        save_json(folder / "metrics.json", {"key": key, **metrics})
        save_json(folder / "slices.json", {"key": key, "slices": slices})
        context = _context(parts["test"], schema)
        draw_evaluation(target, answers["test"], truth["test"], context, folder / "plots", params.seed)
    log_stage("evaluate", project, params)


def _context(test: dict[str, np.ndarray], schema: Schema) -> dict[str, np.ndarray]:
    """Return what pictures of a forecast show beside it."""
    if schema.windows is None:
        return {}
    channels, windows = target_channels(schema), schema.windows
    naive = naive_forecast(test["series"], channels, windows.season, windows.horizon)
    return {"past": test["series"][:, :, channels[0]], "naive": naive}


if __name__ == "__main__":
    stage_process(run)
