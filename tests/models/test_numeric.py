"""Embeddings of numbers: piecewise-linear places among quantiles, and waves."""

import numpy as np
import pytest
import torch

from ann.models.numeric import Periodic, PiecewiseLinear


def adapted(rows: np.ndarray, bins: int = 4) -> PiecewiseLinear:
    torch.manual_seed(0)
    layer = PiecewiseLinear(rows.shape[1], bins, dimension=bins).double()
    layer.adapt(torch.from_numpy(rows))
    with torch.no_grad():  # the matrix passes every bin on
        layer.weight.copy_(torch.eye(bins).expand(rows.shape[1], -1, -1))
    return layer


def test_edges_are_the_quantiles_of_numpy() -> None:
    rows = np.random.default_rng(0).normal(size=(101, 3))
    edges = adapted(rows, bins=5).edges.numpy()
    np.testing.assert_allclose(edges, np.quantile(rows, np.linspace(0, 1, 6), axis=0).T, atol=1e-12)


def test_a_value_fills_the_bins_below_it_and_its_own_in_part() -> None:
    layer = adapted(np.arange(9.0)[:, None])  # edges 0 2 4 6 8
    found = layer(torch.tensor([[0.0], [3.0], [4.0], [7.5], [8.0]], dtype=torch.float64))[:, 0]
    expected = [[0, 0, 0, 0], [1, 0.5, 0, 0], [1, 1, 0, 0], [1, 1, 1, 0.75], [1, 1, 1, 1]]
    torch.testing.assert_close(found, torch.tensor(expected, dtype=torch.float64))


def test_beyond_the_training_rows_the_outer_bins_go_on_for_their_width() -> None:
    layer = adapted(np.arange(9.0)[:, None])
    found = layer(torch.tensor([[-1.0], [-5.0], [9.0], [50.0]], dtype=torch.float64))[:, 0]
    expected = [[-0.5, 0, 0, 0], [-1, 0, 0, 0], [1, 1, 1, 1.5], [1, 1, 1, 2]]
    torch.testing.assert_close(found, torch.tensor(expected, dtype=torch.float64))


def test_equal_quantiles_make_empty_bins_and_no_number_that_is_none() -> None:
    rows = np.stack([np.zeros(50), np.repeat([0.0, 1.0], [45, 5])], axis=1)
    layer = adapted(rows)
    found = layer(torch.from_numpy(rows))
    assert torch.isfinite(found).all()
    assert torch.count_nonzero(found[:, 0]) == 0
    assert found[-1, 1].sum() > found[0, 1].sum()


def test_edges_that_a_frequent_value_leaves_over_are_quantiles_of_the_other_values() -> None:
    rare = np.array([3.0, 10, 11, 12, 13, 40, 41])
    rows = np.concatenate([np.zeros(993), rare])[:, None]
    edges = adapted(rows, bins=6).edges.numpy()[0]  # quantiles are 0 and 41 alone
    np.testing.assert_allclose(edges, np.unique([0, 41, *np.quantile(rare[:-1], np.linspace(0, 1, 5))]))


def test_a_frequent_value_moves_no_edge_onto_another() -> None:
    random = np.random.default_rng(1)
    rows = np.where(random.random((500, 3)) < [0.5, 0.9, 0.99], 0.25, random.normal(size=(500, 3)))
    for column, edges in zip(rows.T, adapted(rows, bins=8).edges.numpy(), strict=True):
        assert len(np.unique(edges)) == min(9, len(np.unique(column)))
        assert (edges[0], edges[-1]) == (column.min(), column.max())


def test_with_fewer_values_than_edges_each_value_is_an_edge() -> None:
    rows = np.repeat([1.0, 2.0, 5.0], [80, 15, 5])[:, None]
    np.testing.assert_array_equal(np.unique(adapted(rows, bins=8).edges.numpy()), [1, 2, 5])
    found = adapted(rows, bins=8)(torch.tensor([[1.0], [2.0], [3.5], [5.0]], dtype=torch.float64))[:, 0].sum(dim=1)
    torch.testing.assert_close(found, torch.tensor([0, 1, 1.5, 2], dtype=torch.float64))


def test_each_column_has_a_matrix_of_its_own() -> None:
    layer = PiecewiseLinear(2, bins=3, dimension=5)
    layer.adapt(torch.randn(40, 2))
    before = layer(torch.ones(1, 2))
    with torch.no_grad():
        layer.weight[1] += 1
    after = layer(torch.ones(1, 2))
    assert torch.equal(before[:, 0], after[:, 0])
    assert not torch.equal(before[:, 1], after[:, 1])


def test_waves_follow_their_formula() -> None:
    torch.manual_seed(0)
    layer = Periodic(columns=2, frequencies=3, dimension=4).double()
    x = torch.randn(5, 2, dtype=torch.float64)
    angle = 2 * np.pi * x.numpy()[:, :, None] * layer.frequency.detach().numpy()
    waves = np.concatenate([np.cos(angle), np.sin(angle)], axis=2)
    expected = waves @ layer.linear.weight.detach().numpy().T + layer.linear.bias.detach().numpy()
    np.testing.assert_allclose(layer(x).detach().numpy(), np.maximum(expected, 0), rtol=1e-10)


@pytest.mark.parametrize("sigma", [0.05, 2.0])
def test_frequencies_start_with_the_wanted_deviation(sigma: float) -> None:
    torch.manual_seed(0)
    assert Periodic(100, 100, 4, sigma).frequency.std().item() == pytest.approx(sigma, rel=0.03)
