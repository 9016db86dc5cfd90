"""Read the rows of text and Parquet files, and make columns of their cells."""

import codecs
import csv
import io
import itertools
import logging
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv

from ann.config.data import DataParams
from ann.data.packed import UNREADABLE, open_unpacked
from ann.data.sniffing import Sniffed, header_of, is_comment, sniff
from ann.data.task import FEW_NUMBERS
from ann.errors import DataError

log = logging.getLogger("ann.data")

BLOCK_BYTES = 2**24
"""The parser's block, which must hold the longest row."""
CHUNK_ROWS = 2**15
PARQUET = ".parquet"
NOT_NUMBERS = frozenset({"category", "text", "date", "image", "audio"})
"""Types of columns whose cells stay as they stand in the file."""


def read_rows(files: list[Path], data: DataParams) -> list[pd.DataFrame]:
    """Return a frame a file of text or Parquet; all text files are read as the first is written, and typed together.

    Raises:
        DataError: a file is empty or unreadable, or its columns are doubled or differ from the first's.
    """
    texts = [file for file in files if data.reading.format != "parquet" and file.suffix.lower() != PARQUET]
    frames = dict(zip(texts, _read_texts(texts, data), strict=True)) if texts else {}
    for file in files:
        if file not in frames:
            frames[file] = _read_parquet(file, data)
        _require_same_columns(file, list(frames[file].columns), files[0], list(frames[files[0]].columns))
    return [_with_media(frames[file], file, data) for file in files]


def _read_texts(files: list[Path], data: DataParams) -> list[pd.DataFrame]:
    sniffed = _sniffed(files[0], data)
    tables: list[pa.Table] = []
    for file in files:
        names = header_of(file, sniffed) if sniffed.header and not data.reading.names else list(sniffed.names)
        _require_single_names(file, names)
        if tables:
            _require_same_columns(file, names, files[0], tables[0].column_names)
        tables.append(_text_table(file, sniffed, names))
    bounds = [0, *itertools.accumulate(table.num_rows for table in tables)]
    frame = _typed(tables, data)
    if len(files) == 1:
        return [frame]
    return [frame.iloc[start:stop].reset_index(drop=True) for start, stop in itertools.pairwise(bounds)]


def _sniffed(file: Path, data: DataParams) -> Sniffed:
    try:
        sniffed = sniff(file, data)
    except UNREADABLE as error:
        raise _unreadable(file, error) from None
    if sniffed.assumed:
        log.warning(
            "%s is not UTF-8 and is read as %s; if letters come out wrong, name its codec in data.reading.encoding",
            file.name,
            sniffed.encoding,
        )
    return sniffed


def _text_table(file: Path, sniffed: Sniffed, names: list[str]) -> pa.Table:
    """Return every cell of a file as text."""
    parse = _parse_spaced if sniffed.spaced else _parse
    try:
        with open_unpacked(file) as stream:
            table = parse(stream, sniffed, names)
    except _Ragged as error:
        owner = "the header has" if sniffed.header else "data.reading.names gives"
        raise DataError(f"{file.name} row {error.row} has {error.cells} cells, but {owner} {len(names)}") from None
    except (*UNREADABLE, csv.Error) as error:
        raise _unreadable(file, error) from None
    table = table.slice(1) if sniffed.header else table
    if not table.num_rows:
        raise DataError(f"{file.name} has no rows")
    return table


class _Ragged(Exception):  # noqa: N818 - never seen by a user
    """A row that has more or fewer cells than there are names; rows count from 1, without empty lines."""

    def __init__(self, row: int, cells: int) -> None:
        self.row, self.cells = row, cells


