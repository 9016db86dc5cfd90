"""Value and gradient of every activation, as networks compute them."""

from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from ann.models.activations import ACTIVATIONS
from ann.report.pictures import BLUE, ORANGE, frame_axes, save_figure

REACH = 4.0
POINTS = 801
COLUMNS = 3


class ActivationCurve(NamedTuple):
    """(P,) float64 points z, f(z) and f'(z)."""

    z: np.ndarray
    value: np.ndarray
    gradient: np.ndarray


def draw_activations(path: Path) -> None:
    """Draw value and gradient of each activation, all at one scale."""
    rows = -(-len(ACTIVATIONS) // COLUMNS)
    figure = Figure(figsize=(3.2 * COLUMNS, 2.7 * rows), layout="constrained")
    FigureCanvasAgg(figure)
    for number, name in enumerate(ACTIVATIONS):
        curve = activation_curve(name)
        axes = figure.add_subplot(rows, COLUMNS, number + 1)
        frame_axes(axes, name, "", "")
        axes.plot(curve.z, curve.value, color=BLUE, linewidth=1.5, label="value")
        axes.plot(curve.z, curve.gradient, color=ORANGE, linewidth=1.5, linestyle="--", label="gradient")
        axes.set(xlim=(-REACH, REACH), ylim=(-2, REACH))
    figure.legend(*figure.axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=2, frameon=False)
    save_figure(figure, path)


def activation_curve(name: str) -> ActivationCurve:
    """Return the points that are drawn; the gradient is what training would get."""
    z = torch.linspace(-REACH, REACH, POINTS, dtype=torch.float64, requires_grad=True)
    value = ACTIVATIONS[name]()(z)
    (gradient,) = torch.autograd.grad(value.sum(), z)
    return ActivationCurve(z.detach().numpy(), value.detach().numpy(), gradient.numpy())
