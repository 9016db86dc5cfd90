"""Structured pruning: which units go and how many, and that what is left is the same network without them."""

from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from ann.compression.costs import flops, parameters
from ann.compression.importance import importance
from ann.compression.pruning import prune
from ann.errors import ConfigError
from ann.models.cnn import ResNet
from ann.models.mlp import MLP
from ann.models.units import UnitGroup

SIZES = [6]
EMBEDDED = 5
"""ceil(1.6 * 6^0.56)"""


def build(norm: str = "none", hidden: tuple[int, ...] = (8, 6)) -> MLP:
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
    return network.eval()


def pruned(network: nn.Module, ratio: float, **settings: object) -> nn.Module:
    groups = network.unit_groups()
    return prune(network, ratio, **{"groups": groups, "strengths": importance(network, groups), **settings})


def widths(network: nn.Module) -> tuple[int, ...]:
    return tuple(block[0].out_features for block in network.blocks)


def rows(count: int = 32) -> dict[str, Tensor]:
    random = torch.Generator().manual_seed(0)
    numeric = torch.randn(count, 3, generator=random)
    return {"numeric": numeric, "categorical": torch.randint(6, (count, 1), generator=random)}


def matrix(network: MLP, name: str) -> np.ndarray:
    return network.state_dict()[name].double().numpy()


def strength(network: MLP, block: int, following: str, norm: str = "none") -> np.ndarray:
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
    small = pruned(build(norm), 0.5)
    shapes = {name: tuple(tensor.shape) for name, tensor in small.state_dict().items()}
    assert shapes["blocks.0.0.weight"] == (4, 3 + EMBEDDED)
    assert shapes["blocks.1.0.weight"] == (3, 4)
    assert shapes.get("blocks.1.0.bias") == (None if norm == "batch" else (3,))
    assert shapes["head.weight"] == (4, 3)
    assert shapes["embeddings.0.weight"] == (6, EMBEDDED)
    if norm != "none":
        assert shapes["blocks.0.1.weight"] == (4,)
    assert small(rows()).shape == (32, 4)


