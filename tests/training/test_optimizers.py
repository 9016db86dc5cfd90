"""Steps of each optimizer beside the NumPy reference; what decays and what does not."""

from itertools import pairwise
from typing import Any

import numpy as np
import pytest
import torch
from pydantic import TypeAdapter
from torch import nn

from ann.config.optimizers import SGD, AdamW, Momentum, Muon, OptimizerParams, RMSprop
from ann.errors import ConfigError
from ann.models import reference
from ann.models.mlp import MLP
from ann.training.flat import FlatParameters
from ann.training.optimizers import FlatOptimizer, build_optimizer

DECAYING = {"0.weight", "2.weight"}
"""The matrices of `small_network`; biases and the norm are not among them."""
Weights = dict[str, np.ndarray]


def small_network() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(4, 3), nn.LayerNorm(3), nn.Linear(3, 2)).double()


def weights_of(network: nn.Module) -> Weights:
    return {name: parameter.detach().numpy().copy() for name, parameter in network.named_parameters()}


def built(network: nn.Module, params: OptimizerParams) -> FlatOptimizer:
    return build_optimizer(network, FlatParameters.of(network), params)


SETTINGS: dict[str, dict[str, Any]] = {
    "adam": {"weight_decay": 0.3, "betas": (0.8, 0.95), "eps": 1e-3},
    "adamw": {"weight_decay": 0.3, "betas": (0.8, 0.95), "eps": 1e-3},
    "gd": {"weight_decay": 0.2},
    "momentum": {"weight_decay": 0.2, "momentum": 0.7},
    "nesterov": {"weight_decay": 0.2, "momentum": 0.7},
    "rmsprop": {"weight_decay": 0.2, "alpha": 0.9, "eps": 1e-3},
    "sgd": {"weight_decay": 0.2},
}


@pytest.mark.parametrize("divisor", [None, 4.0])
@pytest.mark.parametrize("count", [1, 3])
@pytest.mark.parametrize("name", SETTINGS)
def test_steps_are_those_of_the_reference(name: str, count: int, divisor: float | None) -> None:
    lr, random = 0.05, np.random.default_rng(1)
    network = small_network()
    params: OptimizerParams = TypeAdapter(OptimizerParams).validate_python({"name": name, "lr": lr, **SETTINGS[name]})
    mine, theirs = built(network, params), reference.OPTIMIZERS[name](**SETTINGS[name])
    weights = weights_of(network)
    for step in range(count):
        gradients = {key: random.normal(size=value.shape) for key, value in weights.items()}
        for key, parameter in network.named_parameters():
            parameter.grad.copy_(torch.from_numpy(gradients[key] * (divisor or 1.0)))
        mine.step(lr / (step + 1), None if divisor is None else torch.tensor(divisor))
        theirs.step(weights, gradients, lr / (step + 1))
    for key, value in weights_of(network).items():
        np.testing.assert_allclose(value, weights[key], rtol=1e-10, atol=1e-12, err_msg=key)


def test_muon_moves_hidden_matrices_along_orthogonal_directions_and_leaves_the_rest_to_adamw() -> None:
    torch.manual_seed(0)
    network = nn.Sequential(nn.Linear(6, 8), nn.ReLU(), nn.Linear(8, 8), nn.ReLU(), nn.Linear(8, 2))
    twin = nn.Sequential(nn.Linear(6, 8), nn.ReLU(), nn.Linear(8, 8), nn.ReLU(), nn.Linear(8, 2))
    twin.load_state_dict(network.state_dict())
    before = weights_of(network)
    muon = built(network, Muon(name="muon", lr=0.1, weight_decay=0.0))
    adamw = built(twin, AdamW(lr=0.1, weight_decay=0.0))
    random = torch.Generator().manual_seed(3)
    for mine, theirs in zip(network.parameters(), twin.parameters(), strict=True):
        mine.grad.copy_(torch.randn(mine.shape, generator=random))
        theirs.grad.copy_(mine.grad)
    muon.step(0.1)
    adamw.step(0.1)
    after, reference = weights_of(network), weights_of(twin)
    for name in ("0.bias", "2.bias", "4.weight", "4.bias"):
        np.testing.assert_allclose(after[name], reference[name], rtol=1e-6)
    for name in ("0.weight", "2.weight"):
        strength = np.linalg.svd(after[name] - before[name], compute_uv=False)
        # Newton-Schulz leaves singular values between about 0.7 and 1.2; the scale is 0.2 sqrt(max side) lr.
        assert 0.6 < strength.min() / (0.1 * 0.2 * np.sqrt(8)) <= strength.max() / (0.1 * 0.2 * np.sqrt(8)) < 1.3


