"""Dropout over many draws, and in what it must not differ from torch's."""

import math
from copy import deepcopy

import pytest
import torch

from ann.models.dropout import Dropout, SpatialDropout


def drawn(p: float, count: int = 1_000_003, seed: int = 0) -> torch.Tensor:
    torch.manual_seed(seed)
    return Dropout(p).train()(torch.ones(count))


@pytest.mark.parametrize("p", [0.1, 0.3, 0.5, 0.9, 0.001])
def test_the_share_dropped_and_the_mean_are_right(p: float) -> None:
    values = drawn(p)
    deviation = math.sqrt(p * (1 - p) / len(values))
    assert (values == 0).double().mean().item() == pytest.approx(p, abs=5 * deviation + 1 / 65536)
    assert values.double().mean().item() == pytest.approx(1.0, abs=5 * deviation / (1 - p) + 1e-6)


def test_what_stays_is_enlarged_by_one_over_the_share_that_stays() -> None:
    kept = drawn(0.3).unique()
    torch.testing.assert_close(kept, torch.tensor([0.0, 1 / 0.7]), rtol=3e-5, atol=0)


def test_neighbours_which_share_a_random_word_are_independent() -> None:
    dropped = (drawn(0.5)[:1_000_000] == 0).view(-1, 4).double()
    correlation = torch.corrcoef(dropped.T) - torch.eye(4)
    assert correlation.abs().max() < 5 / math.sqrt(250_000)
    patterns = torch.bincount((dropped @ torch.tensor([1.0, 2, 4, 8], dtype=torch.float64)).long(), minlength=16)
    assert (patterns - 250_000 / 16).abs().max() < 5 * math.sqrt(250_000 / 16)


def test_the_gradient_passes_where_the_value_did() -> None:
    x = torch.randn(100, 7, requires_grad=True)
    out = Dropout(0.4).train()(x)
    out.sum().backward()
    torch.testing.assert_close(x.grad * x.detach(), out.detach())


def test_evaluation_and_a_share_of_nothing_change_nothing() -> None:
    x = torch.randn(5, 3)
    assert Dropout(0.9).eval()(x) is x
    assert Dropout(0.0).train()(x) is x


def test_the_seed_decides() -> None:
    assert torch.equal(drawn(0.5, 1000, seed=1), drawn(0.5, 1000, seed=1))
    assert not torch.equal(drawn(0.5, 1000, seed=1), drawn(0.5, 1000, seed=2))


def test_a_half_precision_input_stays_one() -> None:
    assert Dropout(0.5).train()(torch.ones(9, dtype=torch.bfloat16)).dtype is torch.bfloat16


def test_a_copy_of_a_used_layer_draws_masks_of_its_own() -> None:
    layer = Dropout(0.5)
    x = torch.ones(64, 64)
    layer(x)
    other = deepcopy(layer)
    torch.manual_seed(0)
    first, second = other(x), other(x)
    torch.manual_seed(0)
    assert torch.equal(layer(x), first)
    assert not torch.equal(first, second)


def test_two_uses_before_the_gradient_keep_their_own_masks() -> None:
    layer = Dropout(0.5)
    x = torch.ones(8, 8, requires_grad=True)
    one, other = layer(x), layer(x)
    (one + 10 * other).sum().backward()
    assert torch.equal(x.grad, one + 10 * other)


def test_sizes_may_change_from_batch_to_batch() -> None:
    layer = Dropout(0.5)
    shapes = [(4, 4), (3, 5), (1,), (4, 4), (2, 3, 7)]
    assert [layer(torch.ones(shape)).shape for shape in shapes] == shapes


def test_spatial_dropout_takes_whole_channels_of_a_sequence() -> None:
    torch.manual_seed(0)
    out = SpatialDropout(0.3).train()(torch.ones(200, 7, 500))
    dropped = out == 0
    assert torch.equal(dropped, dropped[:, :1].expand_as(dropped))
    share = dropped[:, 0].double()
    assert share.mean().item() == pytest.approx(0.3, abs=5 * math.sqrt(0.21 / share.numel()))
    assert share.mean(dim=1).std().item() == pytest.approx(math.sqrt(0.21 / 500), rel=0.25)
    torch.testing.assert_close(out.unique(), torch.tensor([0.0, 1 / 0.7]), rtol=3e-5, atol=0)
    assert SpatialDropout(0.3).eval()(out) is out
