"""Networks without some of their units: the same as with the units silenced, in every family; on disk; learning."""

from copy import deepcopy
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from ann.compression.structure import without_units
from ann.config.model import Architecture, read_model
from ann.config.train import TrainParams
from ann.data.batches import TensorData
from ann.data.target import Target, classification
from ann.errors import ConfigError, StageError
from ann.export.network import export_network, verify_network
from ann.models import FAMILIES, build_network
from ann.models.chains import groups_of
from ann.models.units import UnitGroup
from ann.training.fit import fit
from ann.training.network import load_network, save_network
from ann.training.objective import build_objective

ROWS, WORDS, FRAMES, PAST, AHEAD = 32, 12, 12, 12, 3
GROUPS: dict[str, dict[str, object]] = {
    "numeric": {"width": 6},
    "categorical": {"sizes": [5, 4]},
    "text": {"words": WORDS, "length": 8},
    "image": {"channels": 1, "height": 8, "width": 6},
    "audio": {"mels": 6, "frames": FRAMES},
    "series": {"length": PAST, "channels": 2, "horizon": AHEAD, "targets": [0, 1]},
}
THREE = classification(3)
NUMBERS = Target("regression", ("a", "b"), shift=(0.0, 0.0), scale=(1.0, 1.0))
FORECAST = Target("forecast", ("a", "b"), horizon=AHEAD, shift=(0.0, 0.0), scale=(1.0, 1.0))
TRANSFORMER = {"name": "transformer", "heads": 4, "inner": 10, "dropout": 0.0}
QUIET = {"embedding": 8, "spatial_dropout": 0.0}
MODELS: dict[str, tuple[str, dict[str, object]]] = {
    "mlp": ("mlp", {"hidden": [12, 9], "norm": "batch"}),
    "mlp without norm": ("mlp", {"hidden": [12, 9], "norm": "none", "activation": "sigmoid"}),
    "mlp in groups": ("mlp", {"hidden": [24], "norm": "group"}),
    "mlp, norm after": ("mlp", {"hidden": [9, 7], "norm": "layer", "norm_position": "after"}),
    "resmlp": ("resmlp", {"hidden": [9, 9, 7]}),
    "resmlp as wide as its input": ("resmlp", {"hidden": [13, 7], "norm": "batch"}),
    "densemlp": ("densemlp", {"hidden": [9, 7, 5]}),
    "cnn": ("cnn", {"stages": [6, 8], "hidden": [7]}),
    "cnn, flat": ("cnn", {"stages": [8, 12], "ending": "flatten", "norm": "group"}),
    "resnet": ("resnet", {"stages": [8, 10]}),
    "resnet in groups": ("resnet", {"stages": [8, 12], "norm": "group", "hidden": [7]}),
    "tabular": ("tabular", {"hidden": [12, 9], "members": 3, "bins": 4, "dimension": 2}),
    "text, mean": ("text", {**QUIET, "encoder": {"name": "mean", "pooling": "mean_max"}, "hidden": [9]}),
    "text, cnn": ("text", {**QUIET, "encoder": {"name": "cnn", "units": 6}, "hidden": [9]}),
    "text, lstm": ("text", {**QUIET, "encoder": {"name": "lstm", "units": 5, "layers": 2}}),
    "text, gru, last": ("text", {**QUIET, "encoder": {"name": "gru", "units": 5, "pooling": "last"}}),
    "text, transformer": ("text", {**QUIET, "encoder": TRANSFORMER}),
    "forecast, mlp": ("forecast", {"head": {"name": "mlp", "hidden": [9, 7], "norm": "layer"}}),
    "forecast, rnn": ("forecast", {"head": {"name": "rnn", "units": 6, "layers": 2}}),
    "forecast, transformer": (
        "forecast",
        {"head": {**TRANSFORMER, "patch": 4, "stride": 2, "width": 8}},
    ),
    "speech": ("speech", {"channels": [8, 6], "units": 5, "hidden": [7]}),
    "speech, gru": ("speech", {"channels": [6], "cell": "gru", "units": 5, "layers": 2}),
    "speech, convolutions": ("speech", {"channels": [8, 6], "cell": "none"}),
    "multimodal": (
        "multimodal",
        {
            "width": 6,
            "columns": {"hidden": [7], "dropout": 0.0},
            "text": {**QUIET, "encoder": TRANSFORMER, "dropout": 0.0},
            "image": {"stages": [4], "dropout": 0.0},
            "audio": {"channels": [6], "units": 4, "dropout": 0.0},
            "hidden": [9],
        },
    ),
}
EXPORTED = ("resnet in groups", "tabular", "multimodal")
"""What differs in a graph: widths, GroupNorm, ensembles, and in the last cells and attention."""