@pytest.mark.parametrize("norm", ["none", "batch"])
def test_units_without_weights_go_and_no_output_changes(norm: str) -> None:
    network = build(norm)
    dead = {"blocks.0.0.weight": [1, 2, 5, 6], "blocks.1.0.weight": [0, 3, 5]}
    with torch.no_grad():
        for name, following in (("blocks.0.0.weight", "blocks.1.0.weight"), ("blocks.1.0.weight", "head.weight")):
            network.state_dict()[name][dead[name]] = 0
            network.state_dict()[following][:, dead[name]] = 0
    small = pruned(network, 0.5)
    assert widths(small) == (4, 3)
    torch.testing.assert_close(small(rows()), network(rows()), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("norm", ["none", "layer", "batch"])
def test_the_strongest_units_stay_in_their_order(norm: str) -> None:
    network = build(norm, hidden=(12,))
    kept = np.sort(np.argsort(strength(network, 0, "head.weight", norm))[-4:])
    small = pruned(network, 2 / 3)
    assert widths(small) == (4,)
    for name in (name for name in network.state_dict() if name.startswith("blocks.0.") and "num_batches" not in name):
        np.testing.assert_array_equal(matrix(small, name), matrix(network, name)[kept], err_msg=name)
    np.testing.assert_array_equal(matrix(small, "head.weight"), matrix(network, "head.weight")[:, kept])
    np.testing.assert_array_equal(matrix(small, "head.bias"), matrix(network, "head.bias"))


def test_each_layer_is_judged_by_the_layer_that_follows_it() -> None:
    network = build("none")
    first = np.sort(np.argsort(strength(network, 0, "blocks.1.0.weight"))[-4:])
    second = np.sort(np.argsort(strength(network, 1, "head.weight"))[-3:])
    middle = matrix(network, "blocks.1.0.weight")[np.ix_(second, first)]
    np.testing.assert_array_equal(matrix(pruned(network, 0.5), "blocks.1.0.weight"), middle)


@pytest.mark.parametrize("scope", ["layer", "global"])
def test_at_least_one_unit_stays_in_every_layer(scope: str) -> None:
    small = pruned(build(hidden=(3, 2)), 0.99, scope=scope)
    assert widths(small) == (1, 1)
    assert small(rows(5)).shape == (5, 4)


@pytest.mark.parametrize("scope", ["layer", "global"])
def test_a_norm_over_units_keeps_two(scope: str) -> None:
    small = pruned(build("layer", hidden=(5, 4)), 0.99, scope=scope)
    assert widths(small) == (2, 2)
    assert small(rows()).std(dim=0).min() > 0


@pytest.mark.parametrize("scope", ["layer", "global"])
def test_every_block_of_a_group_norm_loses_its_weakest_units(scope: str) -> None:
    network = build("group", hidden=(32,))
    groups = network.unit_groups()
    strengths = importance(network, groups)
    small = prune(network, 0.5, groups=groups, strengths=strengths, scope=scope)
    blocks = strengths["blocks.0.0"].view(8, 4)
    kept = (blocks.argsort(dim=1)[:, 2:].sort(dim=1).values + 4 * torch.arange(8).unsqueeze(1)).flatten()
    assert torch.equal(small.blocks[0][0].weight, network.blocks[0][0].weight[kept])
    assert (small.blocks[0][1].num_channels, small.blocks[0][1].num_groups) == (16, 8)


def test_the_global_scope_takes_what_is_weakest_beside_its_group() -> None:
    """The second layer's numbers are a thousand times as large, which says nothing."""
    network = build(hidden=(4, 4))
    strengths = {"blocks.0.0": torch.tensor([4.0, 1, 5, 6]), "blocks.1.0": torch.tensor([9000.0, 1000, 500, 9500])}
    small = prune(network, 3 / 8, groups=network.unit_groups(), strengths=strengths, scope="global")
    assert widths(small) == (3, 2)
    assert torch.equal(small.blocks[0][0].weight, network.blocks[0][0].weight[[0, 2, 3]])
    assert torch.equal(small.blocks[1][0].weight, network.blocks[1][0].weight[[0, 3]][:, [0, 2, 3]])


def test_a_group_in_which_nothing_counts_goes_first_in_the_global_scope() -> None:
    network = build(hidden=(4, 4))
    strengths = {"blocks.0.0": torch.zeros(4), "blocks.1.0": torch.ones(4)}
    small = prune(network, 3 / 8, groups=network.unit_groups(), strengths=strengths, scope="global")
    assert widths(small) == (1, 4)


def test_of_equally_strong_units_the_first_stay() -> None:
    network = build(hidden=(6,))
    small = prune(network, 0.5, groups=network.unit_groups(), strengths={"blocks.0.0": torch.ones(6)})
    assert torch.equal(small.blocks[0][0].weight, network.blocks[0][0].weight[:3])


def sizes_of(network: nn.Module, scope: str, cost: Callable[[nn.Module], float]) -> list[float]:
    """Return the cost of every network from the full one on, found by asking for each number of units."""
    groups = network.unit_groups()
    total = sum(group.count for group in groups)
    return [cost(pruned(network, count / total, scope=scope)) for count in range(total - len(groups) + 1)]


def multiply_adds(network: nn.Module) -> float:
    return flops(network, rows(2))


@pytest.mark.parametrize("cost", [parameters, multiply_adds], ids=["parameters", "flops"])
@pytest.mark.parametrize("ratio", [0.1, 0.35, 0.5, 0.6])
def test_a_share_of_a_cost_is_met_as_nearly_as_any_network_of_the_row_does(
    ratio: float, cost: Callable[[nn.Module], float]
) -> None:
    network = build(hidden=(16, 12))
    wanted = (1 - ratio) * cost(network)
    best = min(abs(size - wanted) for size in sizes_of(network, "global", cost))
    small = pruned(network, ratio, of="a cost", scope="global", cost=cost)
    assert abs(cost(small) - wanted) == pytest.approx(best)


@pytest.mark.parametrize("ratio", [0.1, 0.3, 0.5, 0.7])
def test_every_layer_loses_the_same_share_of_its_units_for_a_share_of_a_cost(ratio: float) -> None:
    network = build(hidden=(40, 20))
    small = pruned(network, ratio, of="parameters", cost=parameters)
    assert parameters(small) / parameters(network) == pytest.approx(1 - ratio, abs=0.02)
    first, second = widths(small)
    assert abs(first / 40 - second / 20) <= 1 / 20


def test_residual_networks_reach_a_share_of_their_parameters() -> None:
    torch.manual_seed(0)
    network = ResNet(channels=1, height=8, width=8, outputs=3, stages=[12, 16]).eval()
    for scope in ("layer", "global"):
        small = pruned(network, 0.5, of="parameters", scope=scope, cost=parameters)
        assert parameters(small) / parameters(network) == pytest.approx(0.5, abs=0.05)
        assert small({"image": torch.randn(2, 1, 8, 8)}).shape == (2, 3)


def test_a_noisy_cost_still_ends() -> None:
    """Latency is measured; two measurements of one network differ."""
    random = np.random.default_rng(0)
    network = build(hidden=(40, 20))
    small = pruned(network, 0.4, of="latency", cost=lambda made: parameters(made) * random.uniform(0.97, 1.03))
    assert parameters(small) / parameters(network) == pytest.approx(0.6, abs=0.06)


def test_a_cost_is_asked_for_few_networks() -> None:
    asked: list[int] = []

    def cost(network: nn.Module) -> float:
        asked.append(parameters(network))
        return asked[-1]

    pruned(build(hidden=(100, 50)), 0.5, of="parameters", scope="global", cost=cost)
    assert len(asked) == len(set(asked)) <= 10  # of 149 networks


def test_a_share_that_cannot_go_is_refused_with_the_greatest() -> None:
    network = build(hidden=(8,))
    with pytest.raises(
        ConfigError, match=r"cannot remove 95\.0% of the parameters.*a ratio of at most 0\.\d+$"
    ) as caught:
        pruned(network, 0.95, of="parameters", cost=parameters)
    greatest = float(str(caught.value).rpartition(" ")[2])
    assert widths(pruned(network, greatest, of="parameters", cost=parameters)) == (1,)
    with pytest.raises(ConfigError):
        pruned(network, greatest + 0.001, of="parameters", cost=parameters)


def test_a_share_of_a_cost_needs_the_cost() -> None:
    with pytest.raises(ValueError, match="a ratio of flops needs a cost"):
        pruned(build(), 0.5, of="flops")


@pytest.mark.parametrize("scope", ["layer", "global"])
def test_the_same_network_is_pruned_to_the_same_bits(scope: str) -> None:
    torch.manual_seed(9)
    before = torch.get_rng_state()
    one, other = (pruned(build("batch"), 0.4, of="parameters", scope=scope, cost=parameters) for _ in range(2))
    assert all(torch.equal(tensor, other.state_dict()[name]) for name, tensor in one.state_dict().items())
    torch.manual_seed(9)
    assert torch.equal(torch.get_rng_state(), before)


def test_the_network_itself_is_left_alone() -> None:
    network = build("batch")
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    small = pruned(network, 0.5)
    with torch.no_grad():
        for parameter in small.parameters():
            parameter.fill_(7)
    assert all(torch.equal(tensor, before[name]) for name, tensor in network.state_dict().items())


@pytest.mark.parametrize(("width", "sizes"), [(3, []), (0, SIZES)])
def test_numbers_alone_and_categories_alone_can_be_pruned(width: int, sizes: list[int]) -> None:
    network = MLP(width=width, sizes=sizes, outputs=2, hidden=[4])
    inputs = {name: tensor for name, tensor in rows().items() if name == ("numeric" if width else "categorical")}
    assert pruned(network, 0.5).eval()(inputs).shape == (32, 2)


def test_groups_that_are_not_given_keep_their_units() -> None:
    network = build()
    chosen: list[UnitGroup] = network.unit_groups()[1:]
    assert widths(pruned(network, 0.5, groups=chosen)) == (8, 3)
