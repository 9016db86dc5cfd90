"""Split rows into train, valid and test, so that no copy of a row stands on both sides.

N rows; a part is a number, the index of its name in NAMES.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from functools import cached_property
from hashlib import blake2b
from pathlib import PurePath
from typing import Any

import numpy as np
import pandas as pd

from ann.config.split import ColumnSplit, FilesSplit, GroupSplit, HashSplit, Shares, SplitParams, TimeSplit
from ann.data.target import Task
from ann.data.task import category_text
from ann.errors import ConfigError, DataError, did_you_mean
from ann.seeding import generator

NAMES = ("train", "valid", "test")
TRAIN, VALID, TEST = range(3)
CLASSES = ("binary", "multiclass")
IN_ORDER = ("time", "column", "files")
"""Splits that leave a series whole."""


def split_rows(
    table: pd.DataFrame,
    target: np.ndarray,
    *,
    task: Task,
    split: SplitParams,
    seed: int,
    files: np.ndarray | None = None,
    fingerprints: np.ndarray | None = None,
    time: str | None = None,
) -> dict[str, np.ndarray]:
    """Return the sorted row numbers of train, valid and test: each row stands in one of them.

    `target` is (N,) classes, (N, L) labels or (N, M) numbers; `files` (N,) names of the files that rows come from;
    `fingerprints` (N,) whole numbers that equal rows share (needed where cells are media), by default those of
    `row_groups`; `time` names the column with that role. Of one row and its copies all go to the same part, except
    where time, a column or files say the part. Every class stands in every part; a label of many may lack in one.

    Raises:
        ConfigError: the split does not suit the task, or names a column that is not there.
        DataError: a part would be empty or lack a class, or a cell says no time or part.
    """
    kind = split_kind(split, task)
    _require_suitable(kind, task)
    given = None if fingerprints is None else pd.factorize(fingerprints)[0]
    rows = Rows(table, target, task, seed, files, given, time)
    part = SPLITTERS[kind](rows, split)
    _require_rows(part, kind)
    if task in CLASSES:
        _require_classes(target, part, kind)
    return {name: np.flatnonzero(part == number) for number, name in enumerate(NAMES)}


def split_kind(split: SplitParams, task: Task) -> str:
    """Return the name of the split that rows of a task get; what `auto` stands for."""
    if split.name != "auto":
        return split.name
    return {"forecast": "time", "regression": "random"}.get(task, "stratified")


def row_groups(table: pd.DataFrame) -> np.ndarray:
    """Return an (N,) number that equal rows share; missing values equal each other."""
    return table.groupby(list(table.columns), dropna=False, sort=False).ngroup().to_numpy()


@dataclass(frozen=True, eq=False)
class Rows:
    """What a split looks at."""

    table: pd.DataFrame
    target: np.ndarray
    task: Task
    seed: int
    files: np.ndarray | None
    fingerprints: np.ndarray | None
    time: str | None

    @cached_property
    def copies(self) -> np.ndarray:
        """(N,) numbers from 0 in order of appearance, which equal rows share."""
        return row_groups(self.table) if self.fingerprints is None else self.fingerprints

    @property
    def strata(self) -> np.ndarray:
        """(N,) classes; zeros where rows have none."""
        return self.target if self.task in CLASSES else np.zeros(len(self.table), dtype=np.int64)

    def column(self, name: str) -> pd.Series:
        """Return a column that the split names."""
        if name not in self.table.columns:
            known = did_you_mean(name, [str(column) for column in self.table.columns])
            raise ConfigError(f"prepare.split names column {name!r}, which the data lacks{known}")
        return self.table[name]


def _random(rows: Rows, split: Shares) -> np.ndarray:
    return _deal_strata(np.zeros(len(rows.table), dtype=np.int64), rows.copies, _held_out(split), rows.seed)


def _stratified(rows: Rows, split: Shares) -> np.ndarray:
    if rows.task == "multilabel":
        return _deal_evenly(rows, rows.copies, _held_out(split))
    return _deal_strata(rows.strata, rows.copies, _held_out(split), rows.seed)


def _group(rows: Rows, split: GroupSplit) -> np.ndarray:
    column = rows.column(split.column)
    if column.isna().any():
        raise DataError(
            f"column {split.column!r} is missing in {column.isna().sum()} rows, first in row "
            f"{int(np.flatnonzero(column.isna())[0])}, so their group is unknown: fill it in, or remove the rows"
        )
    return _deal_evenly(rows, _joined(pd.factorize(column)[0], rows.fingerprints), _held_out(split))


def _hash(rows: Rows, split: HashSplit) -> np.ndarray:
    """Cut the hash's range by the shares. A seed has no say, else the same row could change its part."""
    texts = [_key_text(rows.column(name)) for name in split.columns]
    keys = pd.Index(["\x1f".join(cells) for cells in zip(*texts, strict=True)])
    things = pd.factorize(_joined(pd.factorize(keys)[0], rows.fingerprints))[0]
    first = np.unique(things, return_index=True)[1]
    digests = [blake2b(key.encode(), digest_size=8).digest() for key in keys[first]]
    place = np.array([int.from_bytes(digest, "big") / 2**64 for digest in digests])
    part = np.select([place < split.test, place < split.test + split.valid], [TEST, VALID], TRAIN)
    return part[things]


