"""What evaluation shows: curves and pictures, each kind of task its own, as tables for DVC's plots and as PNG."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd

from ann.data.target import Target
from ann.evaluation.curves import calibration_points, confusion, precision_recall_points, roc_points
from ann.evaluation.labels import LABEL_METRICS
from ann.evaluation.numbers import per_target, prediction_points
from ann.report.number_pictures import draw_forecasts, draw_horizon, draw_labels, draw_predictions, draw_residuals
from ann.report.pictures import draw_calibration, draw_confusion, draw_precision_recall, draw_roc

WINDOWS_SHOWN = 6
POINTS = 2000


def draw_evaluation(
    target: Target, answers: np.ndarray, truth: np.ndarray, context: dict[str, np.ndarray], folder: Path, seed: int
) -> None:
    """Write the tables and pictures of a task into `folder`.

    `context` holds, of a forecast, what the windows read of the first channel, `past` (N, L), and what the naive
    forecast says, `naive` (N, H, C).
    """
    folder.mkdir(parents=True)
    DRAWN[target.task](target, answers, truth, context, folder, seed)


def _draw_classes(
    target: Target, answers: np.ndarray, truth: np.ndarray, context: dict[str, np.ndarray], folder: Path, seed: int
) -> None:
    del context, seed
    roc, recall = roc_points(answers, truth), precision_recall_points(answers, truth)
    calibration = calibration_points(answers, truth)
    for name, points in {"roc": roc, "precision_recall": recall, "calibration": calibration}.items():
        points.to_csv(folder / f"{name}.csv", index=False, float_format="%.6g")
    classes = np.array(target.classes)
    pairs = pd.DataFrame({"actual": classes[truth], "predicted": classes[answers.argmax(axis=1)]})
    pairs.to_csv(folder / "confusion.csv", index=False)
    draw_roc(roc, target.classes, folder / "roc.png")
    draw_precision_recall(recall, target.classes, folder / "precision_recall.png")
    draw_calibration(calibration, folder / "calibration.png")
    draw_confusion(confusion(answers, truth), target.classes, folder / "confusion.png")


def _draw_labels(
    target: Target, answers: np.ndarray, truth: np.ndarray, context: dict[str, np.ndarray], folder: Path, seed: int
) -> None:
    del context, seed
    once = np.ones((1, len(truth)))
    rows = [
        {
            "label": name,
            "auc": LABEL_METRICS["auc_macro"](answers[:, [i]], truth[:, [i]], once)[0],
            "ap": LABEL_METRICS["ap_macro"](answers[:, [i]], truth[:, [i]], once)[0],
            "share": truth[:, i].mean(),
        }
        for i, name in enumerate(target.names)
    ]
    table = pd.DataFrame(rows)
    table.to_csv(folder / "labels.csv", index=False, float_format="%.6g")
    draw_labels(table, folder / "labels.png")


def _draw_numbers(
    target: Target, answers: np.ndarray, truth: np.ndarray, context: dict[str, np.ndarray], folder: Path, seed: int
) -> None:
    del context
    for i, name in enumerate(target.names):
        mark = f"_{i}" if len(target.names) > 1 else ""
        points = prediction_points(answers[:, [i]], truth[:, [i]], limit=POINTS, seed=seed)
        points.to_csv(folder / f"predictions{mark}.csv", index=False, float_format="%.6g")
        draw_predictions(points, name, folder / f"predictions{mark}.png")
        draw_residuals(points, name, folder / f"residuals{mark}.png")
    if len(target.names) > 1:
        found = [{"target": name, **row} for name, row in zip(target.names, per_target(answers, truth), strict=True)]
        pd.DataFrame(found).to_csv(folder / "targets.csv", index=False, float_format="%.6g")


def _draw_forecast(
    target: Target, answers: np.ndarray, truth: np.ndarray, context: dict[str, np.ndarray], folder: Path, seed: int
) -> None:
    """Show a few windows of the first channel, and the error by the step ahead over all channels."""
    del seed
    shape = (len(truth), target.horizon, len(target.names))
    errors = np.abs(answers[..., answers.shape[-1] // 2] - truth).reshape(shape).mean(axis=(0, 2))
    naive = np.abs(context["naive"] - truth.reshape(shape)).mean(axis=(0, 2))
    steps = pd.DataFrame({"step": np.arange(1, target.horizon + 1), "mae": errors, "naive_mae": naive})
    steps.to_csv(folder / "horizon.csv", index=False, float_format="%.6g")
    draw_horizon(errors, naive, folder / "horizon.png")
    shown = np.unique(np.linspace(0, len(truth) - 1, WINDOWS_SHOWN).round().astype(int))
    first = slice(0, None, len(target.names))
    names = [f"{target.names[0]}, window {number}" for number in shown]
    past = context["past"][shown]
    draw_forecasts(past, truth[shown][:, first], answers[shown][:, first], names, folder / "forecasts.png")


DRAWN: dict[str, Callable[..., None]] = {
    "binary": _draw_classes,
    "forecast": _draw_forecast,
    "multiclass": _draw_classes,
    "multilabel": _draw_labels,
    "regression": _draw_numbers,
}
