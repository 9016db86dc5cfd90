"""Rows on the device: an epoch is a permutation."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from ann.artifacts import GROUPS
from ann.data.batches import TensorData, batch_sizes, chunks


def rows(count: int) -> TensorData:
    """Make rows whose number, category and target all say which row they are."""
    number = np.arange(count)
    arrays = {
        "numeric": np.stack([number, -number], axis=1).astype(np.float32),
        "categorical": number[:, None],
        "target": number,
        "rows": number + 1000,
    }
    return TensorData.on_device(arrays)


def epoch(data: TensorData, size: int, seed: int = 0) -> list[TensorData]:
    order = torch.randperm(len(data), generator=torch.Generator().manual_seed(seed))
    return [data.rows(index) for index in chunks(order, size)]


def test_a_network_reads_the_groups_and_not_the_row_numbers():
    data = rows(4)
    assert sorted(data.inputs) == ["categorical", "numeric"]
    assert (data.inputs["numeric"].dtype, data.target.dtype) == (torch.float32, torch.int64)
    assert len(data) == 4


def test_a_group_that_is_absent_stays_absent():
    data = TensorData.on_device({"categorical": np.zeros((2, 1), np.int64), "target": np.zeros(2, np.int64)})
    assert list(data.inputs) == ["categorical"]


def test_every_group_that_a_network_reads_comes_along_and_nothing_else():
    arrays = {name: np.zeros((3, 2), np.float32) for name in reversed(GROUPS)}
    more = {"target": np.ones((3, 2), np.float32), "rows": np.arange(3), "slice_0": np.array(["a", "b", "c"])}
    data = TensorData.on_device({**arrays, **more})
    assert list(data.inputs) == list(GROUPS)
    assert data.target.shape == (3, 2)


def test_rows_of_overlapping_windows_are_gathered_from_a_view():
    series = np.arange(20, dtype=np.float32).reshape(10, 2)
    windows = np.lib.stride_tricks.sliding_window_view(series, 4, axis=0, writeable=True).transpose(0, 2, 1)
    data = TensorData.on_device({"series": windows, "target": np.arange(7)})
    assert data.inputs["series"].data_ptr() == series.ctypes.data
    np.testing.assert_array_equal(data.rows(torch.tensor([6, 1])).inputs["series"], windows[[6, 1]])


def test_gathered_rows_keep_their_columns_together():
    part = rows(10).rows(torch.tensor([7, 2]))
    assert part.inputs["numeric"].tolist() == [[7, -7], [2, -2]]
    assert part.inputs["categorical"].tolist() == [[7], [2]]
    assert part.target.tolist() == [7, 2]


@given(st.integers(2, 200), st.integers(2, 64), st.integers(0, 1000))
def test_an_epoch_is_a_permutation_of_whole_rows(count, size, seed):
    batches = epoch(rows(count), size, seed)
    order = torch.cat([batch.target for batch in batches])
    assert torch.equal(order.sort().values, torch.arange(count))
    for name in ("numeric", "categorical"):
        assert torch.equal(torch.cat([batch.inputs[name][:, 0] for batch in batches]).long(), order)


@given(st.integers(2, 500), st.integers(2, 64))
def test_an_epoch_has_the_stated_steps_and_no_batch_of_one_row(count, size):
    lengths = [len(batch) for batch in epoch(rows(count), size)]
    assert lengths == batch_sizes(count, size)
    assert all(length == size for length in lengths[:-1])
    assert 2 <= lengths[-1] <= size + 1


@pytest.mark.parametrize(
    ("count", "size", "lengths"),
    [(8, 4, [4, 4]), (9, 4, [4, 5]), (10, 4, [4, 4, 2]), (3, 8, [3]), (5, 4, [5]), (1, 4, [1])],
)
def test_a_last_row_alone_joins_the_batch_before(count, size, lengths):
    assert [len(batch) for batch in epoch(rows(count), size)] == lengths


@given(st.integers(1, 100), st.integers(1, 40))
def test_batches_in_order_are_the_rows_in_order(count, size):
    batches = list(rows(count).batches(size))
    assert torch.equal(torch.cat([batch.target for batch in batches]), torch.arange(count))
    assert torch.equal(torch.cat([batch.inputs["numeric"] for batch in batches])[:, 1], -torch.arange(count).float())
    assert max(len(batch) for batch in batches) <= size


@given(st.integers(1, 60), st.integers(1, 40))
def test_parts_are_the_rows_in_order_and_hold_at_least_two(count, parts):
    found = list(rows(count).parts(parts))
    assert torch.equal(torch.cat([part.target for part in found]), torch.arange(count))
    assert len(found) == max(1, min(parts, count // 2))
    lengths = [len(part) for part in found]
    assert max(lengths) - min(lengths) <= 1
