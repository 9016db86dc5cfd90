"""Pictures of predicted numbers, forecasts and labels as PNG files; the same numbers give the same bytes.

S windows, L past times, H times ahead, Q quantiles in rising order or 1.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from ann.report.pictures import BLUE, GREY, ORANGE, frame_axes, save_figure

MAX_SCATTERED = 2000
"""More rows than this hide each other and are counted in hexagons."""
MAX_WINDOWS = 6
MAX_LABELS = 25
PAST_PER_HORIZON = 3
"""So much of the past is drawn, in horizons, that the forecast stays wide enough to be read."""
MAX_NAME = 32
"""Longer names are cut, in characters."""
ERROR_BINS = 40
SHADES = LinearSegmentedColormap.from_list("shades", ["#bfdbfe", BLUE, "#172554"])
"""Its lightest is still seen on white."""


def draw_predictions(points: pd.DataFrame, name: str, path: Path) -> None:
    """Draw columns target, predicted: right predictions lie on the diagonal."""
    figure, [axes] = _panels(1, 1, size=(5.4, 4.6))
    _frame(axes, f"Predictions of {_short(name)}", "target", "predicted")
    _cloud(figure, axes, points["target"].to_numpy(), points["predicted"].to_numpy())
    low, high = points.to_numpy().min(), points.to_numpy().max()
    margin = 0.05 * (high - low or max(1, abs(high)))
    ends = (low - margin, high + margin)
    axes.set(xlim=ends, ylim=ends)
    axes.plot(ends, ends, color=ORANGE, linestyle="--", linewidth=1)
    save_figure(figure, path)


def draw_residuals(points: pd.DataFrame, name: str, path: Path) -> None:
    """Draw the errors of columns target, predicted: how often each occurs, and over the prediction."""
    predicted = points["predicted"].to_numpy()
    errors = predicted - points["target"].to_numpy()
    figure, [left, right] = _panels(1, 2, size=(10, 4.2))
    _frame(left, f"Errors of {_short(name)}", "predicted - target", "rows")
    _frame(right, "Errors over predictions", "predicted", "predicted - target")
    left.hist(errors, bins=ERROR_BINS, color=BLUE)
    left.axvline(0, color=ORANGE, linestyle="--", linewidth=1)
    _cloud(figure, right, predicted, errors)
    right.axhline(0, color=ORANGE, linestyle="--", linewidth=1)
    save_figure(figure, path)


def draw_forecasts(past: np.ndarray, truth: np.ndarray, answers: np.ndarray, names: Sequence[str], path: Path) -> None:
    """Draw the first windows of (S, L) past, (S, H) truth and (S, H, Q) answers, the outer quantiles as a band."""
    windows = min(MAX_WINDOWS, len(past))
    columns = min(3, windows)
    rows = -(-windows // columns)
    figure, panels = _panels(rows, columns, size=(4.2 * columns + 0.6, 3.2 * rows + 0.4))
    for number, axes in enumerate(panels[:windows]):
        _frame(axes, _short(names[number]), "steps ahead" if number >= windows - columns else "", "")
        _draw_window(axes, past[number], truth[number], answers[number])
    for axes in panels[windows:]:
        axes.set_axis_off()
    lines, labels = panels[0].get_legend_handles_labels()
    figure.legend(lines, labels, loc="outside lower center", ncols=len(labels), frameon=False, fontsize=9)
    save_figure(figure, path)


def draw_horizon(errors: np.ndarray, naive: np.ndarray | None, path: Path) -> None:
    """Draw (H,) mean absolute errors by steps ahead, and those of the naive forecast."""
    figure, [axes] = _panels(1, 1, size=(5.6, 4.2))
    _frame(axes, "Error by steps ahead", "steps ahead", "mean absolute error")
    steps = np.arange(1, len(errors) + 1)
    if naive is not None:
        axes.plot(steps, naive, color=GREY, linestyle="--", linewidth=1.5, marker=_marker(steps), label="naive")
    axes.plot(steps, errors, color=BLUE, linewidth=1.5, marker=_marker(steps), label="network")
    axes.set_ylim(bottom=0)
    axes.set_xlim(0.5, len(errors) + 0.5)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    if naive is not None:
        axes.legend(frameon=False)
    save_figure(figure, path)


def draw_labels(table: pd.DataFrame, path: Path) -> None:
    """Draw columns label, auc, ap, share as bars, the lowest average precision on top; `share` is of rows with it."""
    drawn = table.sort_values("ap", kind="stable").head(MAX_LABELS)
    figure, [axes] = _panels(1, 1, size=(6.4, 1.8 + 0.28 * len(drawn)))
    fewer = len(drawn) < len(table)
    _frame(axes, f"The {len(drawn)} of {len(table)} labels of lowest AP" if fewer else "Labels", "", "")
    places = np.arange(len(drawn))
    axes.barh(places - 0.2, drawn["ap"], height=0.36, color=BLUE, label="average precision")
    axes.barh(places + 0.2, drawn["auc"], height=0.36, color=GREY, label="AUC")
    axes.vlines(drawn["share"], places - 0.42, places + 0.02, color=ORANGE, linewidth=2, label="share of rows")
    axes.set_yticks(places, [_short(str(label)) for label in drawn["label"]], parse_math=False, fontsize=8)
    axes.set_xlim(0, 1)
    axes.set_ylim(len(drawn) - 0.4, -0.6)
    axes.grid(visible=False, axis="y")
    figure.legend(loc="outside lower center", ncols=3, frameon=False, fontsize=8)
    save_figure(figure, path)


def _draw_window(axes: Axes, past: np.ndarray, truth: np.ndarray, answers: np.ndarray) -> None:
    """Draw (L,) past, (H,) truth and (H, Q) answers; what is ahead starts at the last known value."""
    horizon, quantiles = answers.shape
    known = past[-max(2, PAST_PER_HORIZON * horizon) :]
    ahead = np.arange(horizon + 1)
    axes.plot(np.arange(1 - len(known), 1), known, color=GREY, linewidth=1.2, label="past")
    axes.plot(ahead, np.r_[known[-1], truth], color="black", linewidth=1.2, label="truth")
    fan = np.vstack([np.full(quantiles, known[-1]), answers])
    if quantiles > 1:
        axes.fill_between(ahead, fan[:, 0], fan[:, -1], color=BLUE, alpha=0.25, linewidth=0, label="outer quantiles")
    axes.plot(ahead, fan[:, quantiles // 2], color=BLUE, linewidth=1.5, label="forecast")
    axes.axvline(0, color=ORANGE, linestyle="--", linewidth=1)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=6))


def _cloud(figure: Figure, axes: Axes, x: np.ndarray, y: np.ndarray) -> None:
    if len(x) <= MAX_SCATTERED:
        axes.scatter(x, y, s=8, color=BLUE, alpha=0.4, linewidths=0)
        return
    hexagons = axes.hexbin(x, y, gridsize=40, bins="log", mincnt=1, cmap=SHADES, linewidths=0.2)
    figure.colorbar(hexagons, ax=axes, label="rows")


def _panels(rows: int, columns: int, size: tuple[float, float]) -> tuple[Figure, list[Axes]]:
    figure = Figure(figsize=size, layout="constrained")
    FigureCanvasAgg(figure)
    return figure, [figure.add_subplot(rows, columns, number + 1) for number in range(rows * columns)]


def _frame(axes: Axes, title: str, x: str, y: str) -> None:
    """Frame a picture, its title above the power of ten that an axis may carry; $ in a name starts no formula."""
    frame_axes(axes, "", x, y)
    axes.set_title(title, fontsize=11, y=1, pad=14, parse_math=False)
    axes.set_axisbelow(True)


def _short(name: str) -> str:
    return name if len(name) <= MAX_NAME else f"{name[: MAX_NAME - 1]}…"


def _marker(steps: np.ndarray) -> str:
    return "o" if len(steps) <= 12 else ""
