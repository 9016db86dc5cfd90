"""Pictures of a run as PNG files; the same numbers give the same bytes."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from ann.training.diagnostics import Diagnosis
from ann.training.state import EpochRecord

DPI = 110
MAX_LABELLED_CLASSES = 12
BLUE, ORANGE, GREY = "#2563eb", "#ea580c", "#94a3b8"


def draw_confusion(counts: np.ndarray, classes: tuple[str, ...], path: Path) -> None:
    """Draw (K, K) counts: rows are true classes, colours are shares of the row."""
    figure, axes = figure_with_axes("Confusion", "predicted", "true", size=(4.8, 4.4))
    axes.imshow(counts / np.maximum(counts.sum(axis=1, keepdims=True), 1), cmap="Blues", vmin=0, vmax=1)
    axes.grid(visible=False)
    if len(classes) <= MAX_LABELLED_CLASSES:
        axes.set_xticks(range(len(classes)), classes, parse_math=False)
        axes.set_yticks(range(len(classes)), classes, parse_math=False)
        for (row, column), count in np.ndenumerate(counts):
            dark = count > 0.5 * max(1, counts[row].sum())
            axes.text(column, row, str(count), ha="center", va="center", color="white" if dark else "black", fontsize=9)
    save_figure(figure, path)


def draw_roc(points: pd.DataFrame, classes: tuple[str, ...], path: Path) -> None:
    """Draw columns class, fpr, tpr."""
    figure, axes = figure_with_axes("ROC", "false positive rate", "true positive rate")
    axes.plot([0, 1], [0, 1], color=GREY, linestyle="--", linewidth=1)
    _lines_by_class(axes, points, "fpr", "tpr", classes)
    save_figure(figure, path)


def draw_precision_recall(points: pd.DataFrame, classes: tuple[str, ...], path: Path) -> None:
    """Draw columns class, recall, precision."""
    figure, axes = figure_with_axes("Precision and recall", "recall", "precision")
    _lines_by_class(axes, points, "recall", "precision", classes)
    axes.set_ylim(0, 1.02)
    save_figure(figure, path)


def draw_calibration(points: pd.DataFrame, path: Path) -> None:
    """Draw columns predicted, observed, rows: a calibrated network lies on the diagonal."""
    figure, axes = figure_with_axes("Calibration", "predicted probability", "observed share")
    axes.plot([0, 1], [0, 1], color=GREY, linestyle="--", linewidth=1)
    axes.plot(points["predicted"], points["observed"], color=BLUE, linewidth=1.5)
    sizes = 10 + 90 * points["rows"] / points["rows"].max()
    axes.scatter(points["predicted"], points["observed"], s=sizes, color=BLUE, zorder=3)
    save_figure(figure, path)


def draw_training(history: pd.DataFrame, best_epoch: int, loss: str, path: Path) -> None:
    """Draw losses, validation metrics and learning rate over epochs, and the epoch whose weights were kept."""
    figure = Figure(figsize=(13, 4.2), layout="constrained")
    FigureCanvasAgg(figure)
    left, middle, right = (figure.add_subplot(1, 3, number) for number in (1, 2, 3))
    for axes, title in ((left, "Loss"), (middle, "Metrics of the validation rows"), (right, "Learning rate")):
        frame_axes(axes, title, "epoch", loss.replace("_", " ") if axes is left else "")
        axes.axvline(best_epoch, color=ORANGE, linestyle="--", linewidth=1, label=f"best epoch {best_epoch}")
    left.plot(history["epoch"], history["train_loss"], color=GREY, label="train (with dropout)")
    left.plot(history["epoch"], history["valid_loss"], color=BLUE, label="valid")
    for name in [str(name) for name in history if str(name).startswith("valid_") and name != "valid_loss"]:
        middle.plot(history["epoch"], history[name], label=name.removeprefix("valid_"))
    right.plot(history["epoch"], history["lr"], color=BLUE)
    for axes in (left, middle):
        axes.legend(frameon=False)
    save_figure(figure, path)


def draw_diagnosis(diagnosis: Diagnosis, history: Sequence[EpochRecord], path: Path) -> None:
    """Draw gradient norms over epochs, the share of dead units, and the weights of the first layers as histograms."""
    figure = Figure(figsize=(13, 7.5), layout="constrained")
    FigureCanvasAgg(figure)
    grid = figure.add_gridspec(3, 4)
    gradients, units = figure.add_subplot(grid[0, :2]), figure.add_subplot(grid[0, 2:])
    frame_axes(gradients, "Gradient norm of each layer, before clipping", "epoch", "")
    epochs = [record.epoch for record in history]
    for layer in history[0].layer_norms:
        gradients.plot(epochs, [record.layer_norms[layer] for record in history], label=layer, linewidth=1.2)
    gradients.set_yscale("log")
    if len(history[0].layer_norms) <= MAX_LABELLED_CLASSES:
        gradients.legend(frameon=False, fontsize=7, loc="center left", bbox_to_anchor=(1, 0.5))
    frame_axes(units, "Units that are the same for every row", "", "share")
    units.bar([report.layer for report in diagnosis.units], [report.dead for report in diagnosis.units], color=ORANGE)
    units.set_ylim(0, 1)
    if not any(report.dead for report in diagnosis.units):
        units.text(0.5, 0.5, "none", ha="center", va="center", transform=units.transAxes, color=GREY)
    units.tick_params(axis="x", rotation=30, labelsize=7)
    for number, report in enumerate(diagnosis.weights[:8]):
        axes = figure.add_subplot(grid[1 + number // 4, number % 4])
        frame_axes(axes, f"{report.layer} {'x'.join(map(str, report.shape))}", "weight", "")
        axes.title.set_fontsize(9)
        axes.stairs(report.counts, np.linspace(report.low, report.high, len(report.counts) + 1), fill=True, color=BLUE)
    save_figure(figure, path)


def draw_front(candidates: list[dict[str, Any]], batch: int, path: Path) -> None:
    """Draw quality over latency at one batch size; area is bytes, filled is on the front, ringed is chosen."""
    figure, axes = figure_with_axes("Variants", f"median latency at batch {batch} [ms]", "metric on validation rows")
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
    save_figure(figure, path)


def figure_with_axes(title: str, x: str, y: str, size: tuple[float, float] = (5.6, 4.2)) -> tuple[Figure, Axes]:
    """Return a figure of one framed picture; `size` is in inches."""
    figure = Figure(figsize=size, layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    frame_axes(axes, title, x, y)
    return figure, axes


def frame_axes(axes: Axes, title: str, x: str, y: str) -> None:
    """Give a picture its title, the names of its axes, and a quiet grid."""
    axes.set(title=title, xlabel=x, ylabel=y)
    axes.grid(visible=True, color="#e2e8f0", linewidth=0.6)
    axes.spines[["top", "right"]].set_visible(False)


def _lines_by_class(axes: Axes, points: pd.DataFrame, x: str, y: str, classes: tuple[str, ...]) -> None:
    lines, labels = [], []
    for k, rows in points.groupby("class"):
        lines += axes.plot(rows[x], rows[y], linewidth=1.5)
        labels.append(classes[int(str(k))])
    if len(labels) <= MAX_LABELLED_CLASSES:
        legend = axes.legend(lines, labels, frameon=False, fontsize=8)
        for text in legend.get_texts():
            text.set_parse_math(False)  # a label such as $50K is no formula


def save_figure(figure: Figure, path: Path) -> None:
    """Write a PNG; the same figure gives the same bytes."""
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=DPI, metadata={"Software": None})  # no version text: same numbers, same bytes
