"""What `ann study initialisation` prints and draws. S seeds, E epochs."""

from pathlib import Path

import numpy as np
from matplotlib.ticker import MaxNLocator

from ann.report.pictures import BLUE, ORANGE, figure_with_axes, save_figure
from ann.report.terminal import console, table

COLOURS = {"zeros": "#0f172a", "normal": ORANGE, "xavier_normal": "#16a34a", "he_normal": BLUE}
MAX_MARKED = 12
"""Epochs that get a point each."""


def print_initialisation(final: dict[str, np.ndarray], published: dict[str, float], majority: float) -> None:
    """Print the (S,) accuracies of each strategy on validation rows beside the published one."""
    out, seeds = console(), len(next(iter(final.values())))
    title = f"\nAccuracy of validation rows, {seeds} seed{'s' * (seeds > 1)}"
    found = table(title, "strategy", "mean", "least", "greatest", "published on MNIST")
    for strategy, values in final.items():
        shown = (f"{value:.4f}" for value in (values.mean(), values.min(), values.max()))
        found.add_row(strategy, *shown, f"{published[strategy]:.2f}")
    out.print(found)
    out.print(f"Always the most frequent class: {majority:.4f}")


def draw_initialisation(epochs: dict[str, np.ndarray], path: Path) -> None:
    """Draw (S, E) accuracies of each strategy over epochs: their mean as a line, their range as a band."""
    figure, axes = figure_with_axes(
        "Accuracy by first weights", "epoch", "accuracy of validation rows", size=(6.4, 4.2)
    )
    for strategy, values in epochs.items():
        steps = np.arange(1, values.shape[1] + 1)
        colour, marker = COLOURS[strategy], "." if len(steps) <= MAX_MARKED else ""
        axes.fill_between(steps, values.min(axis=0), values.max(axis=0), color=colour, alpha=0.2, linewidth=0)
        line = "--" if strategy == "he_normal" else "-"  # it often covers Xavier's
        axes.plot(steps, values.mean(axis=0), color=colour, linestyle=line, marker=marker, label=strategy)
    axes.set_ylim(0, 1.02)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.legend(frameon=False, fontsize=8, loc="center left", bbox_to_anchor=(1, 0.5))
    save_figure(figure, path)
