"""Rows for a network that was not trained here: a .npz file of arrays, or a table with a column a value."""

from dataclasses import dataclass, replace
from pathlib import Path
from zipfile import BadZipFile, is_zipfile
from zlib import error as ZlibError  # noqa: N812 - it is a class

import numpy as np
import pandas as pd

from ann.data.target import Target
from ann.errors import ConfigError, DataError, did_you_mean
from ann.seeding import generator

TABLE = "input"
"""What the numeric columns of a table are called together."""
FEWEST = 20
NPZ = ".npz"
UNREADABLE = (ValueError, OSError, EOFError, ImportError, BadZipFile, ZlibError)
MOST_CLASSES = 100_000
"""Whole numbers above it are names, not numbers of outputs."""
Arrays = dict[str, np.ndarray]


@dataclass(frozen=True, eq=False)
class Rows:
    """Inputs by name, and the truth: (N,) classes or (N, M) numbers."""

    inputs: Arrays
    truth: np.ndarray
    names: tuple[str, ...]
    """Of the classes; empty for numbers."""
    table: bool = False
    """Whether the inputs are columns of a table."""

    def named(self, classes: tuple[str, ...]) -> "Rows":
        """Return the rows with classes numbered in the order in which a network answers them.

        Raises:
            DataError: the target holds another class.
        """
        if not self.names:
            return self
        held = [self.names[number] for number in np.unique(self.truth)]
        if strange := [name for name in held if name not in classes]:
            raise DataError(f"the target holds the class {strange[0]!r}, the network answers {', '.join(classes)}")
        numbers = np.array([classes.index(name) if name in classes else -1 for name in self.names])
        return replace(self, truth=numbers[self.truth], names=classes)

    def answered_by(self, outputs: int) -> "Rows":
        """Return the rows as a network of so many outputs answers them: whole numbers are predicted by a single one.

        0 and 1 stay classes: one output may be meant as the logit of the second, or as a number.
        """
        whole = all(name.removeprefix("-").isdigit() for name in self.names)
        if outputs > 1 or len(self.names) <= 2 or not whole:
            return self
        values = np.array(self.names, np.float64)[self.truth]
        return replace(self, truth=values.astype(np.float32)[:, None], names=())

    def target(self, outputs: int) -> Target:
        """Return what a network with so many outputs predicts.

        Raises:
            DataError: the truth has other classes or numbers than the network answers.
        """
        if self.names:
            if outputs == 1:
                raise DataError(
                    "the target holds classes, but the network gives one output a row: a network of classes gives one "
                    "for each; 0 and 1 that are predicted as numbers are written 0.0 and 1.0"
                )
            if len(self.names) > outputs:
                raise DataError(
                    f"the target holds {len(self.names)} classes (up to {self.names[-1]!r}), but the network gives "
                    f"{outputs} outputs: number the classes from 0 as the network does"
                )
            if len(np.unique(self.truth)) < 2:
                raise DataError("the target must hold two classes of two rows each at least, to judge by: add rows")
            more = tuple(f"class {number}" for number in range(len(self.names), outputs))
            return Target("binary" if outputs == 2 else "multiclass", ("target",), classes=self.names + more)
        if self.truth.shape[1] != outputs:
            raise DataError(
                f"the target holds numbers, {self.truth.shape[1]} a row, but the network gives {outputs} outputs: name "
                f"another with --target; classes are written as whole numbers or texts"
            )
        ones = (1.0,) * outputs
        names = tuple(f"target {number}" for number in range(outputs))
        return Target("regression", names, shift=(0.0,) * outputs, scale=ones)

    def split(self, share: float, seed: int) -> tuple["Rows", "Rows"]:
        """Return the rows to train and calibrate by, and a random share of each class to judge by."""
        order = generator(seed, "split").permutation(len(self.truth))
        kinds = self.truth[order] if self.names else np.zeros(len(order), np.int64)
        kinds = np.where(np.bincount(kinds)[kinds] > 1, kinds, -1)  # what comes once is split together
        parts = [order[kinds == kind] for kind in np.unique(kinds)]
        judged = np.concatenate([part[: _share(len(part), share)] for part in parts])
        return self._taken(np.setdiff1d(order, judged)), self._taken(np.sort(judged))

    def _taken(self, index: np.ndarray) -> "Rows":
        inputs = {name: values[index] for name, values in self.inputs.items()}
        return replace(self, inputs=inputs, truth=self.truth[index])


