"""Which units a network has: those of the families, and of plain nn.Sequentials in networks of one's own."""

from itertools import pairwise

import pytest
import torch
from torch import Tensor, nn

from ann.errors import ConfigError
from ann.models.chains import chain_groups, groups_of
from ann.models.cnn import CNN, ResNet
from ann.models.densemlp import DenseMLP
from ann.models.mlp import MLP
from ann.models.resmlp import ResMLP
from ann.models.speech import Speech
from ann.models.tabular import Tabular
from ann.models.text import Text
from ann.models.units import Part, UnitGroup
from ann.models.wiring import Values, Wiring


def counts(groups: list[UnitGroup]) -> dict[str, int]:
    return {group.name: group.count for group in groups}


def places(network: nn.Module) -> dict[tuple[str, int], list[range]]:
    """Return what each group has of each dimension, and check that all of it lies within the tensor."""
    found: dict[tuple[str, int], list[range]] = {}
    state = network.state_dict()
    for group in groups_of(network):
        for part in group.parts:
            stop = part.start + group.count * part.size
            assert stop <= state[part.tensor].shape[part.dim], part
            found.setdefault((part.tensor, part.dim), []).append(range(part.start, stop))
    return found


class Own(nn.Module):
    """A network of one's own around some layers."""

    def __init__(self, *layers: nn.Module) -> None:
        super().__init__()
        self.layers = nn.Sequential(*layers)

    def forward(self, inputs: dict[str, Tensor]) -> Tensor:
        return self.layers(inputs["x"])


class Indexed(Own):
    """Likewise, but what the first layer gives goes elsewhere too."""

    def forward(self, inputs: dict[str, Tensor]) -> Tensor:
        first = self.layers[0](inputs["x"])
        return self.layers[2](self.layers[1](first)) + first.mean()


class Twice(Own):
    """Likewise, and the first layer is used once more."""

    def forward(self, inputs: dict[str, Tensor]) -> Tensor:
        return self.layers(inputs["x"]) + self.layers[0](inputs["x"]).mean()


class Strange(nn.Module):
    """A module that nothing is known of."""

    def forward(self, x: Tensor) -> Tensor:
        return x * x.mean(dim=1, keepdim=True)


def test_an_mlp_has_the_units_of_its_hidden_layers() -> None:
    network = MLP(width=3, sizes=[], outputs=2, hidden=[5, 4], norm="batch", dropout=0.1)
    norm = ("weight", "bias", "running_mean", "running_var")
    assert network.unit_groups() == [
        UnitGroup(
            "blocks.0.0",
            5,
            (
                Part("blocks.0.0.weight", 0),
                *(Part(f"blocks.0.1.{tensor}", 0) for tensor in norm),
                Part("blocks.1.0.weight", 1),
            ),
        ),
        UnitGroup(
            "blocks.1.0",
            4,
            (
                Part("blocks.1.0.weight", 0),
                *(Part(f"blocks.1.1.{tensor}", 0) for tensor in norm),
                Part("head.weight", 1),
            ),
        ),
    ]


def test_residual_blocks_of_one_width_share_their_units() -> None:
    network = ResMLP(width=3, sizes=[], outputs=2, hidden=[8, 8, 6])
    assert counts(network.unit_groups()) == {
        "blocks.0.block.0.0": 8,
        "blocks.0.block.1.0": 8,  # and the second block's way out
        "blocks.1.block.0.0": 8,
        "blocks.2.block.0.0": 6,
        "blocks.2.block.1.0": 6,
    }
    tensors = {part.tensor for part in network.unit_groups()[1].parts}
    assert {"blocks.0.shortcut.weight", "blocks.1.block.1.0.weight", "blocks.2.shortcut.weight"} <= tensors


def test_values_that_are_added_to_inputs_are_no_units() -> None:
    network = ResMLP(width=8, sizes=[], outputs=2, hidden=[8])
    assert list(counts(network.unit_groups())) == ["blocks.0.block.0.0"]


def test_dense_layers_are_read_where_they_lie_beside_the_inputs() -> None:
    network = DenseMLP(width=3, sizes=[], outputs=2, hidden=[5, 4], norm="none")
    first, second = network.unit_groups()
    assert first.parts[2:] == (Part("blocks.1.block.0.weight", 1, 3), Part("head.weight", 1, 3))
    assert second.parts[2:] == (Part("head.weight", 1, 8),)


def test_a_channel_is_read_at_all_places_where_the_ending_is_flat() -> None:
    network = CNN(channels=1, height=8, width=6, outputs=2, stages=[4, 6], ending="flatten", hidden=[5])
    [last] = [group for group in network.unit_groups() if group.name == "blocks.1.1.0"]
    assert last.parts[-1] == Part("dense.0.0.weight", 1, 0, 2 * 2)