def _time(rows: Rows, split: Shares) -> np.ndarray:
    name = (split.column if isinstance(split, TimeSplit) else None) or rows.time
    moments = np.arange(len(rows.table)) if name is None else _moments(rows.column(name))
    return _cut_in_order(moments, split)


def _column(rows: Rows, split: ColumnSplit) -> np.ndarray:
    text = category_text(rows.column(split.column))
    names = (split.train, split.valid, split.test)
    part = pd.Index(names).get_indexer(pd.Index(text))
    if (part < 0).any():
        row = int(np.flatnonzero(part < 0)[0])
        raise DataError(
            f"column {split.column!r} must say the part of each row, {', '.join(map(repr, names))}; row {row} holds "
            f"{text[row]!r}: mend it, or give prepare.split the names that the column uses"
        )
    return _with_valid(rows, part, split.valid_share)


def _files(rows: Rows, split: FilesSplit) -> np.ndarray:
    if rows.files is None:
        raise ConfigError("prepare.split files: the data do not come from files that patterns could match")
    names, inverse = np.unique(rows.files.astype(str), return_inverse=True)
    part = np.full(len(names), TRAIN)
    for number, patterns in ((VALID, split.valid), (TEST, split.test)):
        for pattern in patterns:
            found = np.array([fnmatchcase(name, pattern) for name in names])
            if not found.any():
                raise ConfigError(
                    f"prepare.split.{NAMES[number]}: no file matches {pattern!r} (the first file is {str(names[0])!r})"
                )
            if (part[found] == VALID).any() and number == TEST:
                raise ConfigError(f"prepare.split: a pattern of valid and {pattern!r} of test match the same file")
            part[found] = number
    return _with_valid(rows, part[inverse], split.valid_share)


def _with_valid(rows: Rows, part: np.ndarray, share: float) -> np.ndarray:
    """Draw validation rows from the training rows where nothing names them: the newest of a series."""
    rest = np.flatnonzero(part == TRAIN)
    if (part == VALID).any() or not len(rest):
        return part
    drawn = part.copy()
    if rows.task == "forecast":
        drawn[rest[len(rest) - max(1, round(share * len(rest))) :]] = VALID
    elif rows.task == "multilabel":
        drawn[rest] = _deal_evenly(replace(rows, target=rows.target[rest]), rows.copies[rest], {VALID: share})
    else:
        drawn[rest] = _deal_strata(rows.strata[rest], rows.copies[rest], {VALID: share}, rows.seed)
    return drawn


def _held_out(split: Shares) -> dict[int, float]:
    return {TEST: split.test, VALID: split.valid}


