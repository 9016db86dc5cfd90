"""The multilayer perceptron: its size, its first weights, and that every one of them learns."""

import math

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from ann.config.layers import MLPParams
from ann.data.target import classification
from ann.models import build_network
from ann.models.batchnorm import BatchNorm1d
from ann.models.blocks import embedding_width
from ann.models.dropout import Dropout
from ann.models.mlp import MLP

SIZES = [4, 30]
WIDTHS = [4, 11]
"""ceil(1.6 * 4^0.56) = ceil(3.48) and ceil(1.6 * 30^0.56) = ceil(10.75)."""


def build(**changes: object) -> MLP:
    torch.manual_seed(3)
    settings: dict = {"width": 5, "sizes": SIZES, "outputs": 3, "hidden": [8, 6], "dropout": 0.0}
    return MLP(**{**settings, **changes})


def rows(count: int, width: int = 5, sizes: tuple[int, ...] = tuple(SIZES)) -> dict[str, Tensor]:
    random = torch.Generator().manual_seed(7)
    inputs = {}
    if width:
        inputs["numeric"] = torch.randn(count, width, generator=random)
    if sizes:  # the first rows show every id once
        inputs["categorical"] = torch.stack([torch.arange(count) % size for size in sizes], dim=1)
    return inputs


@pytest.mark.parametrize(("norm", "vectors"), [("none", 1), ("layer", 3), ("batch", 2)])
def test_parameter_count_equals_the_formula(norm: str, vectors: int) -> None:
    """A hidden layer has a bias, and scale and shift of its norm; before BatchNorm it has no bias."""
    embeddings = sum(size * width for size, width in zip(SIZES, WIDTHS, strict=True))
    matrices = (5 + sum(WIDTHS)) * 8 + 8 * 6 + 6 * 3
    expected = embeddings + matrices + vectors * (8 + 6) + 3
    assert sum(parameter.numel() for parameter in build(norm=norm).parameters()) == expected


@pytest.mark.parametrize("norm", ["none", "layer", "batch"])
def test_a_gradient_reaches_every_single_weight(norm: str) -> None:
    network = build(norm=norm, activation="tanh")
    target = torch.arange(64) % 3
    functional.cross_entropy(network(rows(64)), target).backward()
    for name, parameter in network.named_parameters():
        assert parameter.grad is not None, name
        assert torch.count_nonzero(parameter.grad) == parameter.numel(), name


def test_a_gradient_reaches_every_tensor_through_batch_norm_and_dropout() -> None:
    network = build(norm="batch", dropout=0.2)
    functional.cross_entropy(network(rows(64)), torch.arange(64) % 3).backward()
    for name, parameter in network.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.abs().sum() > 0, name


@pytest.mark.parametrize("count", [1, 7])
@pytest.mark.parametrize("activation", ["relu", "gelu", "silu", "tanh"])
def test_logits_have_one_row_a_row_and_one_column_a_class(count: int, activation: str) -> None:
    logits = build(activation=activation).eval()(rows(count))
    assert logits.shape == (count, 3)
    assert logits.dtype == torch.float32


def test_numbers_alone_are_enough() -> None:
    network = build(sizes=[])
    assert network(rows(4, sizes=())).shape == (4, 3)
    assert network.blocks[0][0].in_features == 5


def test_categories_alone_are_enough() -> None:
    network = build(width=0)
    assert network(rows(4, width=0)).shape == (4, 3)
    assert network.blocks[0][0].in_features == sum(WIDTHS)


def test_each_category_column_has_its_own_embedding() -> None:
    network = build().eval()
    inputs = rows(2)
    inputs["categorical"] = torch.tensor([[1, 2], [1, 2]])
    before = network(inputs)
    with torch.no_grad():
        network.embeddings[1].weight[2] += 1  # id 2 of the second column; the first column shows id 1 only
    assert not torch.allclose(network(inputs), before)
    inputs["categorical"] = torch.tensor([[2, 1], [2, 1]])
    unaffected = network(inputs)
    with torch.no_grad():
        network.embeddings[1].weight[2] += 1
    assert torch.equal(network(inputs), unaffected)


@pytest.mark.parametrize("activation", ["relu", "gelu", "silu"])
def test_rectified_layers_start_with_he_variance(activation: str) -> None:
    weight = build(width=800, sizes=[], hidden=[1200], activation=activation).blocks[0][0].weight
    assert weight.var().item() == pytest.approx(2 / 800, rel=0.01)
    assert weight.mean().item() == pytest.approx(0, abs=1e-3)


def test_tanh_layers_start_with_glorot_variance() -> None:
    weight = build(width=800, sizes=[], hidden=[1200], activation="tanh").blocks[0][0].weight
    assert weight.var().item() == pytest.approx(2 / (800 + 1200), rel=0.01)


def test_the_head_starts_with_glorot_variance() -> None:
    head = build(width=2, sizes=[], hidden=[1000], outputs=500).head
    assert head.weight.var().item() == pytest.approx(2 / 1500, rel=0.01)


def test_all_biases_start_at_zero() -> None:
    biases = [module.bias for module in build(norm="none").modules() if isinstance(module, nn.Linear)]
    assert len(biases) == 3
    assert all(torch.count_nonzero(bias) == 0 for bias in biases)


@pytest.mark.parametrize(("size", "width"), [(2, 3), (3, 3), (4, 4), (30, 11), (100, 16), (10_000, 16)])
def test_embedding_width_follows_the_rule_up_to_its_bound(size: int, width: int) -> None:
    assert embedding_width(size, 16) == width
    assert embedding_width(size, 1) == 1


def test_embedding_width_without_a_bound_in_reach() -> None:
    assert embedding_width(100, 1024) == math.ceil(1.6 * math.exp(0.56 * math.log(100))) == 22


def test_dropout_acts_in_training_only() -> None:
    network = build(dropout=0.5)
    inputs = rows(16)
    assert not torch.equal(network.train()(inputs), network(inputs))
    assert torch.equal(network.eval()(inputs), network(inputs))


def test_a_row_is_answered_alike_alone_and_in_a_batch() -> None:
    network = build(norm="batch").eval()
    inputs = rows(9)
    alone = network({name: tensor[4:5] for name, tensor in inputs.items()})
    torch.testing.assert_close(alone[0], network(inputs)[4])


def test_build_network_hands_every_parameter_on() -> None:
    model = MLPParams(hidden=(7, 5), activation="silu", norm="batch", dropout=0.25, embedding=2)
    groups = {"numeric": {"width": 3}, "categorical": {"sizes": [50]}}
    network = build_network(model, groups, classification(4))
    kinds = [[type(layer) for layer in block] for block in network.blocks]
    assert kinds == [[nn.Linear, BatchNorm1d, nn.SiLU, Dropout]] * 2
    assert [block[0].out_features for block in network.blocks] == [7, 5]
    assert network.blocks[0][3].p == 0.25
    assert network.embeddings[0].embedding_dim == 2
    assert network.head.out_features == 4
