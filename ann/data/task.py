"""Which task the target's values make, and those values as arrays."""

import numpy as np
import pandas as pd

from ann.config.data import DataParams
from ann.data.target import Target, Task
from ann.errors import DataError

MAX_CLASSES = 1000
FEW_NUMBERS = 20
"""At most this many different whole numbers are taken for classes; more are numbers."""


def infer_target(table: pd.DataFrame, data: DataParams) -> Target:
    """Return what is predicted and why; scales are fitted later, on training rows.

    Raises:
        DataError: a target is missing in a row, has one class or too many, or is not what `data.task` says.
    """
    for name in data.targets:
        _require_known(table[name], data)
    task, reason = _task(table, data)
    if data.quantiles and task not in ("regression", "forecast"):
        raise DataError(f"data.quantiles are of numbers, but {_named(data)} makes a {task} task: {reason}")
    if task in ("regression", "forecast"):
        for name in data.targets:
            _require_numbers(table[name], name)
        horizon = data.windows.horizon if data.windows else 0
        return Target(task, data.targets, reason, quantiles=data.quantiles, horizon=horizon)
    if task == "multilabel":
        for name in data.targets:
            _require_label(table[name], name)
        return Target(task, data.targets, reason)
    classes = _classes(table[data.targets[0]], data)
    if task == "binary" and len(classes) != 2:
        raise DataError(f"data.task is binary, but target {data.targets[0]!r} has {len(classes)} classes: leave it out")
    return Target("binary" if len(classes) == 2 else "multiclass", data.targets, reason, classes=classes)


def target_values(table: pd.DataFrame, target: Target) -> np.ndarray:
    """Return (N,) int64 classes, (N, L) float32 labels, or (N, M) float64 numbers of every row.

    Raises:
        DataError: a class is unknown.
    """
    if target.has_classes:
        return class_ids(table[target.names[0]], target.classes)
    dtype = np.float32 if target.task == "multilabel" else np.float64
    return np.stack([table[name].to_numpy(dtype=dtype) for name in target.names], axis=1)


def class_ids(column: pd.Series, classes: tuple[str, ...]) -> np.ndarray:
    """Return the (N,) int64 class index of each label; every label must be one of `classes`.

    Raises:
        DataError: a label is missing or unknown.
    """
    text = category_text(column)
    ids = pd.Index(classes).get_indexer(pd.Index(text))
    if (ids < 0).any():
        row = int(np.flatnonzero(ids < 0)[0])
        raise DataError(f"target {column.name!r} must be one of {', '.join(classes)}; row {row} holds {text[row]!r}")
    return ids.astype(np.int64)


def category_text(column: pd.Series) -> np.ndarray:
    """Return values as text, "" where missing; whole numbers are written without a fraction, as in a .csv file."""
    if pd.api.types.is_float_dtype(column.dtype):
        whole = column.dropna()
        if ((whole == whole.round()) & (whole.abs() < 2**63)).all():
            column = column.astype("Int64")
    values = column.to_numpy(dtype=object, na_value="")
    values = np.where(column.isna(), "", values)  # pandas leaves NaT
    return np.array([value if isinstance(value, str) else str(value) for value in values], dtype=object)


def _task(table: pd.DataFrame, data: DataParams) -> tuple[Task, str]:
    if data.windows:
        return "forecast", "data.windows cuts a series into examples"
    if data.task != "auto":
        if len(data.targets) > 1 and data.task in ("binary", "multiclass"):
            raise DataError(f"data.task {data.task} has one target, not {len(data.targets)}: name one, or another task")
        return data.task, "data.task names it"
    if len(data.targets) > 1:
        return _task_of_many(table, data)
    column = table[data.targets[0]]
    if data.quantiles:
        return "regression", "data.quantiles are of numbers"
    if not pd.api.types.is_numeric_dtype(column.dtype) or pd.api.types.is_bool_dtype(column.dtype):
        numbers = pd.to_numeric(column, errors="coerce") if column.dtype != bool else column
        if numbers.isna().any() or pd.api.types.is_bool_dtype(numbers.dtype):
            return "multiclass", "the target's values are names"
        column = numbers
    if (column != column.round()).any():
        return "regression", "the target holds fractions"
    distinct = column.nunique()
    if distinct > FEW_NUMBERS:
        return "regression", (
            f"the target has {distinct} different whole numbers, more than {FEW_NUMBERS}; "
            f"write data.task: multiclass where they are classes"
        )
    return "multiclass", f"the target has {distinct} different whole numbers, not more than {FEW_NUMBERS}"


def _task_of_many(table: pd.DataFrame, data: DataParams) -> tuple[Task, str]:
    if all(set(pd.unique(table[name])) <= {0, 1} for name in data.targets):
        return "multilabel", f"each of {len(data.targets)} targets is 0 or 1"
    return "regression", f"{len(data.targets)} targets are numbers"


def _named(data: DataParams) -> str:
    return f"the target {', '.join(data.targets)}"


def _require_known(column: pd.Series, data: DataParams) -> None:
    missing = int(column.isna().sum())
    if missing:
        first = int(np.flatnonzero(column.isna())[0])
        way = "fill them in" if data.windows else "remove them or fill them in"
        raise DataError(f"target {column.name!r} is missing in {missing} rows, first in row {first}: {way}")


def _require_numbers(column: pd.Series, name: str) -> None:
    if not pd.api.types.is_numeric_dtype(column.dtype) or pd.api.types.is_bool_dtype(column.dtype):
        bad = column[pd.to_numeric(column, errors="coerce").isna()]
        found = f"row {bad.index[0]} holds {bad.iloc[0]!r}" if len(bad) else f"its type is {column.dtype}"
        raise DataError(f"target {name!r} must hold numbers, but {found}: mend it, or write data.task: multiclass")
    if np.isinf(column.to_numpy(dtype=np.float64)).any():
        raise DataError(f"target {name!r} holds an infinite number: mend or remove the row")
    if column.nunique() < 2:
        raise DataError(f"target {name!r} is {column.iloc[0]} in every row: there is nothing to learn")


def _require_label(column: pd.Series, name: str) -> None:
    values = pd.unique(column)
    if not set(values) <= {0, 1}:
        odd = next(value for value in values.tolist() if value not in (0, 1))
        raise DataError(f"target {name!r} of a multilabel task must be 0 or 1, got {odd!r}: mend it, or name another")
    if len(values) < 2:
        raise DataError(f"target {name!r} is {values[0]} in every row: there is nothing to learn; leave it out")


def _classes(target: pd.Series, data: DataParams) -> tuple[str, ...]:
    name = data.targets[0]
    counts = pd.Series(category_text(target)).value_counts()
    if len(counts) < 2:
        raise DataError(f"target {name!r} must have at least two classes, got only {counts.index[0]!r}")
    if len(counts) > min(MAX_CLASSES, max(2, len(target) // 2)):
        raise DataError(
            f"target {name!r} has {len(counts)} different values in {len(target)} rows: "
            f"it looks like an id, not a class"
        )
    if len(counts) > 2:
        return tuple(sorted(counts.index, key=_natural))
    positive = data.positive if data.positive is not None else str(counts.index[-1])
    if positive not in counts.index:
        raise DataError(f"data.positive must be one of {', '.join(sorted(counts.index))}; got {positive!r}")
    return tuple(sorted(counts.index, key=lambda label: label == positive))


def _natural(label: str) -> tuple[int, float, str]:
    try:
        return (0, float(label), label)
    except ValueError:
        return (1, 0.0, label)
