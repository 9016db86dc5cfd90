"""Convolutional networks: shapes, parameter counts, learning, gradients, export."""

import pytest
import torch
from torch import nn
from torch.nn import functional

from ann.config.train import TrainParams
from ann.data.batches import TensorData
from ann.data.target import classification
from ann.export.network import export_network, verify_network
from ann.models.cnn import CNN, ResNet
from ann.models.convolution import ResidualConvolution
from ann.training.fit import fit

STYLES = [
    {},
    {"norm": "group", "activation": "silu"},
    {"norm": "none", "activation": "leaky_relu"},
    {"norm": "layer", "activation": "gelu"},
    {"hidden": [12], "dropout": 0.2},
]


def images(count: int = 64, channels: int = 1, height: int = 13, width: int = 10) -> TensorData:
    random = torch.Generator().manual_seed(0)
    inputs = {"image": torch.randn(count, channels, height, width, generator=random)}
    return TensorData(inputs, torch.randint(3, (count,), generator=random))


def cnn(channels: int = 1, height: int = 13, width: int = 10, **settings: object) -> CNN:
    torch.manual_seed(1)
    return CNN(
        channels=channels, height=height, width=width, outputs=3, **{"stages": [8, 12], "dropout": 0.0, **settings}
    )


def resnet(channels: int = 1, height: int = 13, width: int = 10, **settings: object) -> ResNet:
    torch.manual_seed(1)
    return ResNet(
        channels=channels, height=height, width=width, outputs=3, **{"stages": [8, 12], "dropout": 0.0, **settings}
    )


@pytest.mark.parametrize("ending", ["mean", "flatten"])
@pytest.mark.parametrize("pooling", ["max", "mean"])
@pytest.mark.parametrize(("channels", "height", "width"), [(1, 28, 28), (3, 32, 32), (2, 5, 9), (1, 1, 1)])
def test_any_size_of_image_gives_logits(channels: int, height: int, width: int, pooling: str, ending: str) -> None:
    network = cnn(channels, height, width, pooling=pooling, ending=ending, stages=[4, 6, 8])
    assert network.eval()(images(2, channels, height, width).inputs).shape == (2, 3)


@pytest.mark.parametrize(("height", "width"), [(28, 28), (32, 32), (5, 9), (1, 1)])
def test_a_resnet_takes_any_size(height: int, width: int) -> None:
    network = resnet(3, height, width, stages=[4, 6, 8]).eval()
    assert network(images(2, 3, height, width).inputs).shape == (2, 3)


def test_each_stage_halves_the_sides() -> None:
    network = cnn(height=28, width=28, stages=[4, 6, 8])
    x = images(2, 1, 28, 28).inputs["image"]
    shapes = []
    for block in network.blocks:
        x = block(x)
        shapes.append(tuple(x.shape[1:]))
    assert shapes == [(4, 14, 14), (6, 7, 7), (8, 4, 4)]


@pytest.mark.parametrize(("norm", "vectors"), [("batch", 2), ("group", 2), ("layer", 2), ("none", 1)])
def test_parameter_counts_follow_the_formula(norm: str, vectors: int) -> None:
    """A convolution has scale and shift of its norm, or a bias."""

    def convolution(before: int, after: int, side: int = 3) -> int:
        return before * after * side * side + vectors * after

    head = 12 * 3 + 3
    plain = convolution(1, 8) + convolution(8, 8) + convolution(8, 12) + convolution(12, 12) + head
    assert sum(p.numel() for p in cnn(norm=norm).parameters()) == plain
    pairs = 2 * convolution(8, 8) + convolution(8, 12) + convolution(12, 12) + convolution(8, 12, side=1)
    found = sum(p.numel() for p in resnet(norm=norm, depth=1).parameters())
    assert found == convolution(1, 8) + pairs + head


@pytest.mark.parametrize("style", STYLES, ids=str)
@pytest.mark.parametrize("build", [cnn, resnet])
def test_it_learns_64_random_labels_by_heart(build, style: dict[str, object]) -> None:
    network = build(height=8, width=8, **{**style, "stages": [16, 24], "dropout": 0.0})
    params = TrainParams(epochs=60, batch_size=64, optimizer={"lr": 0.01, "weight_decay": 0.0}, early_stopping=None)
    data = images(height=8, width=8)
    result = fit(network, data, data, params, seed=0)
    assert max(record.metrics["accuracy"] for record in result.history) == 1.0


@pytest.mark.parametrize("style", STYLES, ids=str)
@pytest.mark.parametrize("build", [cnn, resnet])
def test_the_exported_graph_agrees_for_any_number_of_rows(build, style: dict[str, object]) -> None:
    network = build(**style)
    with torch.no_grad():
        network.train()(images().inputs)
    graph = export_network(network, images(4))
    assert "BatchNormalization" not in {node.op_type for node in graph.graph.node}
    for count in (1, 2, 9):
        verify_network(graph, network, images(count), classification(3))


@pytest.mark.parametrize("build", [cnn, resnet])
def test_a_gradient_reaches_every_parameter(build) -> None:
    network = build(activation="tanh", norm="group")
    functional.cross_entropy(network(images().inputs), images().target).backward()
    for name, parameter in network.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.abs().sum() > 0, name


def test_a_residual_pair_of_one_width_adds_to_its_input() -> None:
    pair = ResidualConvolution(4, 4, stride=1, activation="linear", norm="none")
    nn.init.zeros_(pair.block[-1].weight)
    nn.init.zeros_(pair.block[-1].bias)
    x = torch.randn(2, 4, 6, 6)
    assert torch.equal(pair(x), x)
