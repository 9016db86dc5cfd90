"""Layers that add their gradients themselves come to autograd's values, whatever else uses the weight."""

from collections.abc import Callable
from copy import deepcopy

import pytest
import torch
from torch import Tensor, nn

from ann.training.flat import FlatParameters
from ann.training.linear import adding_gradients


@pytest.fixture(autouse=True)
def _every_layer_is_large(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ann.training.linear.LARGE", 1)


class Tied(nn.Module):
    """One weight in two layers and in a product of its own."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Linear(4, 4), nn.Linear(4, 4, bias=False)
        self.second.weight = self.first.weight

    def forward(self, x: Tensor) -> Tensor:
        return self.second(self.first(x).relu()) @ self.first.weight


class Half(nn.Linear):
    """A layer that is more than Linear."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x) / 2


NETWORKS: dict[str, Callable[[], nn.Module]] = {
    "two layers": lambda: nn.Sequential(nn.Linear(4, 6), nn.Tanh(), nn.Linear(6, 3)),
    "without bias": lambda: nn.Sequential(nn.Linear(4, 6, bias=False), nn.Tanh(), nn.Linear(6, 3, bias=False)),
    "tied": Tied,
    "subclass": lambda: nn.Sequential(Half(4, 5), nn.Linear(5, 2)),
}


def gradients(network: nn.Module, x: Tensor, adding: bool, times: int = 1) -> tuple[Tensor, list[Tensor]]:
    x = x.clone().requires_grad_()
    FlatParameters.of(network)
    with adding_gradients(network, adding):
        for _ in range(times):
            network(x).square().sum().backward()
    return x.grad, [parameter.grad for parameter in network.parameters()]


@pytest.mark.parametrize("shape", [(8, 4), (2, 5, 4), (4,)])
@pytest.mark.parametrize("times", [1, 3])
@pytest.mark.parametrize("name", NETWORKS)
def test_gradients_are_autograds(name: str, times: int, shape: tuple[int, ...]) -> None:
    torch.manual_seed(0)
    network = NETWORKS[name]().double()
    x = torch.randn(shape, dtype=torch.float64)
    theirs = gradients(deepcopy(network), x, adding=False, times=times)
    mine = gradients(network, x, adding=True, times=times)
    torch.testing.assert_close(mine, theirs, rtol=1e-12, atol=1e-12)


def test_it_adds_into_the_flat_buffer_and_leaves_torchs_classes_behind() -> None:
    network = nn.Sequential(nn.Linear(4, 3))
    flat = FlatParameters.of(network)
    with adding_gradients(network, True):
        assert type(network[0]) is not nn.Linear
        network(torch.ones(2, 4)).sum().backward()
    assert type(network[0]) is nn.Linear
    assert flat.gradients.sum() == 4 * 3 * 2 + 3 * 2


def test_a_frozen_parameter_and_a_hook_keep_autograds_way() -> None:
    network = nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 4))
    network[0].weight.requires_grad_(False)
    seen: list[Tensor] = []
    network[1].weight.register_hook(seen.append)
    FlatParameters.of(network)
    with adding_gradients(network, True):
        assert {type(layer) for layer in network} == {nn.Linear}
        network(torch.ones(2, 4)).sum().backward()
    assert network[0].weight.grad is None
    assert len(seen) == 1


def test_small_layers_keep_autograds_way(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ann.training.linear.LARGE", 13)
    network = nn.Sequential(nn.Linear(4, 3), nn.Linear(3, 5))
    FlatParameters.of(network)
    with adding_gradients(network, True):
        assert [type(layer) is nn.Linear for layer in network] == [True, False]


def test_without_gradients_nothing_is_recorded() -> None:
    network = nn.Sequential(nn.Linear(4, 3))
    FlatParameters.of(network)
    with adding_gradients(network, True), torch.no_grad():
        assert not network(torch.ones(2, 4)).requires_grad