def _deal_strata(labels: np.ndarray, copies: np.ndarray, held_out: dict[int, float], seed: int) -> np.ndarray:
    """Deal each class by itself; copies with different labels go with the first of them."""
    _, first, inverse = np.unique(copies, return_index=True, return_inverse=True)
    labels_of_copies = labels[first][inverse]
    part = np.full(len(labels), TRAIN)
    for label in np.unique(labels_of_copies):
        rows = np.flatnonzero(labels_of_copies == label)
        part[rows] = _deal(copies[rows], held_out, generator(seed, f"split/{label}"))
    return part


def _deal(copies: np.ndarray, held_out: dict[int, float], random: np.random.Generator) -> np.ndarray:
    """Deal copies as one, in random order, to the first held-out part that has room for all of them, else to train."""
    ids, inverse, sizes = np.unique(copies, return_inverse=True, return_counts=True)
    room = {part: max(1, round(share * len(copies))) for part, share in held_out.items()}
    part_of_copies = np.full(len(ids), TRAIN)
    order = random.permutation(len(ids))
    for index, size in zip(order.tolist(), sizes[order].tolist(), strict=True):
        for part in room:
            if size <= room[part]:
                room[part] -= size
                part_of_copies[index] = part
                break
    return part_of_copies[inverse]


def _deal_evenly(rows: Rows, groups: np.ndarray, held_out: dict[int, float]) -> np.ndarray:
    """Deal whole groups, those that hold most first, each to the part that lacks most of what it holds.

    This is iterative stratification (Sechidis et al. 2011) for groups of rows: a group is worth its shares of all
    rows and of all rows of each label, so that rare labels are dealt while there is choice.
    """
    groups = pd.factorize(groups)[0]
    sizes = np.bincount(groups)
    share = {TRAIN: 1 - sum(held_out.values()), **held_out}
    things, kinds, worth = _worth(rows, groups, sizes)
    starts = np.searchsorted(things, np.arange(len(sizes) + 1)).tolist()
    order = generator(rows.seed, "split/groups").permutation(len(sizes))
    order = order[np.argsort(-np.bincount(things, weights=worth)[order], kind="stable")]
    kind_list, worth_list, size_list = kinds.tolist(), worth.tolist(), sizes.tolist()
    need = {part: [1.0] * (int(kinds.max()) + 1) for part in share}
    room = {part: value * len(groups) for part, value in share.items()}
    part_of_group = np.full(len(sizes), TRAIN)
    for group in order.tolist():
        size, span = size_list[group], range(starts[group], starts[group + 1])
        fitting = [part for part in room if size <= room[part] + 0.5]
        if fitting:
            lack = [sum(worth_list[i] * need[part][kind_list[i]] for i in span) for part in fitting]
            chosen = fitting[lack.index(max(lack))]
        else:
            chosen = max(room, key=lambda part: (room[part] == share[part] * len(groups), room[part]))  # empty first
        part_of_group[group] = chosen
        room[chosen] -= size
        for i in span:
            need[chosen][kind_list[i]] -= worth_list[i] / share[chosen]
    return part_of_group[groups]


