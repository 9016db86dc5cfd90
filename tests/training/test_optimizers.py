"""One step of each optimizer against its formula in NumPy float64; what decays and what does not."""

from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import nn
from torch.optim import Optimizer

from ann.config.train import SGD, AdamW
from ann.models.mlp import MLP
from ann.training.optimizers import build_optimizer

DECAYING = {"0.weight", "2.weight"}
"""The matrices of `small_network`; biases and the norm are not among them."""
Weights = dict[str, np.ndarray]


def small_network() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(4, 3), nn.LayerNorm(3), nn.Linear(3, 2)).double()


def weights_of(network: nn.Module) -> Weights:
    return {name: parameter.detach().numpy().copy() for name, parameter in network.named_parameters()}


def steps(network: nn.Module, optimizer: Optimizer, count: int, expected: Callable[[str, np.ndarray], None]) -> None:
    """Take steps with random gradients and tell `expected` each gradient."""
    random = np.random.default_rng(1)
    for _ in range(count):
        for name, parameter in network.named_parameters():
            gradient = random.normal(size=tuple(parameter.shape))
            parameter.grad = torch.from_numpy(gradient.copy())
            expected(name, gradient)
        optimizer.step()


@pytest.mark.parametrize("count", [1, 3])
def test_adamw_follows_its_formula(count: int) -> None:
    lr, decay, beta1, beta2 = 0.05, 0.3, 0.8, 0.95
    network = small_network()
    weights = weights_of(network)
    first = {name: np.zeros_like(value) for name, value in weights.items()}
    second = {name: np.zeros_like(value) for name, value in weights.items()}
    taken = dict.fromkeys(weights, 0)

    def formula(name: str, gradient: np.ndarray) -> None:
        taken[name] += 1
        first[name] = beta1 * first[name] + (1 - beta1) * gradient
        second[name] = beta2 * second[name] + (1 - beta2) * gradient**2
        mean, square = first[name] / (1 - beta1 ** taken[name]), second[name] / (1 - beta2 ** taken[name])
        shrunk = weights[name] * (1 - lr * decay * (name in DECAYING))
        weights[name] = shrunk - lr * mean / (np.sqrt(square) + 1e-8)

    optimizer = build_optimizer(network, AdamW(lr=lr, weight_decay=decay, betas=(beta1, beta2)))
    steps(network, optimizer, count, formula)
    for name, value in weights_of(network).items():
        np.testing.assert_allclose(value, weights[name], rtol=1e-10, atol=1e-12, err_msg=name)


@pytest.mark.parametrize("nesterov", [False, True])
@pytest.mark.parametrize("count", [1, 3])
def test_sgd_follows_its_formula(count: int, nesterov: bool) -> None:
    lr, decay, momentum = 0.1, 0.2, 0.7
    network = small_network()
    weights = weights_of(network)
    velocity = {name: np.zeros_like(value) for name, value in weights.items()}

    def formula(name: str, gradient: np.ndarray) -> None:
        full = gradient + decay * (name in DECAYING) * weights[name]
        velocity[name] = momentum * velocity[name] + full
        weights[name] = weights[name] - lr * (full + momentum * velocity[name] if nesterov else velocity[name])

    params = SGD(name="sgd", lr=lr, momentum=momentum, nesterov=nesterov, weight_decay=decay)
    steps(network, build_optimizer(network, params), count, formula)
    for name, value in weights_of(network).items():
        np.testing.assert_allclose(value, weights[name], rtol=1e-10, atol=1e-12, err_msg=name)


@pytest.mark.parametrize(
    "params", [AdamW(lr=0.5, weight_decay=0.1), SGD(name="sgd", lr=0.5, momentum=0.0, weight_decay=0.1)]
)
def test_without_gradients_only_matrices_shrink(params: AdamW | SGD) -> None:
    network = small_network()
    before = weights_of(network)
    optimizer = build_optimizer(network, params)
    for parameter in network.parameters():
        parameter.grad = torch.zeros_like(parameter)
    optimizer.step()
    for name, value in weights_of(network).items():
        factor = 1 - 0.5 * 0.1 if name in DECAYING else 1.0
        np.testing.assert_allclose(value, before[name] * factor, rtol=1e-12, err_msg=name)


@pytest.mark.parametrize("norm", ["layer", "batch"])
def test_embeddings_and_layers_decay_and_every_parameter_is_optimized_once(norm: str) -> None:
    network = MLP(width=2, sizes=[5], num_classes=3, hidden=[4], norm=norm)
    decaying, constant = build_optimizer(network, AdamW(weight_decay=0.1)).param_groups
    assert (decaying["weight_decay"], constant["weight_decay"]) == (0.1, 0.0)
    names = {id(parameter): name for name, parameter in network.named_parameters()}
    assert {names[id(parameter)] for parameter in decaying["params"]} == {
        "embeddings.0.weight",
        "blocks.0.0.weight",
        "head.weight",
    }
    assert len(decaying["params"]) + len(constant["params"]) == len(names)
