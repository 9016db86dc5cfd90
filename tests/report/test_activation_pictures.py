"""The picture of activations: its points follow the closed forms, and it is drawn by one command."""

import numpy as np
import pytest
from scipy.special import expit, ndtr
from scipy.stats import norm

from ann.cli import main
from ann.models.activations import ACTIVATIONS
from ann.report.activation_pictures import activation_curve, draw_activations

LAMBDA, ALPHA = 1.0507009873554805, 1.6732632423543772
CLOSED_FORMS = {
    "elu": (lambda z: np.where(z > 0, z, np.exp(z) - 1), lambda z: np.where(z > 0, 1, np.exp(z))),
    "gelu": (lambda z: z * ndtr(z), lambda z: ndtr(z) + z * norm.pdf(z)),
    "leaky_relu": (lambda z: np.where(z > 0, z, 0.01 * z), lambda z: np.where(z > 0, 1, 0.01)),
    "linear": (lambda z: z, np.ones_like),
    "relu": (lambda z: np.maximum(z, 0), lambda z: np.where(z > 0, 1, 0)),
    "selu": (
        lambda z: LAMBDA * np.where(z > 0, z, ALPHA * (np.exp(z) - 1)),
        lambda z: LAMBDA * np.where(z > 0, 1, ALPHA * np.exp(z)),
    ),
    "sigmoid": (expit, lambda z: expit(z) * expit(-z)),
    "silu": (lambda z: z * expit(z), lambda z: expit(z) * (1 + z * expit(-z))),
    "tanh": (np.tanh, lambda z: 1 / np.cosh(z) ** 2),
}


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_the_points_are_those_of_the_closed_form(name):
    curve = activation_curve(name)
    value, gradient = CLOSED_FORMS[name]
    np.testing.assert_allclose(curve.z, np.linspace(-4, 4, 801), atol=1e-12)
    np.testing.assert_allclose(curve.value, value(curve.z), atol=1e-12)
    smooth = np.abs(curve.z) > 1e-9  # at a kink the slope is torch's choice
    np.testing.assert_allclose(curve.gradient[smooth], gradient(curve.z[smooth]), atol=1e-12)


def test_the_picture_is_the_same_again(tmp_path):
    for file in ("one.png", "two.png"):
        draw_activations(tmp_path / file)
    assert (tmp_path / "one.png").read_bytes() == (tmp_path / "two.png").read_bytes()
    assert (tmp_path / "one.png").read_bytes()[:8] == b"\x89PNG\r\n\x1a\n"


def test_the_command_draws_it_and_refuses_what_is_no_png(tmp_path, capsys):
    assert main(["study", "activations", "-o", str(tmp_path / "it.png")]) == 0
    draw_activations(tmp_path / "directly.png")
    assert (tmp_path / "it.png").read_bytes() == (tmp_path / "directly.png").read_bytes()
    capsys.readouterr()
    assert main(["study", "activations", "-o", str(tmp_path / "it.jpg")]) == 2
    assert "-o must name a .png file" in capsys.readouterr().err
    assert not (tmp_path / "it.jpg").exists()
