"""Split rows into train, valid and test, so that no copy of a row stands on both sides."""

import numpy as np
import pandas as pd

from ann.config.stages import Split
from ann.errors import DataError
from ann.seeding import generator

NAMES = ("train", "valid", "test")


def stratified_split(table: pd.DataFrame, labels: np.ndarray, split: Split, seed: int) -> dict[str, np.ndarray]:
    """Return the sorted row numbers of each part.

    Rows that equal each other in every source column go to the same part, and each part holds its share of each class.
    `labels` is (N,) int64.

    Raises:
        DataError: a class has too few distinct rows to stand in every part.
    """
    groups = row_groups(table)
    parts: dict[str, list[np.ndarray]] = {name: [] for name in NAMES}
    for label in np.unique(labels):
        rows = np.flatnonzero(labels == label)
        for name, chosen in _cut(rows, groups[rows], split, seed, int(label)).items():
            if not len(chosen):
                raise DataError(
                    f"class number {label} has only {len(rows)} rows: too few to stand in train, valid and test"
                )
            parts[name].append(chosen)
    return {name: np.sort(np.concatenate(chosen)) for name, chosen in parts.items()}


def row_groups(table: pd.DataFrame) -> np.ndarray:
    """Return an (N,) number that equal rows share; missing values equal each other."""
    return table.groupby(list(table.columns), dropna=False, sort=False).ngroup().to_numpy()


def _cut(rows: np.ndarray, groups: np.ndarray, split: Split, seed: int, label: int) -> dict[str, np.ndarray]:
    """Deal whole groups of one class in random order: to test while they fit, then to valid, the rest to train."""
    ids, inverse, sizes = np.unique(groups, return_inverse=True, return_counts=True)
    room = {"test": max(1, round(split.test * len(rows))), "valid": max(1, round(split.valid * len(rows)))}
    part_of_group = np.zeros(len(ids), dtype=np.int64)  # train
    for group in generator(seed, f"split/{label}").permutation(len(ids)):
        name = next((name for name in room if sizes[group] <= room[name]), None)
        if name:
            room[name] -= int(sizes[group])
            part_of_group[group] = NAMES.index(name)
    return {name: rows[part_of_group[inverse] == number] for number, name in enumerate(NAMES)}