def test_muon_needs_a_hidden_layer() -> None:
    with pytest.raises(ConfigError, match=r"muon needs a hidden Linear layer.*write adamw"):
        built(nn.Linear(3, 2), Muon(name="muon"))


@pytest.mark.parametrize("params", [AdamW(lr=0.5, weight_decay=0.1), SGD(name="sgd", lr=0.5, weight_decay=0.1)])
def test_without_gradients_only_matrices_shrink(params: AdamW | SGD) -> None:
    network = small_network()
    before = weights_of(network)
    built(network, params).step(0.5)
    for name, value in weights_of(network).items():
        factor = 1 - 0.5 * 0.1 if name in DECAYING else 1.0
        np.testing.assert_allclose(value, before[name] * factor, rtol=1e-12, err_msg=name)


@pytest.mark.parametrize("params", [AdamW(), SGD(name="sgd"), Momentum(name="momentum")])
def test_a_step_with_an_overflow_moves_nothing(params: OptimizerParams) -> None:
    network = small_network()
    before = weights_of(network)
    optimizer = built(network, params)
    for parameter in network.parameters():
        parameter.grad.fill_(torch.inf)
    optimizer.step(0.1, torch.tensor(2.0), found_inf=torch.tensor(1.0))
    for name, value in weights_of(network).items():
        np.testing.assert_array_equal(value, before[name])


@pytest.mark.parametrize(
    "params", [AdamW(), Momentum(name="nesterov"), RMSprop(name="rmsprop"), SGD(name="sgd"), Muon(name="muon")]
)
def test_an_optimizer_that_was_written_and_read_goes_on_with_the_same_bits(params: OptimizerParams) -> None:
    def networks() -> list[nn.Module]:
        torch.manual_seed(4)
        return [nn.Sequential(nn.Linear(5, 7), nn.ReLU(), nn.Linear(7, 3))]

    def gradients(network: nn.Module, seed: int) -> None:
        random = torch.Generator().manual_seed(seed)
        for parameter in network.parameters():
            parameter.grad.copy_(torch.randn(parameter.shape, generator=random))

    (straight,), (broken,), (resumed,) = networks(), networks(), networks()
    one, two, three = (built(network, params) for network in (straight, broken, resumed))
    for seed in (1, 2, 3):
        gradients(straight, seed)
        one.step(0.01)
    gradients(broken, 1)
    two.step(0.01)
    resumed.load_state_dict(broken.state_dict())
    three.load_tensors({name: tensor.clone() for name, tensor in two.tensors().items()})
    for seed in (2, 3):
        gradients(resumed, seed)
        three.step(0.01)
    for mine, theirs in zip(resumed.parameters(), straight.parameters(), strict=True):
        assert torch.equal(mine, theirs)


@pytest.mark.parametrize("norm", ["layer", "batch"])
def test_embeddings_and_layers_decay_and_every_parameter_lies_in_the_buffer_once(norm: str) -> None:
    network = MLP(width=2, sizes=[5], outputs=3, hidden=[4], norm=norm)
    flat = FlatParameters.of(network)
    edge = flat.weights[flat.decaying :].data_ptr()
    decaying = {name for name, parameter in network.named_parameters() if parameter.data_ptr() < edge}
    assert decaying == {"embeddings.0.weight", "blocks.0.0.weight", "head.weight"}
    assert set(flat.names) == {name for name, _ in network.named_parameters()}
    ranges = sorted((parameter.data_ptr(), parameter.numel() * 4) for parameter in network.parameters())
    assert all(start + size <= following for (start, size), (following, _) in pairwise(ranges))
    assert all(parameter.data_ptr() % 64 == flat.weights.data_ptr() % 64 for parameter in network.parameters())
