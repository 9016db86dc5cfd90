"""Score a whole file or folder: rows stream through in chunks."""

import csv
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from itertools import groupby
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np

from ann.errors import DataError
from ann.predict.cells import media, media_cell
from ann.predict.model import Model
from ann.predict.writing import answers_file, pyarrow_parquet

CHUNK_ROWS = 8192
CHUNK_FILES = 32
FILE = "file"
"""Name of the column that says which file an answer is about."""

Row: TypeAlias = Mapping[str, Any]
Chunks: TypeAlias = Iterator[list[Row]]


def predict_file(model: Model, source: Path, target: Path, separator: str = ",") -> int:
    """Score every row of `source` into `target` (.csv or .parquet each) and return how many answers there are.

    A model of images or audio alone also scores one such file, or all in a folder. A forecast reads the last rows.
    `target` appears when it is complete; a failure leaves none.

    Raises:
        DataError: the file is missing, empty, lacks a column, or holds what the model cannot read.
    """
    if model.series:
        return _forecast(model, source, target, separator)
    if model.media and (source.is_dir() or source.suffix not in READERS):
        return _score_files(model, source, target)
    rows = 0
    with answers_file(target, model.answer_names()) as writer:
        for chunk in _reader(source)(source, model, separator):
            for part in _of_one_size(model, chunk, source.parent):
                inputs = model.inputs(part, rows + 1, source.parent)
                writer.write(model.answer_columns(model.run(inputs)))
                rows += len(part)
        if not rows:
            raise DataError(f"{source} has no rows")
    return rows


def _forecast(model: Model, source: Path, target: Path, separator: str) -> int:
    assert model.series is not None
    length = int(model.series["length"])
    window: deque[Row] = deque(maxlen=length)
    seen = 0
    for chunk in _reader(source)(source, model, separator):
        window.extend(chunk)
        seen += len(chunk)
    if len(window) < length:
        raise DataError(f"{source} has {seen} rows, but the model reads the last {length}: give it more")
    columns = model.answer_columns(model.run(model.inputs(list(window), seen - length + 1)))
    with answers_file(target, model.answer_names()) as writer:
        writer.write(columns)
    return len(columns[0])


def _score_files(model: Model, source: Path, target: Path) -> int:
    name = str(model.media)
    suffixes = SUFFIXES[model.kinds[name]]
    if not source.exists():
        raise DataError(f"{source} does not exist")
    inside = source.rglob("*") if source.is_dir() else [source]
    found = sorted(path for path in inside if path.suffix.lower() in suffixes)
    if not found:
        raise DataError(f"{source} holds no {model.kinds[name]}: the model reads {', '.join(suffixes)}")
    with answers_file(target, [FILE, *model.answer_names()]) as writer:
        for start in range(0, len(found), CHUNK_FILES):
            rows: list[Row] = [{name: str(path)} for path in found[start : start + CHUNK_FILES]]
            for part in _of_one_size(model, rows, Path()):
                names = np.array([row[name] for row in part], dtype=object)
                writer.write([names, *model.answer_columns(model.run(model.inputs(part)))])
    return len(found)


def _of_one_size(model: Model, rows: list[Row], folder: Path) -> Iterator[list[Row]]:
    """Cut rows into few at once where they hold files, and into runs whose images have one size, as an array must."""
    if not set(SUFFIXES) & set(model.kinds.values()):
        yield rows
        return
    images = [name for name, kind in model.kinds.items() if kind == "image"]
    for start in range(0, len(rows), CHUNK_FILES):
        part = rows[start : start + CHUNK_FILES]
        if not images:
            yield part
            continue
        for _, run in groupby(part, key=lambda row: media().image_size(media_cell(row[images[0]], folder))[:2]):
            yield list(run)


def _reader(source: Path) -> Callable[[Path, Model, str], Chunks]:
    if source.is_dir():
        raise DataError(f"{source} is a folder: name a file in it, {' or '.join(READERS)}")
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
            chunk: list[Row] = []
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
    try:
        file = pyarrow_parquet().ParquetFile(source)
    except (OSError, ValueError) as error:
        raise DataError(f"{source} cannot be read: {str(error).splitlines()[0]}") from None
    model.require_columns(file.schema_arrow.names)
    for batch in file.iter_batches(batch_size=CHUNK_ROWS, columns=model.columns_read):
        yield batch.to_pylist()


READERS: dict[str, Callable[[Path, Model, str], Chunks]] = {".csv": _read_csv, ".parquet": _read_parquet}
SUFFIXES = {"audio": (".wav",), "image": (".bmp", ".gif", ".jpeg", ".jpg", ".png", ".webp")}
"""Suffixes of files by the kind of column."""