def _worth(rows: Rows, groups: np.ndarray, sizes: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return group, kind and worth of what each group holds, sorted by group; kind 0 is rows, the others are labels."""
    if rows.task == "multilabel":
        members, labels = np.nonzero(rows.target)
    else:
        members, labels = np.arange(len(groups)), rows.strata
    kinds = int(labels.max(initial=0)) + 2
    totals = np.concatenate([[len(groups)], np.bincount(labels, minlength=kinds - 1)])
    held, counts = np.unique(groups[members] * kinds + labels + 1, return_counts=True)
    keys = np.concatenate([np.arange(len(sizes)) * kinds, held])
    amounts = np.concatenate([sizes, counts])
    order = np.argsort(keys, kind="stable")
    things, kind = np.divmod(keys[order], kinds)
    return things, kind, amounts[order] / totals[kind]


def _joined(groups: np.ndarray, copies: np.ndarray | None) -> np.ndarray:
    """Return (N,) numbers that rows share which are tied by a group, by being copies, or by a chain of both."""
    while copies is not None:
        least = _least(_least(groups, copies), groups)
        if np.array_equal(least, groups):
            break
        groups = least
    return groups


def _least(values: np.ndarray, by: np.ndarray) -> np.ndarray:
    least: np.ndarray = pd.Series(values).groupby(by).transform("min").to_numpy()
    return least


def _cut_in_order(moments: np.ndarray, split: Shares) -> np.ndarray:
    """Cut between different moments, as near to the shares as they allow; the newest are for test."""
    distinct, inverse, counts = np.unique(moments, return_inverse=True, return_counts=True)
    if len(distinct) < len(NAMES):
        raise DataError(f"a split by time needs at least three different times, got {len(distinct)}: split otherwise")
    rows = len(moments)
    test = max(1, round(split.test * rows))
    valid = max(1, round(split.valid * rows))
    ends = np.cumsum(counts)
    last_valid = 1 + int(np.abs(ends[1:-1] - (rows - test)).argmin())
    last_train = int(np.abs(ends[:last_valid] - (rows - test - valid)).argmin())
    part: np.ndarray = np.select([inverse <= last_train, inverse <= last_valid], [TRAIN, VALID], TEST)
    return part


def _moments(column: pd.Series) -> np.ndarray:
    """Return (N,) numbers that rise with time."""
    times = column
    if not (pd.api.types.is_numeric_dtype(column.dtype) or pd.api.types.is_datetime64_any_dtype(column.dtype)):
        times = pd.to_datetime(column, format="ISO8601", utc=True, errors="coerce")
    unknown = np.flatnonzero(times.isna())
    if len(unknown):
        raise DataError(
            f"column {column.name!r} must hold a number or a date (as 2024-12-31 23:59:00) in every row to split by "
            f"time; {len(unknown)} rows do not, first row {unknown[0]}: mend or remove them"
        )
    return (times.astype("int64") if pd.api.types.is_datetime64_any_dtype(times.dtype) else times).to_numpy()


def _key_text(column: pd.Series) -> np.ndarray:
    """Return (N,) texts; those of media would be names of folders on this machine, or nothing that stays."""
    if any(isinstance(cell, PurePath | bytes | np.ndarray) for cell in column.dropna().iloc[:1]):
        raise ConfigError(f"prepare.split hash: column {column.name!r} holds media, name columns of text or numbers")
    return category_text(column)


def _require_suitable(kind: str, task: Task) -> None:
    if task == "forecast" and kind not in IN_ORDER:
        raise ConfigError(
            f"prepare.split {kind} would tear a series apart, and test on times before those trained on: "
            f"write name: time"
        )
    if task == "regression" and kind == "stratified":
        raise ConfigError("prepare.split stratified keeps shares of classes, but numbers are predicted: name: random")


def _require_rows(part: np.ndarray, kind: str) -> None:
    for number, name in enumerate(NAMES):
        if not (part == number).any():
            raise DataError(f"the split by {kind} of {len(part)} rows leaves none for {name}: {WAY_OUT[kind]}")


def _require_classes(labels: np.ndarray, part: np.ndarray, kind: str) -> None:
    for label in np.unique(labels):
        lacking = np.setdiff1d([TRAIN, VALID, TEST], part[labels == label])
        if len(lacking):
            rows = (labels == label).sum()
            what = f"has {rows} rows, but none in {NAMES[lacking[0]]}"
            if kind in ("stratified", "random"):
                what = f"has only {rows} rows: too few to stand in train, valid and test"
            raise DataError(f"class number {label} {what}; {WAY_OUT[kind]}, or join or leave out the class")


SPLITTERS: dict[str, Callable[[Rows, Any], np.ndarray]] = {
    "random": _random,
    "stratified": _stratified,
    "group": _group,
    "time": _time,
    "hash": _hash,
    "column": _column,
    "files": _files,
}

WAY_OUT = {
    "random": "add rows (equal rows stay together), or name: stratified",
    "stratified": "add rows (equal rows stay together)",
    "group": "add groups (a group stays together), or split by another column",
    "time": "change the shares, or split otherwise",
    "hash": "name columns with more different values, or change the shares",
    "column": "mend the column, or split otherwise",
    "files": "change the patterns, or split otherwise",
}