def test_stages_of_a_residual_network_are_one_group_each() -> None:
    network = ResNet(channels=1, height=8, width=8, outputs=2, stages=[8, 12], norm="group")
    groups = network.unit_groups()
    assert counts(groups)["blocks.0.0"] == 8
    assert len([group for group in groups if group.count == 8]) == 3  # the stage, and inside each pair
    assert {group.count: group.even for group in groups} == {8: 4, 12: 6}


def test_a_norm_over_units_needs_two_of_them() -> None:
    least = {
        norm: MLP(width=3, sizes=[], outputs=2, hidden=[32], norm=norm).unit_groups()[0].least
        for norm in ("none", "batch", "layer", "group")
    }
    assert least == {"none": 1, "batch": 1, "layer": 2, "group": 2}
    group = MLP(width=3, sizes=[], outputs=2, hidden=[24], norm="group").unit_groups()[0]
    assert (group.even, group.removable) == (8, 8)


def test_groups_without_a_choice_are_left_out() -> None:
    assert MLP(width=3, sizes=[], outputs=2, hidden=[1, 2], norm="layer").unit_groups() == []


def test_a_recurrent_unit_has_a_row_in_every_gate() -> None:
    network = Text(words=9, length=6, outputs=2, embedding=4, encoder={"name": "gru", "units": 5, **RECURRENT})
    first, back = network.unit_groups()[:2]
    gates = (0, 5, 10)
    assert first.parts == (
        *(Part(f"encoder.forwards.0.{tensor}", 0, gate) for tensor in CELL for gate in gates),
        Part("encoder.forwards.0.weight_hh_l0", 1),
        Part("encoder.forwards.1.weight_ih_l0", 1),
        Part("encoder.backwards.1.weight_ih_l0", 1),
    )
    assert back.parts[-1] == Part("encoder.backwards.1.weight_ih_l0", 1, 5)


RECURRENT = {"layers": 2, "bidirectional": True, "pooling": "last", "dropout": 0.0}
CELL = ("weight_ih_l0", "weight_hh_l0", "bias_ih_l0", "bias_hh_l0")


def test_a_head_of_attention_is_a_unit_of_queries_keys_and_values() -> None:
    encoder = {"name": "transformer", "heads": 2, "layers": 1, "inner": 5, "norm": "pre", "activation": "gelu"}
    network = Text(
        words=9, length=6, outputs=2, embedding=6, encoder={**encoder, "positions": "sinusoidal", "dropout": 0.0}
    )
    heads, inner = network.unit_groups()
    assert (heads.count, inner.count) == (2, 5)
    assert heads.parts == (
        *(
            Part(f"encoder.blocks.0.attention.in_proj.{tensor}", 0, start, 3)
            for tensor in ("weight", "bias")
            for start in (0, 6, 12)
        ),
        Part("encoder.blocks.0.attention.out_proj.weight", 1, 0, 3),
    )


def test_members_of_an_ensemble_lose_a_unit_together() -> None:
    network = Tabular(
        width=3, sizes=[], outputs=2, hidden=[5], members=4, numeric="piecewise", bins=4, dimension=2,
        embedding=4, dropout=0.0,
    )  # fmt: skip
    [group] = network.unit_groups()
    assert group.parts[-1] == Part("heads", 1)


def test_bands_of_a_sound_are_no_units() -> None:
    network = Speech(mels=6, frames=9, outputs=3, channels=[8, 7], cell="none", output="sequence")
    assert counts(network.unit_groups()) == {"blocks.0.convolution": 8, "blocks.1.convolution": 7}


def test_no_place_belongs_to_two_units() -> None:
    for network in (
        DenseMLP(width=3, sizes=[4], outputs=2, hidden=[5, 4, 3]),
        ResNet(channels=2, height=8, width=8, outputs=2, stages=[8, 8, 6], hidden=[5]),
        Text(words=9, length=6, outputs=2, embedding=4, encoder={"name": "lstm", "units": 5, **RECURRENT}),
        Text(words=9, length=6, outputs=2, embedding=4, encoder={"name": "cnn", "windows": [2, 3], "units": 5}),
    ):
        for dimension, ranges in places(network).items():
            for one, other in pairwise(sorted(ranges, key=lambda places: places.start)):
                assert one.stop <= other.start, dimension


