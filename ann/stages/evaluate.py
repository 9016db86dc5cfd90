"""evaluate: the torch network on rows that training did not see, with intervals."""

import numpy as np
import pandas as pd

from ann.artifacts import fresh_folder, load_arrays, load_json, save_json
from ann.config import Params
from ann.data.batches import TensorData
from ann.data.schema import Schema
from ann.evaluation.curves import calibration_points, confusion, precision_recall_points, roc_points
from ann.evaluation.intervals import metric_intervals
from ann.evaluation.metrics import metric_names
from ann.evaluation.slices import slice_metrics
from ann.export.network import softmax
from ann.project import Project
from ann.report.pictures import draw_calibration, draw_confusion, draw_precision_recall, draw_roc
from ann.stages.process import stage_process
from ann.tracking.projection import log_stage, recorded_lineage
from ann.training.network import load_network
from ann.training.prediction import predict_logits


def run(params: Params, project: Project) -> None:
    """Write metrics.json, slices.json, and the curves as tables and pictures."""
    content = load_json(project.build.schema)
    schema = Schema.from_json(content)
    network = load_network(params.model, content, project.build.weights)
    key = recorded_lineage(project.build).key
    names = metric_names(len(schema.classes))
    settings = {**params.evaluate.model_dump(), "seed": params.seed}
    parts = {part: load_arrays(project.build.folder("prepare") / part) for part in ("test", "valid")}
    scored = {
        part: softmax(predict_logits(network, TensorData.on_device(rows)).numpy()) for part, rows in parts.items()
    }
    metrics = {
        part: {
            name: interval.to_json()
            for name, interval in metric_intervals(names, scored[part], rows["target"], **settings).items()
        }
        for part, rows in parts.items()
    }
    test, probabilities = parts["test"], scored["test"]
    slices = [
        entry
        for i, column in enumerate(schema.slices)
        for entry in slice_metrics(
            column, test[f"slice_{i}"], ["auc", "accuracy"], probabilities, test["target"], **settings
        )
    ]
    with fresh_folder(project.build.folder("evaluate")) as folder:
        save_json(folder / "metrics.json", {"key": key, **metrics})
        save_json(folder / "slices.json", {"key": key, "slices": slices})
        roc, recall = roc_points(probabilities, test["target"]), precision_recall_points(probabilities, test["target"])
        calibration = calibration_points(probabilities, test["target"])
        for name, points in {"roc": roc, "precision_recall": recall, "calibration": calibration}.items():
            points.to_csv(folder / f"{name}.csv", index=False, float_format="%.6g")
        _confusion_pairs(probabilities, test["target"], schema).to_csv(folder / "confusion.csv", index=False)
        draw_roc(roc, schema.classes, folder / "roc.png")
        draw_precision_recall(recall, schema.classes, folder / "precision_recall.png")
        draw_calibration(calibration, folder / "calibration.png")
        draw_confusion(confusion(probabilities, test["target"]), schema.classes, folder / "confusion.png")
    log_stage("evaluate", project, params)


def _confusion_pairs(probabilities: np.ndarray, target: np.ndarray, schema: Schema) -> pd.DataFrame:
    """Return one row a test row, as DVC's confusion plot wants it."""
    classes = np.array(schema.classes)
    return pd.DataFrame({"actual": classes[target], "predicted": classes[probabilities.argmax(axis=1)]})


if __name__ == "__main__":
    stage_process(run)
