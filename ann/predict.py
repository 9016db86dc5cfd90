"""Score raw rows with an exported file: the standard library, numpy and onnxruntime are all it needs.

Rows stream through in chunks, so a file of any size is scored in constant memory.
"""

import csv
import json
import math
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import onnxruntime as ort

from ann.errors import AnnError, ConfigError, DataError, did_you_mean

CHUNK_ROWS = 8192
NOT_FINITE = {sign + word for sign in ("", "+", "-") for word in ("nan", "inf", "infinity")}
NUMBER_TYPES: dict[str, type[np.floating[Any]]] = {"tensor(float)": np.float32, "tensor(double)": np.float64}


class Model:
    """An exported file: named columns in, labels and probabilities out."""

    def __init__(self, path: str | Path, threads: int = 0) -> None:
        """Open the file; `threads` 0 takes ONNX Runtime's own choice.

        Raises:
            ConfigError: there is no such file, or it is no model that `ann` exported.
        """
        if not Path(path).is_file():
            raise ConfigError(f"{path} does not exist: name a model file with --model, or run `ann run` first")
        options = ort.SessionOptions()
        options.intra_op_num_threads = threads
        options.log_severity_level = 3
        try:
            self.session = ort.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
        except Exception as error:  # noqa: BLE001 - the library raises many types; all mean the same here
            raise ConfigError(f"{path} is not an ONNX model: {str(error).splitlines()[0]}") from None
        self.metadata: dict[str, str] = dict(self.session.get_modelmeta().custom_metadata_map)
        if "ann.classes" not in self.metadata:
            raise ConfigError(f"{path} was not exported by ann: it carries no ann.classes")
        self.classes: list[str] = json.loads(self.metadata["ann.classes"])
        self.missing = frozenset(["", *json.loads(self.metadata["ann.missing"])])
        self.types: dict[str, str] = {put.name: put.type for put in self.session.get_inputs()}

    def run(self, columns: Mapping[str, np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
        """Return labels (N,) as text and probabilities (N, K) for columns (N,) of the input's own type."""
        label, probabilities = self.session.run(
            ["label", "probabilities"], {name: columns[name] for name in self.types}
        )
        return label, probabilities

    def columns(self, rows: Sequence[Mapping[str, Any]], first_row: int = 1) -> dict[str, np.ndarray]:
        """Return one array a column from rows of texts or numbers; `first_row` numbers them in messages.

        Raises:
            DataError: a text stands where a number belongs.
        """
        return {
            name: self._numbers(name, [row[name] for row in rows], first_row)
            if kind in NUMBER_TYPES
            else np.array([_text(row[name], self.missing) for row in rows], dtype=object)
            for name, kind in self.types.items()
        }

    def require_columns(self, present: Sequence[str]) -> None:
        """Check that every input has a column.

        Raises:
            DataError: one is missing.
        """
        for name in self.types:
            if name not in present:
                raise DataError(
                    f"column {name!r} is missing{did_you_mean(name, list(present))}; "
                    f"the model reads {', '.join(self.types)}"
                )

    def _numbers(self, name: str, values: list[Any], first_row: int) -> np.ndarray:
        dtype = NUMBER_TYPES[self.types[name]]
        largest = float(np.finfo(dtype).max)
        numbers = np.empty(len(values), dtype=dtype)
        for i, value in enumerate(values):
            number = _number(value, self.missing)
            if number is None or abs(number) > largest:
                raise DataError(
                    f"column {name!r} must hold numbers, row {first_row + i} holds {value!r}: "
                    f"mend it, or leave it empty"
                )
            numbers[i] = number
        return numbers


def predict_file(model: Model, source: Path, target: Path, separator: str = ",") -> int:
    """Score every row of `source` into `target` (.csv or .parquet each) and return how many there were.

    `target` appears when it is complete; a failure leaves none.

    Raises:
        DataError: the file is missing, empty, lacks a column, or holds a text where a number belongs.
    """
    read = _reader(source)
    rows = 0
    with _appears_when_complete(target) as beside, _writer(target)(beside, model.classes) as writer:
        for chunk in read(source, model, separator):
            writer.write(*model.run(model.columns(chunk, rows + 1)))
            rows += len(chunk)
        if not rows:
            raise DataError(f"{source} has no rows")
    return rows


class _Writer(Protocol):
    def write(self, labels: np.ndarray, probabilities: np.ndarray) -> None: ...


Chunks = Iterator[list[Mapping[str, Any]]]


def _reader(source: Path) -> Any:
    if not source.is_file():
        raise DataError(f"{source} does not exist")
    if source.suffix not in READERS:
        raise DataError(
            f"{source.name}: cannot read {source.suffix or 'a file without suffix'}; known: {', '.join(READERS)}"
        )
    return READERS[source.suffix]


def _read_csv(source: Path, model: Model, separator: str) -> Chunks:
    with source.open(encoding="utf-8-sig", newline="") as file:
        reader = csv.DictReader(file, delimiter=separator)
        try:
            if reader.fieldnames is None:
                raise DataError(f"{source} is empty: it must have a header line and rows")
            doubled = sorted({name for name in reader.fieldnames if reader.fieldnames.count(name) > 1})
            if doubled:
                raise DataError(f"{source}: column names must differ; doubled: {', '.join(doubled)}")
            model.require_columns(reader.fieldnames)
            chunk: list[Mapping[str, Any]] = []
            for number, row in enumerate(reader, start=1):
                if None in row or None in row.values():
                    raise DataError(f"{source} row {number}: it has another number of cells than the header")
                chunk.append(row)
                if len(chunk) == CHUNK_ROWS:
                    yield chunk
                    chunk = []
            if chunk:
                yield chunk
        except (UnicodeDecodeError, csv.Error) as error:
            raise DataError(f"{source} cannot be read as UTF-8 CSV: {error}") from None


def _read_parquet(source: Path, model: Model, separator: str) -> Chunks:  # noqa: ARG001 - one signature
    parquet = _pyarrow_parquet()
    try:
        file = parquet.ParquetFile(source)
    except (OSError, ValueError) as error:
        raise DataError(f"{source} cannot be read: {str(error).splitlines()[0]}") from None
    model.require_columns(file.schema_arrow.names)
    for batch in file.iter_batches(batch_size=CHUNK_ROWS, columns=list(model.types)):
        yield batch.to_pylist()


class _CsvWriter:
    def __init__(self, file: Any, classes: list[str]) -> None:
        self._writer = csv.writer(file, lineterminator="\n")
        self._writer.writerow(["label", *_probability_columns(classes)])

    def write(self, labels: np.ndarray, probabilities: np.ndarray) -> None:
        for label, row in zip(labels, probabilities, strict=True):
            self._writer.writerow([label, *(f"{value:.6g}" for value in row)])


@contextmanager
def _write_csv(path: Path, classes: list[str]) -> Iterator[_Writer]:
    with path.open("w", encoding="utf-8", newline="") as file:
        yield _CsvWriter(file, classes)


class _ParquetWriter:
    def __init__(self, file: Any, schema: Any) -> None:
        self._file, self._schema = file, schema

    def write(self, labels: np.ndarray, probabilities: np.ndarray) -> None:
        import pyarrow as pa

        self._file.write_table(pa.table([pa.array(labels), *map(pa.array, probabilities.T)], schema=self._schema))


@contextmanager
def _write_parquet(path: Path, classes: list[str]) -> Iterator[_Writer]:
    parquet = _pyarrow_parquet()
    import pyarrow as pa

    schema = pa.schema([("label", pa.string()), *((name, pa.float32()) for name in _probability_columns(classes))])
    with parquet.ParquetWriter(path, schema) as file:
        yield _ParquetWriter(file, schema)


def _writer(target: Path) -> Any:
    if target.suffix not in WRITERS:
        raise ConfigError(
            f"-o {target}: cannot write {target.suffix or 'a file without suffix'}; known: {', '.join(WRITERS)}"
        )
    return WRITERS[target.suffix]


@contextmanager
def _appears_when_complete(target: Path) -> Iterator[Path]:
    if not target.parent.is_dir():
        raise ConfigError(f"-o {target}: the folder {target.parent} does not exist")
    beside = target.parent / f".{target.name}.{os.getpid()}.tmp"
    try:
        yield beside
        beside.replace(target)
    finally:
        beside.unlink(missing_ok=True)


def _pyarrow_parquet() -> Any:
    try:
        import pyarrow.parquet as parquet
    except ImportError:
        raise AnnError("Parquet needs pyarrow: run `pip install pyarrow`, or use .csv") from None
    return parquet


def _probability_columns(classes: Iterable[str]) -> list[str]:
    return [f"probability_{label}" for label in classes]


def _number(value: Any, missing: frozenset[str]) -> float | None:
    """Return the number, NaN where it is missing, None where it is none."""
    if isinstance(value, str):
        text = value.strip()
        if text in missing:
            return math.nan
        if "_" in text or text.lower() in NOT_FINITE:  # Python reads these, a data file does not mean them
            return None
        value = text
    try:
        return math.nan if value is None else float(value)
    except (TypeError, ValueError):
        return None


def _text(value: Any, missing: frozenset[str]) -> str:
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return ""
    text = (str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)).strip()
    return "" if text in missing else text


READERS = {".csv": _read_csv, ".parquet": _read_parquet}
WRITERS: dict[str, Any] = {".csv": _write_csv, ".parquet": _write_parquet}
