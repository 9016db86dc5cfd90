"""First weights: variance and bounds of each strategy against its formula, for Linear and convolutional layers."""

import math

import pytest
import torch
from torch import nn

from ann.models.activations import ACTIVATIONS
from ann.models.initialisation import STRATEGIES, automatic, gain, initialise, initialise_embeddings

FAN_IN, FAN_OUT = 600, 900
VARIANCES = {
    "he_normal": 2 / FAN_IN,
    "he_uniform": 2 / FAN_IN,
    "lecun": 1 / FAN_IN,
    "normal": 1e-4,
    "xavier_normal": 2 / (FAN_IN + FAN_OUT),
    "xavier_uniform": 2 / (FAN_IN + FAN_OUT),
    "zeros": 0.0,
}


def drawn(strategy: str, activation: str = "relu", layer: nn.Module | None = None) -> torch.Tensor:
    torch.manual_seed(0)
    layer = layer or nn.Linear(FAN_IN, FAN_OUT)
    initialise([layer], strategy, activation)
    assert torch.count_nonzero(layer.bias) == 0
    return layer.weight.detach()


@pytest.mark.parametrize("strategy", VARIANCES)
def test_the_variance_follows_the_formula(strategy: str) -> None:
    weight = drawn(strategy)
    assert weight.var().item() == pytest.approx(VARIANCES[strategy], rel=0.01)
    assert weight.mean().item() == pytest.approx(0, abs=4 * math.sqrt(VARIANCES[strategy] / weight.numel()))


@pytest.mark.parametrize("strategy", ["he_uniform", "xavier_uniform"])
def test_uniform_weights_reach_their_bound_and_not_beyond(strategy: str) -> None:
    bound = math.sqrt(3 * VARIANCES[strategy])
    assert 0.999 * bound < drawn(strategy).abs().max().item() <= bound


@pytest.mark.parametrize("strategy", ["he_normal", "he_uniform"])
def test_he_takes_the_leak_into_account(strategy: str) -> None:
    assert drawn(strategy, "leaky_relu").var().item() == pytest.approx(2 / (1 + 0.01**2) / FAN_IN, rel=0.01)


def test_a_kernel_counts_its_places() -> None:
    weight = drawn("he_normal", layer=nn.Conv2d(64, 256, 3))
    assert weight.var().item() == pytest.approx(2 / (64 * 9), rel=0.02)


@pytest.mark.parametrize("activation", ["relu", "tanh", "linear"])
def test_orthogonal_rows_have_the_length_of_the_gain(activation: str) -> None:
    weight = drawn("orthogonal", activation, nn.Linear(FAN_OUT, FAN_IN)).double()
    expected = {"relu": math.sqrt(2), "tanh": 5 / 3, "linear": 1.0}[activation]
    torch.testing.assert_close(weight @ weight.T, expected**2 * torch.eye(FAN_IN).double(), rtol=0, atol=1e-5)


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_automatic_weights_keep_the_size_of_a_signal_through_ten_layers(activation: str) -> None:
    torch.manual_seed(1)
    layers = [nn.Linear(400, 400) for _ in range(10)]
    initialise(layers, "auto", activation)
    act, x = ACTIVATIONS[activation](), torch.randn(500, 400)
    with torch.no_grad():
        for layer in layers:
            x = act(layer(x))
    # Half-way saturating and smooth ones lose some of it, sigmoid ends at its mean of a half.
    assert 0.05 < x.square().mean().sqrt().item() < 3


def test_what_automatic_takes() -> None:
    found = {activation: automatic(activation) for activation in ACTIVATIONS}
    assert found == {
        "elu": "he_uniform",
        "gelu": "he_uniform",
        "leaky_relu": "he_uniform",
        "linear": "xavier_uniform",
        "relu": "he_uniform",
        "selu": "lecun",
        "sigmoid": "xavier_uniform",
        "silu": "he_uniform",
        "tanh": "xavier_uniform",
    }
    assert set(found.values()) <= STRATEGIES.keys()


def test_selu_with_automatic_weights_keeps_mean_and_variance() -> None:
    torch.manual_seed(2)
    layers = [nn.Linear(500, 500) for _ in range(20)]
    initialise(layers, "auto", "selu")
    x = torch.randn(2000, 500)
    with torch.no_grad():
        for layer in layers:
            x = torch.selu(layer(x))
    assert x.mean().item() == pytest.approx(0, abs=0.1)
    assert x.std().item() == pytest.approx(1, abs=0.15)


def test_every_activation_has_a_gain() -> None:
    for activation in ("linear", "relu", "selu", "sigmoid", "tanh"):
        assert gain(activation) == pytest.approx(nn.init.calculate_gain(activation))
    assert gain("leaky_relu") == pytest.approx(nn.init.calculate_gain("leaky_relu", 0.01))
    assert {gain(activation) for activation in ("elu", "gelu", "silu")} == {gain("relu")}


def test_embeddings_start_narrow_and_other_layers_are_left_alone() -> None:
    torch.manual_seed(0)
    embedding, norm = nn.Embedding(500, 40), nn.LayerNorm(4)
    initialise_embeddings([embedding, norm])
    initialise([embedding, norm], "zeros", "relu")
    assert embedding.weight.std().item() == pytest.approx(0.1, rel=0.02)
    assert torch.equal(norm.weight, torch.ones(4))