def _parse(stream: IO[bytes], sniffed: Sniffed, names: list[str]) -> pa.Table:
    ragged: list[Any] = []

    def judge(row: Any) -> str:
        if row.actual_columns == 1 and is_comment(row.text, sniffed.separator):
            return "skip"
        ragged.append(row)
        return "error"

    codec = codecs.lookup(sniffed.encoding).name
    try:
        return pyarrow.csv.read_csv(
            stream,
            # One thread: only so does the parser number its rows.
            pyarrow.csv.ReadOptions(use_threads=False, block_size=BLOCK_BYTES, column_names=names, encoding=codec),
            pyarrow.csv.ParseOptions(
                delimiter=sniffed.separator,
                quote_char='"' if sniffed.quotes else False,
                newlines_in_values=sniffed.quotes,
                invalid_row_handler=judge,
            ),
            pyarrow.csv.ConvertOptions(column_types=dict.fromkeys(names, pa.string()), strings_can_be_null=False),
        )
    except pa.ArrowInvalid:
        if ragged:
            raise _Ragged(ragged[0].number, ragged[0].actual_columns) from None
        raise


def _parse_spaced(stream: IO[bytes], sniffed: Sniffed, names: list[str]) -> pa.Table:
    """Parse a file with a space after each separator, where Arrow would take a quote for a sign of the text."""
    schema = pa.schema([(name, pa.string()) for name in names])
    batches = []
    text = io.TextIOWrapper(stream, encoding=sniffed.encoding, newline="")
    try:
        rows = _checked_rows(csv.reader(text, delimiter=sniffed.separator, skipinitialspace=True), len(names), sniffed)
        while chunk := list(itertools.islice(rows, CHUNK_ROWS)):
            cells = [pa.array(column, pa.string()) for column in zip(*chunk, strict=True)]
            batches.append(pa.record_batch(cells, schema))
    finally:
        text.detach()  # who opened the stream closes it
    return pa.Table.from_batches(batches, schema)


def _checked_rows(reader: Iterator[list[str]], cells: int, sniffed: Sniffed) -> Iterator[list[str]]:
    for number, row in enumerate((row for row in reader if row), start=1):
        if len(row) == cells:
            yield row
        elif len(row) > 1 or not is_comment(row[0], sniffed.separator):
            raise _Ragged(number, len(row))


def _typed(tables: list[pa.Table], data: DataParams) -> pd.DataFrame:
    """Make columns of cells; what holds the cells is emptied on the way, so that none is held twice."""
    whole = pa.concat_tables(tables)
    names, cells = whole.column_names, whole.columns
    tables.clear()
    del whole
    cells.reverse()
    return pd.DataFrame({name: _column(cells.pop(), name, data) for name in names})


def _column(cells: pa.ChunkedArray, name: str, data: DataParams) -> pd.Series:
    """Return numbers where every known cell is one, else texts, stripped and NaN where missing."""
    text = pc.utf8_trim_whitespace(cells)
    missing = pc.is_in(text, value_set=pa.array(["", *data.missing], pa.string()))
    text = pc.if_else(missing, pa.scalar(None, pa.string()), text)
    stays = name in data.columns and data.columns[name].type in NOT_NUMBERS
    numbers = None if stays else _numbers(text, data.reading.decimal)
    if numbers is None or (name in data.targets and _are_classes(numbers, data)):
        return text.to_pandas()
    return pd.Series(numbers)


def _numbers(text: pa.ChunkedArray, decimal: str) -> np.ndarray | None:
    """Return (N,) int64, uint64 or float64, None where a known cell is no number; "nan" is a text."""
    if decimal == ",":
        if _any_holds(text, "."):
            return None
        text = pc.replace_substring(text, ",", ".")
    if _any_holds(text, "+"):
        text = pc.replace_substring_regex(text, r"^\+([0-9.])", r"\1")
    for kind in (pa.int64(), pa.uint64(), pa.float64()):
        try:
            numbers = pc.cast(text, kind)
        except pa.ArrowInvalid:
            continue
        if _any_holds(text, "x") or _any_holds(text, "X"):  # Arrow reads 0x1A as 26
            return None
        if pa.types.is_floating(kind) and pc.any(pc.is_nan(numbers)).as_py():
            return None
        return numbers.to_numpy()
    return None


def _any_holds(text: pa.ChunkedArray, sign: str) -> bool:
    return bool(pc.any(pc.match_substring(text, sign)).as_py())


def _are_classes(numbers: np.ndarray, data: DataParams) -> bool:
    """Tell whether a target of numbers names classes, whose labels are what stands in the file."""
    if data.task != "auto":
        return data.task in ("binary", "multiclass")
    if len(data.targets) > 1 or data.quantiles or data.windows:
        return False
    known = numbers[~np.isnan(numbers)] if numbers.dtype.kind == "f" else numbers
    return bool((known == np.round(known)).all()) and len(np.unique(known)) <= FEW_NUMBERS