def model_of(kind: str) -> Architecture:
    family, settings = MODELS[kind]
    deaf = {} if family in ("forecast", "multimodal") else {"dropout": 0.0}
    return read_model({"family": family, **deaf, **settings})


def target_of(kind: str) -> Target:
    return FORECAST if kind.startswith("forecast") else NUMBERS if kind == "tabular" else THREE


def reads(kind: str) -> tuple[str, ...]:
    """Return the groups of a kind; dense networks could read images, too."""
    family = MODELS[kind][0]
    return ("numeric", "categorical") if family in ("densemlp", "mlp", "resmlp") else FAMILIES[family].reads


def content(kind: str) -> dict[str, object]:
    """Return what schema.json would hold."""
    groups = {name: GROUPS[name] for name in reads(kind) if name in GROUPS}
    return {"groups": groups, "target": target_of(kind).to_json()}


def build(kind: str) -> nn.Module:
    """Return a network whose norms are no identities."""
    torch.manual_seed(4)
    network = build_network(model_of(kind), content(kind)["groups"], target_of(kind))
    with torch.no_grad():
        for name, tensor in network.state_dict().items():
            if name.endswith("running_var"):
                tensor.uniform_(0.5, 2)
            elif tensor.ndim == 1 and tensor.is_floating_point():
                tensor.add_(torch.randn_like(tensor), alpha=0.3)
    if kind == "tabular":
        network.adapt(rows(kind).inputs)
    return network.eval()


