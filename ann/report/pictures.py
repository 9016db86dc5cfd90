"""Pictures of a run as PNG files; the same numbers give the same bytes."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

DPI = 110
MAX_LABELLED_CLASSES = 12
BLUE, ORANGE, GREY = "#2563eb", "#ea580c", "#94a3b8"


def draw_confusion(counts: np.ndarray, classes: tuple[str, ...], path: Path) -> None:
    """Draw (K, K) counts: rows are true classes, colours are shares of the row."""
    figure, axes = _figure("Confusion", "predicted", "true", size=(4.8, 4.4))
    axes.imshow(counts / np.maximum(counts.sum(axis=1, keepdims=True), 1), cmap="Blues", vmin=0, vmax=1)
    axes.grid(visible=False)
    if len(classes) <= MAX_LABELLED_CLASSES:
        axes.set_xticks(range(len(classes)), classes, parse_math=False)
        axes.set_yticks(range(len(classes)), classes, parse_math=False)
        for (row, column), count in np.ndenumerate(counts):
            dark = count > 0.5 * max(1, counts[row].sum())
            axes.text(column, row, str(count), ha="center", va="center", color="white" if dark else "black", fontsize=9)
    _save(figure, path)


def draw_roc(points: pd.DataFrame, classes: tuple[str, ...], path: Path) -> None:
    """Draw columns class, fpr, tpr."""
    figure, axes = _figure("ROC", "false positive rate", "true positive rate")
    axes.plot([0, 1], [0, 1], color=GREY, linestyle="--", linewidth=1)
    _lines_by_class(axes, points, "fpr", "tpr", classes)
    _save(figure, path)


def draw_precision_recall(points: pd.DataFrame, classes: tuple[str, ...], path: Path) -> None:
    """Draw columns class, recall, precision."""
    figure, axes = _figure("Precision and recall", "recall", "precision")
    _lines_by_class(axes, points, "recall", "precision", classes)
    axes.set_ylim(0, 1.02)
    _save(figure, path)


def draw_calibration(points: pd.DataFrame, path: Path) -> None:
    """Draw columns predicted, observed, rows: a calibrated network lies on the diagonal."""
    figure, axes = _figure("Calibration", "predicted probability", "observed share")
    axes.plot([0, 1], [0, 1], color=GREY, linestyle="--", linewidth=1)
    axes.plot(points["predicted"], points["observed"], color=BLUE, linewidth=1.5)
    sizes = 10 + 90 * points["rows"] / points["rows"].max()
    axes.scatter(points["predicted"], points["observed"], s=sizes, color=BLUE, zorder=3)
    _save(figure, path)


def draw_training(history: pd.DataFrame, best_epoch: int, path: Path) -> None:
    """Draw train_loss and valid_loss over epochs, and the epoch whose weights were kept."""
    figure, axes = _figure("Training", "epoch", "cross entropy [nats]")
    axes.plot(history["epoch"], history["train_loss"], color=GREY, label="train (with dropout)")
    axes.plot(history["epoch"], history["valid_loss"], color=BLUE, label="valid")
    axes.axvline(best_epoch, color=ORANGE, linestyle="--", linewidth=1, label=f"best epoch {best_epoch}")
    axes.legend(frameon=False)
    _save(figure, path)


def draw_front(candidates: list[dict[str, Any]], batch: int, path: Path) -> None:
    """Draw quality over latency at one batch size; area is bytes, filled is on the front, ringed is chosen."""
    figure, axes = _figure("Variants", f"median latency at batch {batch} [ms]", "metric on validation rows")
    largest = max(candidate["bytes"] for candidate in candidates)
    by_latency = sorted(candidates, key=lambda candidate: candidate["latency_ms"][str(batch)]["p50"])
    for number, candidate in enumerate(by_latency):
        x, quality = candidate["latency_ms"][str(batch)]["p50"], candidate["quality"]
        colour = ORANGE if candidate["chosen"] else BLUE if candidate["front"] else GREY
        axes.vlines(x, quality["low"], quality["high"], color=colour, linewidth=1, zorder=2)
        axes.scatter(x, quality["value"], s=40 + 200 * candidate["bytes"] / largest, color=colour, zorder=3)
        beside = (8, 10 if number % 2 else -18)  # neighbours' names above and below, so that they do not overlap
        name, point = candidate["name"], (x, quality["value"])
        axes.annotate(name, point, xytext=beside, textcoords="offset points", fontsize=9, parse_math=False)
    axes.margins(0.15)
    _save(figure, path)


def _figure(title: str, x: str, y: str, size: tuple[float, float] = (5.6, 4.2)) -> tuple[Figure, Axes]:
    figure = Figure(figsize=size, layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    axes.set(title=title, xlabel=x, ylabel=y)
    axes.grid(visible=True, color="#e2e8f0", linewidth=0.6)
    axes.spines[["top", "right"]].set_visible(False)
    return figure, axes


def _lines_by_class(axes: Axes, points: pd.DataFrame, x: str, y: str, classes: tuple[str, ...]) -> None:
    lines, labels = [], []
    for k, rows in points.groupby("class"):
        lines += axes.plot(rows[x], rows[y], linewidth=1.5)
        labels.append(classes[int(str(k))])
    if len(labels) <= MAX_LABELLED_CLASSES:
        legend = axes.legend(lines, labels, frameon=False, fontsize=8)
        for text in legend.get_texts():
            text.set_parse_math(False)  # a label such as $50K is no formula


def _save(figure: Figure, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=DPI, metadata={"Software": None})  # no version text: same numbers, same bytes