def read_rows(path: Path, target: str) -> Rows:
    """Read a .npz file, or a .csv or .parquet table; `target` names the truth in it.

    Raises:
        ConfigError: there is no such file, or it is of another kind.
        DataError: it has no such target, too few rows, arrays of different length, or a target that is missing.
    """
    arrays = _arrays(path)
    if target not in arrays:
        raise DataError(f"{path} has no {target!r}{did_you_mean(target, list(arrays))}: name it with --target")
    truth = arrays.pop(target)
    if not arrays:
        raise DataError(f"{path} holds nothing but the target {target}: add the inputs of the network")
    for name, values in ({target: truth} | arrays).items():
        if not values.ndim:
            raise DataError(f"{path}: {name} is a single value, not an array of rows: leave it out")
        if len(values) != len(truth):
            raise DataError(f"{path}: {name} has {len(values)} rows, {target} has {len(truth)}")
    if len(truth) < FEWEST:
        raise DataError(f"{path} has {len(truth)} rows; {FEWEST} are the least by which anything can be judged")
    return Rows(arrays, *_truth(truth, target), table=path.suffix != NPZ)


def _arrays(path: Path) -> Arrays:
    if not path.is_file():
        raise ConfigError(f"--data: there is no file {path}")
    try:
        if path.suffix == NPZ:
            return _npz(path)
        if path.suffix in (".csv", ".parquet"):
            table = pd.read_csv(path, low_memory=False) if path.suffix == ".csv" else pd.read_parquet(path)
            return {str(name): _column(table[name]) for name in table.columns}
    except UNREADABLE as error:
        raise DataError(f"{path} cannot be read: {' '.join(str(error).split())[:200]}") from error
    raise ConfigError(f"--data: {path.name} is neither .npz, .csv nor .parquet")


def _npz(path: Path) -> Arrays:
    if not is_zipfile(path):
        raise DataError(f"{path} is no .npz file: write it with numpy.savez")
    with np.load(path, allow_pickle=False) as file:
        return {name: file[name] for name in file.files}


def _column(column: pd.Series) -> np.ndarray:
    kinds = pd.api.types
    if kinds.is_bool_dtype(column.dtype) and not column.isna().any():
        return column.to_numpy(bool)
    if kinds.is_integer_dtype(column.dtype) and not column.isna().any():
        return column.to_numpy(np.int64)
    if kinds.is_numeric_dtype(column.dtype):
        return column.to_numpy(np.float32, na_value=np.nan)
    return column.astype(object).where(column.notna(), "").astype(str).to_numpy(object)


def _truth(values: np.ndarray, target: str) -> tuple[np.ndarray, tuple[str, ...]]:
    """Return classes as (N,) ids and their names, or numbers as (N, M) float32 and none."""
    if values.dtype.kind == "f":
        if not np.isfinite(values).all():
            raise DataError(f"{target} is missing, NaN or infinity in some rows: remove them")
        return values.reshape(len(values), -1).astype(np.float32), ()
    if values.ndim != 1:
        raise DataError(f"{target} must hold one class a row, it has the shape {values.shape}")
    ids, names = _classes(values)
    if "" in names:
        raise DataError(f"{target} is missing in some rows: remove them")
    return ids, names


def _classes(values: np.ndarray) -> tuple[np.ndarray, tuple[str, ...]]:
    """Return (N,) ids and names: whole numbers from 0 on stand for themselves, texts are in alphabetical order."""
    if values.dtype.kind == "b":
        return values.astype(np.int64), ("False", "True")
    if values.dtype.kind in "iu" and values.min() >= 0 and values.max() < MOST_CLASSES:
        return values.astype(np.int64), tuple(map(str, range(int(values.max()) + 1)))
    names, ids = np.unique(values.astype(str), return_inverse=True)
    return ids.astype(np.int64), tuple(map(str, names))


def _share(rows: int, share: float) -> int:
    """Return how many of some rows are a share of them: one at least, but not the only one."""
    return min(rows - 1, max(1, round(rows * share)))


def as_one(inputs: Arrays) -> np.ndarray:
    """Put the columns of a table beside each other: (N, F) float32.

    Raises:
        DataError: a column is no number.
    """
    for name, values in inputs.items():
        if values.dtype.kind not in "biuf" or values.ndim != 1:
            raise DataError(
                f"{name} is no column of numbers, but the network reads all columns as one matrix: leave it out"
            )
    return np.stack([values.astype(np.float32) for values in inputs.values()], axis=1)
