"""Structured pruning: which units go, and that what is left is the same network without them."""

import numpy as np
import pytest
import torch
from torch import Tensor

from ann.compression.pruning import prune_mlp
from ann.config.layers import MLPParams
from ann.models.mlp import MLP

SIZES = [6]
EMBEDDED = 5
"""ceil(1.6 * 6^0.56)"""


def build(norm: str = "none", hidden: tuple[int, ...] = (8, 6)) -> tuple[MLP, MLPParams]:
    model = MLPParams(hidden=hidden, norm=norm, dropout=0.0)
    torch.manual_seed(4)
    network = MLP(width=3, sizes=SIZES, outputs=4, hidden=list(hidden), norm=norm, dropout=0.0)
    with torch.no_grad():
        for module in network.modules():
            if isinstance(module, torch.nn.Linear) and module.bias is not None:
                module.bias.normal_()
            if isinstance(module, torch.nn.BatchNorm1d):  # what training would leave there
                module.weight.uniform_(0.2, 3)
                module.bias.normal_()
                module.running_mean.normal_()
                module.running_var.uniform_(0.1, 4)
    return network.eval(), model


def rows(count: int = 32) -> dict[str, Tensor]:
    random = torch.Generator().manual_seed(0)
    numeric = torch.randn(count, 3, generator=random)
    return {"numeric": numeric, "categorical": torch.randint(6, (count, 1), generator=random)}


def matrix(network: MLP, name: str) -> np.ndarray:
    return network.state_dict()[name].double().numpy()


def importance(network: MLP, block: int, following: str, norm: str) -> np.ndarray:
    """Norm of incoming weights, BatchNorm's scale included, times norm of outgoing weights."""
    incoming = matrix(network, f"blocks.{block}.0.weight")
    if norm == "batch":
        scale = matrix(network, f"blocks.{block}.1.weight") / np.sqrt(
            matrix(network, f"blocks.{block}.1.running_var") + 1e-5
        )
        incoming = incoming * scale[:, None]
    outgoing = matrix(network, following)
    return np.sqrt((incoming**2).sum(axis=1)) * np.sqrt((outgoing**2).sum(axis=0))


@pytest.mark.parametrize("norm", ["none", "layer", "batch"])
def test_tensors_really_shrink(norm: str) -> None:
    network, model = build(norm)
    small, params = prune_mlp(network, model, 0.5)
    shapes = {name: tuple(tensor.shape) for name, tensor in small.state_dict().items()}
    assert shapes["blocks.0.0.weight"] == (4, 3 + EMBEDDED)
    assert shapes["blocks.1.0.weight"] == (3, 4)
    assert shapes.get("blocks.1.0.bias") == (None if norm == "batch" else (3,))
    assert shapes["head.weight"] == (4, 3)
    assert shapes["embeddings.0.weight"] == (6, EMBEDDED)
    if norm != "none":
        assert shapes["blocks.0.1.weight"] == (4,)
    assert params == model.model_copy(update={"hidden": (4, 3)})
    assert small.eval()(rows()).shape == (32, 4)


@pytest.mark.parametrize("norm", ["none", "batch"])
def test_units_without_weights_go_and_no_output_changes(norm: str) -> None:
    network, model = build(norm)
    dead = {"blocks.0.0.weight": [1, 2, 5, 6], "blocks.1.0.weight": [0, 3, 5]}
    with torch.no_grad():
        for name, following in (("blocks.0.0.weight", "blocks.1.0.weight"), ("blocks.1.0.weight", "head.weight")):
            network.state_dict()[name][dead[name]] = 0
            network.state_dict()[following][:, dead[name]] = 0
    small, params = prune_mlp(network, model, 0.5)
    assert params.hidden == (4, 3)
    torch.testing.assert_close(small.eval()(rows()), network(rows()), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("norm", ["none", "layer", "batch"])
def test_the_strongest_units_stay_in_their_order(norm: str) -> None:
    network, model = build(norm, hidden=(12,))
    strength = importance(network, 0, "head.weight", norm)
    kept = np.sort(np.argsort(strength)[-4:])
    small, params = prune_mlp(network, model, 2 / 3)
    assert params.hidden == (4,)
    for name in (name for name in network.state_dict() if name.startswith("blocks.0.") and "num_batches" not in name):
        np.testing.assert_array_equal(matrix(small, name), matrix(network, name)[kept], err_msg=name)
    np.testing.assert_array_equal(matrix(small, "head.weight"), matrix(network, "head.weight")[:, kept])
    np.testing.assert_array_equal(matrix(small, "head.bias"), matrix(network, "head.bias"))


def test_each_layer_is_judged_by_the_layer_that_follows_it() -> None:
    network, model = build("none")
    first = np.sort(np.argsort(importance(network, 0, "blocks.1.0.weight", "none"))[-4:])
    second = np.sort(np.argsort(importance(network, 1, "head.weight", "none"))[-3:])
    small, _ = prune_mlp(network, model, 0.5)
    middle = matrix(network, "blocks.1.0.weight")[np.ix_(second, first)]
    np.testing.assert_array_equal(matrix(small, "blocks.1.0.weight"), middle)


def test_a_unit_that_nobody_listens_to_goes_however_strong_its_input() -> None:
    network, model = build("none", hidden=(4,))
    with torch.no_grad():
        network.blocks[0][0].weight[2] *= 100
        network.head.weight[:, 2] = 0
    small, _ = prune_mlp(network, model, 0.25)
    assert matrix(small, "blocks.0.0.weight").tolist() == matrix(network, "blocks.0.0.weight")[[0, 1, 3]].tolist()


def test_at_least_one_unit_stays_in_every_layer() -> None:
    network, model = build(hidden=(3, 2))
    small, params = prune_mlp(network, model, 0.99)
    assert params.hidden == (1, 1)
    assert small.eval()(rows(5)).shape == (5, 4)


def test_the_network_itself_is_left_alone() -> None:
    network, model = build("batch")
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    small, _ = prune_mlp(network, model, 0.5)
    with torch.no_grad():
        for parameter in small.parameters():
            parameter.fill_(7)
    assert all(torch.equal(tensor, before[name]) for name, tensor in network.state_dict().items())
    assert model.hidden == (8, 6)


@pytest.mark.parametrize(("width", "sizes"), [(3, []), (0, SIZES)])
def test_numbers_alone_and_categories_alone_can_be_pruned(width: int, sizes: list[int]) -> None:
    network = MLP(width=width, sizes=sizes, outputs=2, hidden=[4])
    inputs = {name: tensor for name, tensor in rows().items() if name == ("numeric" if width else "categorical")}
    small, _ = prune_mlp(network, MLPParams(hidden=(4,)), 0.5)
    assert small.eval()(inputs).shape == (32, 2)