def test_a_network_of_ones_own_has_the_units_inside_its_sequentials() -> None:
    network = Own(
        nn.Sequential(nn.Conv2d(1, 6, 3), nn.BatchNorm2d(6), nn.ReLU(), nn.MaxPool2d(2)),
        nn.Flatten(),
        nn.Linear(6 * 3 * 2, 7),
        nn.Dropout(0.1),
        nn.Linear(7, 2),
    )
    example = {"x": torch.randn(2, 1, 8, 6)}
    groups = groups_of(network, example)
    assert counts(groups) == {"layers.0.0": 6, "layers.2": 7}
    assert groups[0].parts[-1] == Part("layers.2.weight", 1, 0, 6)
    assert groups_of(network) == groups


@pytest.mark.parametrize("kind", [Indexed, Twice])
def test_layers_whose_values_go_elsewhere_too_are_left_alone(kind: type[Own]) -> None:
    network = kind(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 2))
    assert chain_groups(network, {"x": torch.randn(2, 3)}) == []


def test_sequentials_inside_one_that_is_not_called_are_found() -> None:
    class Steps(Own):
        def forward(self, inputs: dict[str, Tensor]) -> Tensor:
            x = inputs["x"]
            for block in self.layers:
                x = block(x) + 1
            return x

    blocks = (nn.Sequential(nn.Linear(3, 5), nn.ReLU(), nn.Linear(5, 3)) for _ in range(2))
    assert counts(chain_groups(Steps(*blocks), {"x": torch.randn(2, 3)})) == {"layers.0.0": 5, "layers.1.0": 5}


@pytest.mark.parametrize(
    ("middle", "after"),
    [
        (Strange(), nn.Linear(4, 2)),
        (nn.Softmax(dim=1), nn.Linear(4, 2)),
        (nn.LayerNorm(4, elementwise_affine=False), nn.Linear(4, 2)),
        (nn.BatchNorm1d(4, affine=False), nn.Linear(4, 2)),
        (nn.Unflatten(1, (2, 2)), nn.Linear(2, 2)),
    ],
    ids=lambda module: type(module).__name__,
)
def test_units_that_an_unknown_layer_reads_stay(middle: nn.Module, after: nn.Module) -> None:
    network = Own(nn.Linear(3, 4), middle, after, nn.ReLU(), nn.Linear(2, 2))
    assert list(counts(chain_groups(network, {"x": torch.randn(2, 3)}))) == ["layers.2"]


def test_a_layer_that_reads_places_does_not_read_channels() -> None:
    """(B, 6, T) enters Linear by its last dimension, though there are as many channels as times."""
    network = Own(nn.Conv1d(2, 6, 3, padding=1), nn.ReLU(), nn.Linear(6, 3), nn.ReLU(), nn.Linear(3, 2))
    assert list(counts(chain_groups(network, {"x": torch.randn(2, 2, 6)}))) == ["layers.2"]


def test_channels_of_a_depthwise_convolution_stay() -> None:
    network = Own(nn.Conv2d(1, 4, 3), nn.ReLU(), nn.Conv2d(4, 4, 3, groups=4), nn.ReLU(), nn.Conv2d(4, 2, 1))
    assert chain_groups(network, {"x": torch.randn(2, 1, 8, 8)}) == []


def test_weights_with_two_names_stay() -> None:
    network = Own(nn.Linear(4, 4), nn.ReLU(), nn.Linear(4, 4), nn.ReLU(), nn.Linear(4, 2))
    network.layers[2].weight = network.layers[0].weight
    assert chain_groups(network, {"x": torch.randn(2, 4)}) == []


def test_looking_for_units_leaves_mode_and_hooks_as_they_were() -> None:
    network = Own(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Linear(4, 2)).train()
    mean = network.layers[1].running_mean.clone()
    chain_groups(network, {"x": torch.randn(2, 3)})
    assert network.training
    assert torch.equal(network.layers[1].running_mean, mean)
    assert not any(module._forward_pre_hooks for module in network.modules())


def test_a_network_without_known_layers_is_told_what_to_write() -> None:
    with pytest.raises(ConfigError, match=r"Strange has no hidden layers.*method unit_groups.*leave prune out"):
        groups_of(Strange())


def test_a_network_of_ones_own_may_tell_its_units() -> None:
    class Telling(Own):
        def unit_groups(self) -> list[UnitGroup]:
            return [UnitGroup("mine", 4, (Part("layers.0.weight", 0), Part("layers.0.bias", 0)))]

    assert counts(groups_of(Telling(nn.Linear(3, 4)))) == {"mine": 4}


def test_values_side_by_side_and_sums_of_unlike_values_stay() -> None:
    wiring = Wiring()
    one, other = wiring.made("one", 4, []), wiring.made("other", 3, [])
    assert wiring.added(one, other) == Values()
    wiring.beside(wiring.made("third", 2, []), Values())
    assert wiring.groups() == []
