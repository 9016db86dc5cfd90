"""Parameters and multiply-adds of a row, compared with formulas by hand."""

import pytest
import torch
from torch import Tensor, nn

from ann.compression.costs import flops, parameters
from ann.models.cnn import CNN
from ann.models.forecast import Forecast
from ann.models.mlp import MLP
from ann.models.tabular import Tabular
from ann.models.text import Text

GATES = {"gru": 3, "lstm": 4}


def numbers(rows: int = 5, columns: int = 3) -> dict[str, Tensor]:
    return {"numeric": torch.randn(rows, columns)}


def test_parameters_are_counted_once_with_frozen_ones_and_without_buffers() -> None:
    network = MLP(width=3, sizes=[], outputs=2, hidden=[5, 4], norm="batch")
    assert parameters(network) == 3 * 5 + 2 * 5 + 5 * 4 + 2 * 4 + 4 * 2 + 2
    network.head.requires_grad_(False)
    assert parameters(network) == 63
    tied = nn.Sequential(nn.Linear(4, 4, bias=False), nn.Linear(4, 4, bias=False))
    tied[1].weight = tied[0].weight
    assert parameters(tied) == 16


@pytest.mark.parametrize("rows", [1, 5])
def test_an_mlp_multiplies_by_each_weight_once(rows: int) -> None:
    network = MLP(width=3, sizes=[], outputs=2, hidden=[5, 4], dropout=0.5)
    assert flops(network, numbers(rows)) == 3 * 5 + 5 * 4 + 4 * 2


def test_a_kernel_is_used_at_every_place() -> None:
    network = CNN(channels=2, height=8, width=6, outputs=3, stages=[4, 5], convolutions=1, hidden=[7])
    expected = 9 * 2 * 4 * 8 * 6 + 9 * 4 * 5 * 4 * 3 + 5 * 7 + 7 * 3
    assert flops(network, {"image": torch.randn(3, 2, 8, 6)}) == expected


def test_each_member_of_an_ensemble_goes_through_the_layers() -> None:
    network = Tabular(
        width=3, sizes=[], outputs=2, hidden=[5], members=4, numeric="piecewise", bins=6, dimension=2,
        embedding=4, dropout=0.0,
    )  # fmt: skip
    assert flops(network, numbers()) == 3 * 6 * 2 + 4 * (6 * 5 + 5 * 2)


@pytest.mark.parametrize("cell", GATES)
def test_a_recurrent_layer_multiplies_at_every_time(cell: str) -> None:
    encoder = {"name": cell, "units": 6, "layers": 2, "bidirectional": True, "pooling": "last", "dropout": 0.0}
    network = Text(words=9, length=7, outputs=2, embedding=5, encoder=encoder)
    layers = 2 * GATES[cell] * 6 * (5 + 6) + 2 * GATES[cell] * 6 * (12 + 6)
    assert flops(network, {"text": torch.ones(3, 7, dtype=torch.long)}) == 7 * layers + 12 * 2


def test_attention_compares_all_times_with_all() -> None:
    head = {"name": "transformer", "patch": 2, "stride": 2, "width": 6, "heads": 2, "layers": 1, "inner": 10}
    network = Forecast(length=8, channels=1, horizon=3, targets=[0], outputs=3, head=head)
    times = 5  # the last value is repeated for one patch more
    matrices = times * (2 * 6 + 3 * 6 * 6 + 6 * 6 + 2 * 6 * 10)
    assert flops(network, {"series": torch.randn(4, 8, 1)}) == matrices + 2 * times * times * 6 + times * 6 * 3


def test_counting_changes_nothing() -> None:
    network = MLP(width=3, sizes=[], outputs=2, hidden=[5], norm="batch").train()
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    flops(network, numbers())
    assert network.training
    assert all(torch.equal(tensor, before[name]) for name, tensor in network.state_dict().items())
