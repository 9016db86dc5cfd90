"""How important a unit is: by the norms of its weights, and by what the loss would change without it."""

import math

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from ann.compression.importance import SAMPLE, importance, sample
from ann.data.batches import TensorData
from ann.models.chains import groups_of
from ann.models.cnn import ResNet
from ann.models.mlp import MLP
from ann.models.text import Text
from ann.training.losses import cross_entropy

RECURRENT = {"layers": 1, "bidirectional": False, "pooling": "last", "dropout": 0.0}


def mlp(norm: str = "none", hidden: tuple[int, ...] = (8, 6)) -> MLP:
    torch.manual_seed(4)
    network = MLP(width=3, sizes=[], outputs=4, hidden=list(hidden), norm=norm, dropout=0.0)
    return shaken(network)


def shaken(network: nn.Module) -> nn.Module:
    """Give biases and norms what training would leave there."""
    with torch.no_grad():
        for name, tensor in network.state_dict().items():
            if name.endswith("running_var"):
                tensor.uniform_(0.1, 4)
            elif tensor.ndim == 1:
                tensor.uniform_(0.2, 3)
    return network.eval()


def rows(count: int = 64) -> TensorData:
    random = torch.Generator().manual_seed(0)
    return TensorData(
        {"numeric": torch.randn(count, 3, generator=random)}, torch.randint(4, (count,), generator=random)
    )


def matrix(network: nn.Module, name: str) -> np.ndarray:
    return network.state_dict()[name].double().numpy()


@pytest.mark.parametrize("norm", ["none", "layer", "batch"])
def test_a_norm_is_that_of_incoming_weights_times_that_of_outgoing_ones(norm: str) -> None:
    network = mlp(norm)
    incoming = np.linalg.norm(matrix(network, "blocks.0.0.weight"), axis=1)
    if norm == "batch":
        variance = matrix(network, "blocks.0.1.running_var") + 1e-5
        incoming = incoming * matrix(network, "blocks.0.1.weight") / np.sqrt(variance)
    expected = incoming * np.linalg.norm(matrix(network, "blocks.1.0.weight"), axis=0)
    found = importance(network, network.unit_groups())
    assert list(found) == ["blocks.0.0", "blocks.1.0"]
    np.testing.assert_allclose(found["blocks.0.0"].numpy(), expected, rtol=1e-6)


def test_each_way_into_a_residual_stage_has_its_own_norm() -> None:
    network = shaken(ResNet(channels=1, height=8, width=8, outputs=2, stages=[6], depth=1))
    incoming = np.zeros(6)
    for layer, norm in (("blocks.0.0", "blocks.0.1"), ("blocks.1.block.1", "blocks.1.block.2")):
        squares = (matrix(network, f"{layer}.weight") ** 2).sum(axis=(1, 2, 3))
        incoming += squares * matrix(network, f"{norm}.weight") ** 2 / (matrix(network, f"{norm}.running_var") + 1e-5)
    outgoing = (matrix(network, "blocks.1.block.0.0.weight") ** 2).sum(axis=(0, 2, 3))
    outgoing += (matrix(network, "head.weight") ** 2).sum(axis=0)
    found = importance(network, network.unit_groups())["blocks.0.0"]
    np.testing.assert_allclose(found.numpy(), np.sqrt(incoming * outgoing), rtol=1e-6)


def test_the_gates_of_a_recurrent_unit_count_together() -> None:
    torch.manual_seed(0)
    network = Text(words=9, length=6, outputs=2, embedding=4, encoder={"name": "lstm", "units": 5, **RECURRENT})
    into, back = (matrix(network, f"encoder.forwards.0.weight_{kind}_l0") for kind in ("ih", "hh"))
    incoming = sum((part.reshape(4, 5, -1) ** 2).sum(axis=(0, 2)) for part in (into, back))
    outgoing = (back**2).sum(axis=0) + (matrix(network, "head.0.weight") ** 2).sum(axis=0)
    found = importance(network, network.unit_groups())["encoder.forwards.0"]
    np.testing.assert_allclose(found.numpy(), np.sqrt(incoming * outgoing), rtol=1e-6)


