"""Networks over several kinds of columns: each kind counts, absent ones cost nothing, learning, export."""

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional

from ann.config.networks import MultimodalParams
from ann.data.batches import TensorData
from ann.errors import ConfigError
from ann.export.network import export_network, run_network
from ann.models.cnn import CNN
from ann.models.mlp import MLP
from ann.models.multimodal import Multimodal
from ann.models.speech import Speech
from ann.models.text import Text

GROUPS = {
    "numeric": {"width": 3},
    "categorical": {"sizes": [4, 5]},
    "text": {"words": 20, "length": 9},
    "image": {"channels": 1, "height": 8, "width": 8},
    "audio": {"mels": 4, "frames": 12},
}
SETTINGS = {
    "width": 16,
    "hidden": (24,),
    "dropout": 0.0,
    "columns": {"hidden": (12,), "dropout": 0.0},
    "text": {"encoder": {"name": "cnn", "units": 6}, "embedding": 8, "dropout": 0.0, "spatial_dropout": 0.0},
    "image": {"stages": (4, 6), "dropout": 0.0},
    "audio": {"channels": (6,), "units": 4, "dropout": 0.0},
}
CHOICES = [("numeric", "text"), ("categorical", "image"), ("numeric", "categorical", "audio"), tuple(GROUPS)]


def build(groups: tuple[str, ...] = tuple(GROUPS), **settings: object) -> Multimodal:
    model = MultimodalParams(family="multimodal", **{**SETTINGS, **settings})
    torch.manual_seed(1)
    described = {name: GROUPS[name] for name in groups}
    return Multimodal(groups=described, outputs=3, **model.model_dump(exclude={"family"}))


def rows(count: int, groups: tuple[str, ...] = tuple(GROUPS), seed: int = 0) -> dict[str, Tensor]:
    random = torch.Generator().manual_seed(seed)
    words = torch.randint(0, 10, (count,), generator=random)
    frames = torch.randint(0, 13, (count,), generator=random)
    ids = torch.randint(1, 20, (count, 9), generator=random)
    sound = torch.randn(count, 12, 4, generator=random)
    inputs = {
        "numeric": torch.randn(count, 3, generator=random),
        "categorical": torch.randint(4, (count, 2), generator=random),
        "text": ids * (torch.arange(9) < words.unsqueeze(1)),
        "image": torch.randn(count, 1, 8, 8, generator=random),
        "audio": sound * (torch.arange(12) < frames.unsqueeze(1)).unsqueeze(2),
        "audio_frames": frames,
    }
    return {name: inputs[name] for name in inputs if name.removesuffix("_frames") in groups}


@pytest.mark.parametrize("group", GROUPS)
def test_every_kind_of_column_has_its_say(group: str) -> None:
    network, inputs = build().eval(), rows(6)
    inputs["audio_frames"] = torch.full((6,), 12)
    changed = {**inputs, group: inputs[group].flip(0)}
    assert not torch.allclose(network(changed), network(inputs), atol=1e-4)


def test_the_parts_are_the_families_themselves() -> None:
    network = build()
    assert {name: type(part) for name, part in network.encoders.items()} == {
        "columns": MLP,
        "text": Text,
        "image": CNN,
        "audio": Speech,
    }
    own = network.eval().encoders["image"]
    torch.manual_seed(7)
    alone = CNN(**GROUPS["image"], outputs=16, **MultimodalParams(family="multimodal", **SETTINGS).image.model_dump())
    alone.load_state_dict(own.state_dict())
    torch.testing.assert_close(alone.eval()(rows(5)), own(rows(5)))


@pytest.mark.parametrize("groups", CHOICES, ids=str)
def test_parameter_counts_are_those_of_the_parts_and_the_head(groups: tuple[str, ...]) -> None:
    network = build(groups)
    parts = {"numeric": "columns", "categorical": "columns"}
    kinds = {parts.get(name, name) for name in groups}
    assert set(network.encoders) == kinds
    inner = sum(p.numel() for part in network.encoders.values() for p in part.parameters())
    units = 16 * len(kinds)
    head = 2 * units + units * 24 + 24 + 2 * 24 + 24 * 3 + 3
    assert sum(p.numel() for p in network.parameters()) == inner + head


@pytest.mark.parametrize("groups", CHOICES, ids=str)
def test_it_learns_64_random_labels_by_heart(groups: tuple[str, ...]) -> None:
    network, inputs = build(groups).train(), rows(64, groups)
    labels = torch.randint(3, (64,), generator=torch.Generator().manual_seed(5))
    optimizer = torch.optim.Adam(network.parameters(), lr=0.01)
    for _ in range(120):
        optimizer.zero_grad()
        functional.cross_entropy(network(inputs), labels).backward()
        optimizer.step()
    assert torch.equal(network(inputs).argmax(dim=1), labels)


def test_padding_changes_no_answer_and_empty_rows_give_numbers() -> None:
    network, inputs = build().eval(), rows(8)
    inputs["text"][0], inputs["audio_frames"][0] = 0, 0
    longer = {
        **inputs,
        "text": functional.pad(inputs["text"], (0, 5)),
        "audio": functional.pad(inputs["audio"], (0, 0, 0, 7)),
    }
    assert torch.isfinite(network(inputs)).all()
    torch.testing.assert_close(network(longer), network(inputs), rtol=0, atol=1e-6)


def test_a_gradient_reaches_every_parameter() -> None:
    network, inputs = build(activation="tanh").train(), rows(60)
    network(inputs).square().sum().backward()
    for name, parameter in network.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.abs().sum() > 0, name


@pytest.mark.parametrize("groups", [("numeric", "text"), ("categorical", "image", "audio")], ids=str)
def test_the_exported_graph_agrees_for_any_number_of_rows(groups: tuple[str, ...]) -> None:
    network = build(groups)
    with torch.no_grad():
        network.train()(rows(30, groups))  # BatchNorm has seen rows
    graph = export_network(network.eval(), TensorData(rows(4, groups), torch.zeros(4)))
    for count in (1, 2, 9):
        inputs = rows(count, groups, seed=count)
        found = run_network(graph, {name: tensor.numpy() for name, tensor in inputs.items()})
        np.testing.assert_allclose(found, network(inputs).detach().numpy(), rtol=0, atol=1e-5)


def test_columns_without_an_encoder_are_refused() -> None:
    settings = MultimodalParams(family="multimodal").model_dump(exclude={"family"})
    with pytest.raises(ConfigError, match="multimodal has no encoder for series: give it columns of numbers"):
        Multimodal(groups={"series": {"length": 9, "channels": 1}}, outputs=2, **settings)