def _read_parquet(file: Path, data: DataParams) -> pd.DataFrame:
    try:
        table = pd.read_parquet(file, partitioning=None)  # a folder named a=b is no column
    except UNREADABLE as error:
        raise _unreadable(file, error) from None
    _require_single_names(file, [str(name) for name in table.columns])
    if table.empty:
        raise DataError(f"{file.name} has no rows")
    columns = {str(name): _clean(_plain(table[name]), data) for name in table.columns}
    return pd.DataFrame(columns).reset_index(drop=True)


def _clean(column: pd.Series, data: DataParams) -> pd.Series:
    """Strip texts and mark the missing ones, as `ann.predict` does."""
    if not (isinstance(column.dtype, pd.StringDtype) or column.dtype == object):
        return column
    missing = {"", *data.missing}
    text = column.map(lambda value: value.strip() if isinstance(value, str) else value)
    return text.mask(text.map(lambda value: isinstance(value, str) and value in missing).astype(bool))


def _plain(column: pd.Series) -> pd.Series:
    """Turn a nullable numeric column into NumPy's numbers, NaN where missing."""
    if not (isinstance(column.dtype, pd.api.extensions.ExtensionDtype) and pd.api.types.is_numeric_dtype(column.dtype)):
        return column
    if pd.api.types.is_bool_dtype(column.dtype):
        return column.astype(object)
    return column.astype(float if column.isna().any() or pd.api.types.is_float_dtype(column.dtype) else "int64")


def _with_media(frame: pd.DataFrame, file: Path, data: DataParams) -> pd.DataFrame:
    """Return the frame with files in place of their names, in columns that data.columns calls images or audio."""
    for name, column in data.columns.items():
        if column.type in ("image", "audio") and name in frame.columns:
            cells = [_medium(cell, row, name, file) for row, cell in enumerate(frame[name])]
            frame = frame.assign(**{name: pd.Series(cells, index=frame.index, dtype=object)})
    return frame


def _medium(cell: Any, row: int, name: str, table: Path) -> Path | bytes | float:
    """Return the file that a cell names beside its table, or the encoded file that a cell of Parquet holds."""
    if isinstance(cell, dict) and isinstance(cell.get("bytes"), bytes):  # an image as the `datasets` library writes it
        return cell["bytes"]
    if isinstance(cell, str):
        path = table.parent / cell
        require_file(path, f"{table.name} row {row}, column {name!r}")
        return path
    if isinstance(cell, bytes) or pd.isna(cell):
        return cell
    raise DataError(f"{table.name} row {row}, column {name!r} must name a file or hold one, got {str(cell)[:40]!r}")


def require_file(path: Path, owner: str = "") -> None:
    """Refuse a file that is not there or empty.

    Raises:
        DataError: it is so; `owner` tells what names the file.
    """
    what = f"{owner}: {path}" if owner else str(path)
    if not path.is_file():
        raise DataError(f"{what} is not there: mend the name, which is relative to the table, or add the file")
    if not path.stat().st_size:
        raise DataError(f"{what} is empty (0 bytes): replace or remove it")


def _unreadable(file: Path, error: Exception) -> DataError:
    reason = (str(error) or type(error).__name__).splitlines()[0]
    if "invalid UTF8" in reason:
        reason = "it is not UTF-8 throughout: name its codec in data.reading.encoding, such as cp1252"
    return DataError(f"{file.name} cannot be read: {reason}")


def _require_single_names(file: Path, names: list[str]) -> None:
    doubled = sorted(name for name, count in Counter(names).items() if count > 1)
    if doubled:
        raise DataError(f"{file.name}: column names must differ; doubled: {', '.join(doubled)}")


def _require_same_columns(file: Path, names: list[str], first: Path, expected: list[str]) -> None:
    if names != expected:
        different = sorted(set(names) ^ set(expected)) or "their order"
        raise DataError(f"{file.name} and {first.name} must have the same columns; they differ in {different}")