@pytest.mark.parametrize("norm", ["none", "layer", "batch"])
def test_taylor_is_the_square_of_the_slope_by_a_factor_before_the_unit(norm: str) -> None:
    """All 64 rows are one batch; the slope is found by central differences."""
    network, data = mlp(norm).double(), rows()
    data.inputs["numeric"] = data.inputs["numeric"].double()
    found = importance(network, network.unit_groups(), how="taylor", data=data, loss=cross_entropy)

    def loss(factor: Tensor) -> float:
        hidden = network.blocks[0](data.inputs["numeric"]) * factor
        return functional.cross_entropy(network.head(network.blocks[1](hidden)), data.target).item()

    for unit in range(8):
        step = torch.zeros(8, dtype=torch.float64)
        step[unit] = 1e-5
        slope = (loss(1 + step) - loss(1 - step)) / 2e-5
        assert found["blocks.0.0"][unit].item() == pytest.approx(slope**2, rel=1e-4, abs=1e-12)


@pytest.mark.parametrize("how", ["norm", "taylor"])
def test_a_unit_that_nobody_reads_has_no_importance(how: str) -> None:
    network = mlp()
    with torch.no_grad():
        network.blocks[0][0].weight[2] *= 100
        network.blocks[1][0].weight[:, 2] = 0
    found = importance(network, network.unit_groups(), how=how, data=rows(), loss=cross_entropy)["blocks.0.0"]
    assert found[2] == 0
    assert (found > 0).sum() >= 6


def test_taylor_sees_a_unit_that_is_never_active_where_the_norm_does_not() -> None:
    network, data = mlp(), rows()
    with torch.no_grad():
        network.blocks[0][0].bias[3] = -1000
    groups = network.unit_groups()
    assert importance(network, groups, how="taylor", data=data, loss=cross_entropy)["blocks.0.0"][3] == 0
    assert importance(network, groups)["blocks.0.0"][3] > 0


@pytest.mark.parametrize("how", ["norm", "taylor"])
def test_it_is_the_same_each_time_and_changes_nothing(how: str) -> None:
    network, data = mlp("batch").train(), rows(3000)
    before, state = {name: tensor.clone() for name, tensor in network.state_dict().items()}, torch.get_rng_state()
    first, again = (
        importance(network, network.unit_groups(), how=how, data=data, loss=cross_entropy, seed=3) for _ in range(2)
    )
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert all(torch.equal(tensor, before[name]) for name, tensor in network.state_dict().items())
    assert torch.equal(torch.get_rng_state(), state)
    assert network.training
    assert all(parameter.grad is None and parameter.requires_grad for parameter in network.parameters())


def test_frozen_layers_are_judged_too() -> None:
    network = mlp().requires_grad_(False)
    found = importance(network, network.unit_groups(), how="taylor", data=rows(), loss=cross_entropy)
    assert all((values > 0).any() for values in found.values())


def test_the_rows_are_different_ones_drawn_by_the_seed() -> None:
    data = rows(3000)
    drawn = sample(data, 1).inputs["numeric"]
    assert len(drawn) == len(drawn.unique(dim=0)) == SAMPLE
    assert torch.equal(sample(data, 1).inputs["numeric"], drawn)
    assert not torch.equal(sample(data, 2).inputs["numeric"], drawn)
    assert len(sample(rows(10), 1)) == 10


def test_taylor_without_rows_is_refused() -> None:
    network = mlp()
    with pytest.raises(ValueError, match="give data and loss"):
        importance(network, network.unit_groups(), how="taylor")


def test_a_network_whose_units_nothing_computes_is_judged_by_what_reads_them() -> None:
    """A group that a network of one's own tells may lack a side."""

    class Scaled(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layers = nn.Sequential(nn.Linear(2, 3), nn.Linear(3, 1))

    network = Scaled()
    [group] = groups_of(network)
    reading = type(group)(group.name, group.count, tuple(part for part in group.parts if part.outgoing))
    [found] = importance(network, [reading]).values()
    np.testing.assert_allclose(found.numpy(), np.abs(matrix(network, "layers.1.weight"))[0], rtol=1e-6)
    assert math.isfinite(found.sum())
