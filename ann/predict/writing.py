"""Write answers as .csv or .parquet; the file appears when it is complete."""

import csv
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from ann.errors import AnnError, ConfigError


class Writer(Protocol):
    """Takes answers, part by part."""

    def write(self, columns: list[np.ndarray]) -> None:
        """Append rows, one array a column."""


@contextmanager
def answers_file(target: Path, names: list[str]) -> Iterator[Writer]:
    """Yield a writer of columns `names`; a failure leaves no file.

    Raises:
        ConfigError: the folder does not exist, or the suffix is unknown.
    """
    if target.suffix not in WRITERS:
        raise ConfigError(
            f"-o {target}: cannot write {target.suffix or 'a file without suffix'}; known: {', '.join(WRITERS)}"
        )
    if not target.parent.is_dir():
        raise ConfigError(f"-o {target}: the folder {target.parent} does not exist")
    beside = target.parent / f".{target.name}.{os.getpid()}.tmp"
    try:
        with WRITERS[target.suffix](beside, names) as writer:
            yield writer
        beside.replace(target)
    finally:
        beside.unlink(missing_ok=True)


def pyarrow_parquet() -> Any:
    """Return the module, or raise AnnError where it is not installed."""
    try:
        import pyarrow.parquet as parquet
    except ImportError:
        raise AnnError("Parquet needs pyarrow: run `pip install pyarrow`, or use .csv") from None
    return parquet


class _CsvWriter:
    def __init__(self, file: Any, names: list[str]) -> None:
        self._writer = csv.writer(file, lineterminator="\n")
        self._writer.writerow(names)

    def write(self, columns: list[np.ndarray]) -> None:
        for row in zip(*columns, strict=True):
            self._writer.writerow([_cell(value) for value in row])


def _cell(value: Any) -> Any:
    if isinstance(value, np.floating):
        return f"{value:.6g}"
    return int(value) if isinstance(value, np.bool_) else value


@contextmanager
def _write_csv(path: Path, names: list[str]) -> Iterator[Writer]:
    with path.open("w", encoding="utf-8", newline="") as file:
        yield _CsvWriter(file, names)


class _ParquetWriter:
    """Opens the file at the first rows, whose types are those of the columns."""

    def __init__(self, path: Path, names: list[str]) -> None:
        self._path, self._names = path, names
        self._file: Any = None

    def write(self, columns: list[np.ndarray]) -> None:
        import pyarrow as pa

        table = pa.table(dict(zip(self._names, map(pa.array, columns), strict=True)))
        if self._file is None:
            self._file = pyarrow_parquet().ParquetWriter(self._path, table.schema)
        self._file.write_table(table)

    def close(self) -> None:
        if self._file is not None:
            self._file.close()


@contextmanager
def _write_parquet(path: Path, names: list[str]) -> Iterator[Writer]:
    pyarrow_parquet()
    writer = _ParquetWriter(path, names)
    try:
        yield writer
    finally:
        writer.close()


WRITERS: dict[str, Any] = {".csv": _write_csv, ".parquet": _write_parquet}
