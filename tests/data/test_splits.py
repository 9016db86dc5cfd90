"""Splits: every row once, no copy on both sides, each class with its share."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ann.config.stages import Split
from ann.data.splits import row_groups, stratified_split
from ann.errors import DataError

MOST_COPIES = 3
seeds = st.integers(0, 2**31 - 1)
shares = st.builds(Split, valid=st.floats(0.1, 0.3), test=st.floats(0.1, 0.3))


@st.composite
def tables(draw):
    """Draw two to four classes of 40 to 120 distinct rows, some of them several times, in any order."""
    random = np.random.default_rng(draw(seeds))
    frames = []
    for label in range(draw(st.integers(2, 4))):
        rows = draw(st.integers(40, 120))
        frame = pd.DataFrame({"x": random.permutation(rows).astype(float), "y": random.choice(["a", None], rows)})
        frame.loc[frame["x"] == 0, "x"] = np.nan
        frame["label"] = label
        frames.append(frame.loc[np.repeat(frame.index, random.integers(1, MOST_COPIES + 1, rows))])
    return pd.concat(frames).sample(frac=1, random_state=draw(st.integers(0, 99))).reset_index(drop=True)


def split(table: pd.DataFrame, shares: Split, seed: int) -> dict[str, np.ndarray]:
    return stratified_split(table, table["label"].to_numpy(), shares, seed)


@settings(max_examples=30, deadline=None)
@given(tables(), shares, seeds)
def test_the_parts_hold_every_row_once_in_order(table, shares, seed):
    parts = split(table, shares, seed)
    assert list(parts) == ["train", "valid", "test"]
    assert np.array_equal(np.sort(np.concatenate(list(parts.values()))), np.arange(len(table)))
    assert all((np.diff(rows) > 0).all() for rows in parts.values())


@settings(max_examples=30, deadline=None)
@given(tables(), shares, seeds)
def test_no_row_has_a_copy_in_another_part(table, shares, seed):
    seen = [set(map(str, table.iloc[rows].to_numpy().tolist())) for rows in split(table, shares, seed).values()]
    assert not seen[0] & seen[1]
    assert not seen[0] & seen[2]
    assert not seen[1] & seen[2]


@settings(max_examples=30, deadline=None)
@given(tables(), shares, seeds)
def test_every_part_holds_its_share_of_every_class(table, shares, seed):
    parts = split(table, shares, seed)
    wanted = {"train": 1 - shares.valid - shares.test, "valid": shares.valid, "test": shares.test}
    labels = table["label"].to_numpy()
    for name, rows in parts.items():
        for label in np.unique(labels):
            share = (labels[rows] == label).sum() / (labels == label).sum()
            assert abs(share - wanted[name]) <= 2 * MOST_COPIES / (labels == label).sum()


@settings(max_examples=15, deadline=None)
@given(tables(), seeds)
def test_a_seed_decides_the_parts(table, seed):
    first, second, other = (split(table, Split(), value) for value in (seed, seed, seed + 1))
    assert all(np.array_equal(first[name], second[name]) for name in first)
    assert any(not np.array_equal(first[name], other[name]) for name in first)


def test_a_row_with_many_copies_neither_bends_the_shares_nor_stops_the_split():
    table = pd.DataFrame({"x": np.r_[np.zeros(300), np.arange(1, 701)], "label": 0})
    for seed in range(6):
        parts = split(table, Split(valid=0.15, test=0.2), seed)
        assert [len(parts[name]) for name in ("train", "valid", "test")] == pytest.approx([650, 150, 200], abs=2)


def test_a_class_of_few_rows_is_refused_with_their_number():
    table = pd.DataFrame({"x": range(102), "label": [0] * 100 + [1] * 2})
    with pytest.raises(DataError, match="class number 1 has only 2 rows: too few to stand in train, valid and test"):
        split(table, Split(), 1)


def test_a_class_of_equal_rows_is_refused():
    table = pd.DataFrame({"x": [*range(100), *[0] * 50], "label": [0] * 100 + [1] * 50})
    with pytest.raises(DataError, match="class number 1 has only"):
        split(table, Split(), 1)


def test_equal_rows_share_a_group_and_missing_values_equal_each_other():
    table = pd.DataFrame({"x": [1.0, np.nan, 1.0, np.nan, 1.0], "y": ["a", None, "a", None, "b"]})
    groups = row_groups(table)
    assert groups[0] == groups[2]
    assert groups[1] == groups[3]
    assert len(set(groups)) == 3