def rows(kind: str) -> TensorData:
    random = torch.Generator().manual_seed(0)
    drawn = {
        "numeric": torch.randn(ROWS, 6, generator=random),
        "categorical": torch.randint(4, (ROWS, 2), generator=random),
        "text": torch.randint(1, WORDS, (ROWS, 8), generator=random),
        "image": torch.randn(ROWS, 1, 8, 6, generator=random),
        "audio": torch.randn(ROWS, FRAMES, 6, generator=random),
        "audio_frames": torch.randint(6, FRAMES + 1, (ROWS,), generator=random),
        "series": torch.randn(ROWS, PAST, 2, generator=random),
    }
    drawn["text"][: ROWS // 2, 5:] = 0
    if kind.startswith("forecast"):
        truth = torch.randn(ROWS, AHEAD, 2, generator=random)
    elif kind == "tabular":
        truth = torch.randn(ROWS, 2, generator=random)
    else:
        truth = torch.randint(3, (ROWS,), generator=random)
    return TensorData({name: drawn[name] for name in reads(kind)}, truth)


def some_units(groups: list[UnitGroup], share: float = 0.5) -> dict[str, Tensor]:
    """Return random units of every group, equally many of each block, and of every other group some more."""
    random = torch.Generator().manual_seed(2)
    chosen = {}
    for number, group in enumerate(groups):
        length, most = group.count // group.even, group.removable // group.even
        count = min(most, max(1, round((share + 0.2 * (number % 2)) * length)))
        blocks = [
            block * length + torch.randperm(length, generator=random)[:count].sort().values
            for block in range(group.even)
        ]
        chosen[group.name] = torch.cat(blocks)
    return chosen


def silenced(network: nn.Module, removed: dict[str, Tensor], groups: list[UnitGroup]) -> nn.Module:
    """Return the network in its full size in which nothing reads the units, norms over them included."""
    gone: dict[tuple[str, int], list[int]] = {}
    for group in groups:
        for part in group.parts:
            for unit in removed[group.name].tolist():
                first = part.start + unit * part.size
                gone.setdefault((part.tensor, part.dim), []).extend(range(first, first + part.size))
    quiet = deepcopy(network)
    for (name, dim), places in gone.items():
        path, _, attribute = name.rpartition(".")
        if dim:
            quiet.state_dict()[name].index_fill_(dim, torch.tensor(places), 0)
        elif attribute == "weight" and isinstance(norm := quiet.get_submodule(path), nn.LayerNorm | nn.GroupNorm):
            quiet.set_submodule(path, NormOverSome(norm, places))
    return quiet


class NormOverSome(nn.Module):
    """A norm whose mean and variance leave some units out."""

    def __init__(self, norm: nn.LayerNorm | nn.GroupNorm, gone: list[int]) -> None:
        super().__init__()
        self.kept = torch.tensor(sorted(set(range(len(norm.weight))) - set(gone)))
        self.norm = norm

    def forward(self, x: Tensor) -> Tensor:
        weight, bias = self.norm.weight[self.kept], self.norm.bias[self.kept]
        out = torch.zeros_like(x)
        if isinstance(self.norm, nn.GroupNorm):
            out[:, self.kept] = functional.group_norm(x[:, self.kept], self.norm.num_groups, weight, bias)
        else:
            out[..., self.kept] = functional.layer_norm(x[..., self.kept], (len(self.kept),), weight, bias)
        return out


@pytest.mark.parametrize("kind", MODELS)
@torch.no_grad()
def test_a_network_without_units_is_the_network_with_the_units_silenced(kind: str) -> None:
    network, inputs = build(kind), rows(kind).inputs
    groups = groups_of(network)
    removed = some_units(groups)
    small = without_units(network, removed)
    quiet = silenced(network, removed, groups)
    answers = small(inputs)
    torch.testing.assert_close(answers, quiet(inputs), rtol=1e-5, atol=1e-5)
    assert not torch.allclose(answers, network(inputs), atol=1e-3)


@pytest.mark.parametrize("kind", MODELS)
def test_every_tensor_loses_exactly_the_places_of_its_units(kind: str) -> None:
    network = build(kind)
    groups = groups_of(network)
    removed = some_units(groups)
    shapes = {name: list(tensor.shape) for name, tensor in network.state_dict().items()}
    for group in groups:
        for part in group.parts:
            shapes[part.tensor][part.dim] -= len(removed[group.name]) * part.size
    small = without_units(network, removed)
    assert {name: list(tensor.shape) for name, tensor in small.state_dict().items()} == shapes
    left = {group.name: group.count - len(removed[group.name]) for group in groups}
    assert {group.name: group.count for group in small.unit_groups()}.items() <= left.items()


@pytest.mark.parametrize("kind", MODELS)
def test_it_comes_back_from_disk(kind: str, tmp_path: Path) -> None:
    network = build(kind)
    small = without_units(network, some_units(groups_of(network)))
    path = tmp_path / "weights.safetensors"
    save_network(small, path)
    again = load_network(model_of(kind), content(kind), path)
    assert str(again) == str(small)
    assert torch.equal(again(rows(kind).inputs), small(rows(kind).inputs))


@pytest.mark.parametrize("kind", MODELS)
def test_it_learns(kind: str) -> None:
    network, data = build(kind), rows(kind)
    small = without_units(network, some_units(groups_of(network), share=0.3))
    optimizer = {"lr": 0.03, "weight_decay": 0.0}
    params = TrainParams(epochs=40, batch_size=16, optimizer=optimizer, early_stopping=None)
    objective = build_objective(small, data, params, target_of(kind))
    before = objective.loss(small(data.inputs), data.target).item()
    assert fit(small, data, data, params, seed=0, objective=objective).best_loss < 0.9 * before
    for name, parameter in small.named_parameters():
        assert torch.isfinite(parameter).all(), name


@pytest.mark.parametrize("kind", EXPORTED)
def test_its_graph_agrees(kind: str) -> None:
    network = build(kind)
    small = without_units(network, some_units(groups_of(network)))
    verify_network(export_network(small, rows(kind)), small, rows(kind), target_of(kind))


def test_units_can_be_removed_in_several_rounds() -> None:
    for kind in MODELS:
        network, inputs = build(kind), rows(kind).inputs
        whole = groups_of(network)
        first = some_units(whole, share=0.3)
        once = without_units(network, first)
        if [group.name for group in once.unit_groups()] != [group.name for group in whole]:
            continue  # a group has no choice left
        second = some_units(groups_of(once), share=0.3)
        twice = without_units(once, second)
        both = {}
        for group in whole:
            left = np.delete(np.arange(group.count), first[group.name])
            both[group.name] = torch.cat([first[group.name], torch.from_numpy(left[second[group.name].numpy()])])
        assert torch.equal(twice(inputs), without_units(network, both)(inputs)), kind


def test_the_network_itself_is_left_alone() -> None:
    network = build("resnet")
    before = deepcopy(network.state_dict())
    small = without_units(network, some_units(groups_of(network)))
    with torch.no_grad():
        for parameter in small.parameters():
            parameter.fill_(7)
    assert all(torch.equal(tensor, before[name]) for name, tensor in network.state_dict().items())


def test_parameters_follow_the_formula() -> None:
    """An mlp has a matrix and, with BatchNorm, two vectors a layer, and a head with a bias."""
    network = build("mlp")
    removed = {"blocks.0.0": torch.arange(4), "blocks.1.0": torch.tensor([1, 5])}
    features, embeddings = 6 + 4 + 4, 5 * 4 + 4 * 4
    expected = sum(before * after + 2 * after for before, after in pairwise([features, 8, 7])) + 7 * 3 + 3
    assert sum(parameter.numel() for parameter in without_units(network, removed).parameters()) == expected + embeddings


def test_what_layers_say_of_themselves_follows() -> None:
    network = build("resnet in groups")
    small = without_units(network, some_units(groups_of(network)))
    convolution, norm = small.blocks[0][0], small.blocks[0][1]
    assert (convolution.out_channels, norm.num_channels, norm.num_groups) == (4, 4, 4)
    speech = build("speech")
    smaller = without_units(
        speech, {"recurrent.forwards.0": torch.tensor([0, 3]), "blocks.0.convolution": torch.arange(3)}
    )
    assert (smaller.recurrent.forwards[0].hidden_size, smaller.recurrent.backwards[0].hidden_size) == (3, 5)
    assert smaller.recurrent.units == 8
    assert smaller.blocks[0].norm.normalized_shape == (5,)
    transformer = without_units(build("text, transformer"), {"encoder.blocks.0.attention": torch.tensor([2])})
    assert [block.attention.heads for block in transformer.encoder.blocks] == [3, 4]


@pytest.mark.parametrize(
    ("removed", "message"),
    [
        ({"blocks.7.0": [0]}, r"no group of units 'blocks\.7\.0'"),
        ({"blocks.0.0": [24]}, r"units 0 to 23, not \[24\]"),
        ({"blocks.0.0": [-1]}, r"units 0 to 23, not \[-1\]"),
        ({"blocks.0.0": range(24)}, "one at least"),
        ({"blocks.0.0": [0]}, r"\[2, 3, 3, 3, 3, 3, 3, 3\] units would stay of its 8 blocks: leave equally many"),
    ],
)
def test_what_cannot_be_removed_is_refused(removed: dict[str, list[int]], message: str) -> None:
    network = build("mlp in groups")
    with pytest.raises(ValueError, match=message):
        without_units(network, {name: torch.tensor(list(units)) for name, units in removed.items()})


@pytest.mark.parametrize(
    ("kind", "tensor"),
    [
        ("mlp", "blocks.0.0.weight"),
        ("resnet in groups", "blocks.1.block.1.weight"),
        ("text, transformer", "head.0.bias"),
    ],
)
def test_shapes_that_no_removal_explains_are_refused(kind: str, tensor: str, tmp_path: Path) -> None:
    network = build(kind)
    layer = network.get_submodule(tensor.rpartition(".")[0])
    cut = network.get_parameter(tensor)[:-1].detach()
    setattr(layer, tensor.rpartition(".")[2], nn.Parameter(cut))
    save_network(network, tmp_path / "weights.safetensors")
    with pytest.raises(StageError, match=f"cannot be loaded: size mismatch for {tensor}"):
        load_network(model_of(kind), content(kind), tmp_path / "weights.safetensors")


def test_blocks_that_lost_unequally_many_are_refused(tmp_path: Path) -> None:
    """24 units in 8 groups can become 16, not 20."""
    small = build_network(read_model({"family": "mlp", "hidden": [20]}), content("mlp")["groups"], THREE)
    save_network(small, tmp_path / "weights.safetensors")
    with pytest.raises(StageError, match="size mismatch for blocks"):
        load_network(model_of("mlp in groups"), content("mlp"), tmp_path / "weights.safetensors")


@pytest.mark.parametrize(
    "model", [{"family": "text", "encoder": {"name": "mean"}}, {"family": "forecast", "head": {"name": "dlinear"}}]
)
def test_a_network_without_hidden_units_says_so(model: dict[str, object]) -> None:
    target, group = (FORECAST, "series") if model["family"] == "forecast" else (THREE, "text")
    network = build_network(read_model(model), {group: GROUPS[group]}, target)
    with pytest.raises(ConfigError, match="has no hidden units to remove: leave prune out"):
        groups_of(network)
