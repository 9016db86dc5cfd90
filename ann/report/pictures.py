"""Pictures of a run as PNG files; the same numbers give the same bytes."""

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

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
    """Draw quality over latency at one batch size, with the line of the best quality at each latency.

    Area is bytes. fp32 is a diamond; the shipped one is ringed; blue ones are on the front of drop, latency and bytes;
    those that may not be shipped are pale, with the reason beside their name.
    """
    title, x = "Variants", f"median latency at batch {batch} [ms]"
    figure, axes = figure_with_axes(title, x, "metric on validation rows", size=(9.5, max(4.6, 0.42 * len(candidates))))
    largest = max(candidate["bytes"] for candidate in candidates)
    points = {candidate["name"]: (_p50(candidate, batch), candidate["quality"]["value"]) for candidate in candidates}
    best = [points[candidate["name"]] for candidate in _front_line(candidates, batch)]
    axes.plot(*zip(*best, strict=True), color=BLUE, linewidth=1, linestyle="--", drawstyle="steps-post", zorder=1)
    for candidate in candidates:
        (x_at, y_at), quality = points[candidate["name"]], candidate["quality"]
        colour, pale = BLUE if candidate["front"] else GREY, 1.0 if candidate["allowed"] else 0.35
        axes.vlines(x_at, quality["low"], quality["high"], color=colour, alpha=pale, linewidth=1, zorder=2)
        look = {"s": 30 + 130 * candidate["bytes"] / largest, "marker": "D" if candidate["name"] == "fp32" else "o"}
        edge = {"edgecolors": ORANGE, "linewidths": 2.0} if candidate["chosen"] else {"linewidths": 0.0}
        axes.scatter(x_at, y_at, color=None, c=colour, alpha=pale, zorder=3, **look, **edge)
    axes.margins(0.12)
    _names_beside(axes, candidates, points)
    _front_legend(figure)
    save_figure(figure, path)


def _front_legend(figure: Figure) -> None:
    """Say below the picture what its marks mean."""
    dot = partial(Line2D, [], [], linestyle="none", marker="o")
    marks = {
        "best quality at its latency": Line2D([], [], color=BLUE, linewidth=1, linestyle="--"),
        "on the front": dot(color=BLUE),
        "beaten in all by another": dot(color=GREY),
        "may not be shipped": dot(color=BLUE, alpha=0.35, markeredgewidth=0),
        "shipped": dot(color="white", markeredgecolor=ORANGE, markeredgewidth=2),
    }
    figure.legend(marks.values(), marks.keys(), loc="outside lower left", ncols=5, frameon=False, fontsize=7)


def _p50(candidate: dict[str, Any], batch: int) -> float:
    return float(candidate["latency_ms"][str(batch)]["p50"])


def _front_line(candidates: list[dict[str, Any]], batch: int) -> list[dict[str, Any]]:
    """Return those that lose less than every faster one, the fastest first."""
    line: list[dict[str, Any]] = []
    for candidate in sorted(candidates, key=lambda candidate: (_p50(candidate, batch), candidate["drop"]["value"])):
        if not line or candidate["drop"]["value"] < line[-1]["drop"]["value"]:
            line.append(candidate)
    return line


def _names_beside(axes: Axes, candidates: list[dict[str, Any]], points: dict[str, tuple[float, float]]) -> None:
    """Write the names in a column at the right, from top to bottom as the points lie, each with a line to its point."""
    ordered = sorted(candidates, key=lambda candidate: -points[candidate["name"]][1])
    for number, candidate in enumerate(ordered):
        height = 1 - (number + 0.5) / len(ordered)
        pale = not candidate["allowed"]
        beside = {"fp32": " (not compressed)"}.get(candidate["name"], "")
        told = "shipped" if candidate["chosen"] else candidate["why"] if pale else ""
        axes.annotate(
            f"{candidate['name']}{beside}" + (f"\n{told}" if told else ""),
            points[candidate["name"]],
            xytext=(1.04, height),
            textcoords="axes fraction",
            va="center",
            fontsize=8,
            color=GREY if pale else "black",
            fontweight="bold" if candidate["chosen"] else "normal",
            parse_math=False,
            arrowprops={"arrowstyle": "-", "color": "#cbd5e1", "linewidth": 0.6, "shrinkB": 4, "relpos": (0, 0.5)},
        )


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
