"""How a text file is written: its separator, encoding and header, from its first lines."""

import codecs
import csv
import io
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from ann.config.data import DataParams
from ann.config.reading import Reading
from ann.data.packed import open_unpacked
from ann.errors import DataError

SAMPLE_BYTES = 2**16
SAMPLE_LINES = 20
"""A file of long lines is read further than the sample, until it has as many."""
MOST_BYTES = 2**26
SEPARATORS = "\t;|,"
"""The likelier first where several divide every line alike: cells hold commas more often than tabs."""
COMMENT = "|"
"""A line that begins so and has no separator is no row, as the first of UCI's adult.test."""
BYTE_ORDER_MARKS = {codecs.BOM_UTF8: "utf-8", codecs.BOM_UTF16_LE: "utf-16", codecs.BOM_UTF16_BE: "utf-16"}
FALL_BACK = "cp1252"


@dataclass(frozen=True)
class Sniffed:
    """How a text file is written."""

    separator: str
    encoding: str
    header: bool
    """The first row holds names."""
    names: tuple[str, ...]
    """Names of the columns, from the header or as given."""
    quotes: bool = True
    """Cells may stand in double quotes."""
    spaced: bool = False
    """Every separator is followed by a space, which is no part of a cell."""
    assumed: bool = False
    """The file is not UTF-8 and the encoding a guess, which no look at the bytes can confirm."""


def sniff(path: Path, data: DataParams) -> Sniffed:
    """Return how a text file is written; what `data.reading` gives is not guessed.

    Raises:
        DataError: the file is empty, of another encoding, or has no header where one is needed.
    """
    reading = data.reading
    sample, whole = _sample(path)
    found = _encoding(sample) if reading.encoding == "auto" else reading.encoding
    encoding = found or FALL_BACK
    text = _decoded(sample, encoding, whole, path)
    separator = _separator(text, whole, reading) if reading.separator == "auto" else reading.separator
    quotes = separator != "\t" or _cells_in_quotes(text)
    spaced = separator != " " and _spaced(text, separator)
    rows = _rows(text, whole, separator, quotes=quotes, spaced=spaced)
    if not rows:
        raise DataError(f"{path.name} is empty: it must have a header line and rows")
    header = _has_header(rows, data, path)
    names = reading.names or tuple(_named(rows[0]))
    return Sniffed(separator, encoding, header, names, quotes=quotes, spaced=spaced, assumed=found is None)


def header_of(path: Path, sniffed: Sniffed) -> list[str]:
    """Return the names in the first row of a file that is written as `sniffed` tells."""
    sample, whole = _sample(path)
    text = _decoded(sample, sniffed.encoding, whole, path)
    rows = _rows(text, whole, sniffed.separator, quotes=sniffed.quotes, spaced=sniffed.spaced)
    if not rows:
        raise DataError(f"{path.name} is empty: it must have a header line and rows")
    return _named(rows[0])


def is_comment(line: str, separator: str) -> bool:
    """Tell whether a line of one cell is a comment."""
    return line.startswith(COMMENT) and separator != COMMENT


def _sample(path: Path) -> tuple[bytes, bool]:
    """Return the first bytes, and whether they are all."""
    with open_unpacked(path) as stream:
        sample = stream.read(SAMPLE_BYTES)
        while sample.count(b"\n") < SAMPLE_LINES and len(sample) < MOST_BYTES:
            more = stream.read(SAMPLE_BYTES)
            if not more:
                return sample, True
            sample += more
        return sample, not stream.read(1)


def _encoding(sample: bytes) -> str | None:
    """Return the encoding that the first bytes show, None where they are of no Unicode."""
    for mark, encoding in BYTE_ORDER_MARKS.items():
        if sample.startswith(mark):
            return encoding
    try:
        codecs.getincrementaldecoder("utf-8")().decode(sample)
    except UnicodeDecodeError:
        return None
    return "utf-8"


def _decoded(sample: bytes, encoding: str, whole: bool, path: Path) -> str:
    try:
        text = codecs.getincrementaldecoder(encoding)().decode(sample, whole)
    except UnicodeDecodeError as error:
        raise DataError(f"{path.name} is not {encoding}: {error}: name its codec in data.reading.encoding") from None
    return text.removeprefix("\ufeff")


def _separator(text: str, whole: bool, reading: Reading) -> str:
    """Return the candidate that divides most rows into equally many cells."""
    best, best_share = ",", 0.0
    for candidate in SEPARATORS:
        if candidate == reading.decimal:
            continue
        rows = _rows(text, whole, candidate)
        (cells, count), *_ = Counter(map(len, rows)).most_common(1) or [(1, 0)]
        if cells > 1 and count / len(rows) > best_share:
            best, best_share = candidate, count / len(rows)
    return best


def _cells_in_quotes(text: str) -> bool:
    """Tell whether quotes surround whole cells of tab-separated lines, rather than being signs of the text."""
    cells = [cell for line in text.splitlines() for cell in line.split("\t") if cell.startswith('"')]
    return bool(cells) and all(len(cell) > 1 and cell.endswith('"') for cell in cells)


def _spaced(text: str, separator: str) -> bool:
    count = text.count(separator)
    return count > 0 and text.count(f"{separator} ") == count


def _rows(text: str, whole: bool, separator: str, *, quotes: bool = True, spaced: bool = False) -> list[list[str]]:
    """Return the rows of a sample, without the last where it may be torn, and without comments and empty lines."""
    quoting: Literal[0, 3] = csv.QUOTE_MINIMAL if quotes else csv.QUOTE_NONE
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=separator, quoting=quoting, skipinitialspace=spaced)
    try:
        rows = [[cell.strip() for cell in row] for row in reader if row]
    except csv.Error:
        return []
    if not whole and len(rows) > 1:
        rows.pop()
    if max(map(len, rows), default=0) > 1:
        rows = [row for row in rows if len(row) > 1 or not is_comment(row[0], separator)]
    return rows


def _named(row: list[str]) -> list[str]:
    """Return names of columns, for an empty one what pandas gives."""
    return [name or f"Unnamed: {number}" for number, name in enumerate(row)]


def _has_header(rows: list[list[str]], data: DataParams, path: Path) -> bool:
    reading, first = data.reading, rows[0]
    if reading.header != "auto":
        return reading.header
    if reading.names:
        if tuple(first) == reading.names:
            return True
        if _sign_of_header(rows, reading) and not _sign_of_data(rows, data):
            raise DataError(
                f"{path.name}: data.reading.names are given, but the first row looks like a header "
                f"({_shown(first)}): write data.reading.header: true to replace it, false to read it as data"
            )
        return False
    if set(data.targets) & set(first):
        return True
    sign = _sign_of_data(rows, data)
    if sign:
        raise DataError(
            f"{path.name} seems to have no header: its first row ({_shown(first)}) {sign}. "
            f"Give data.reading.names, or write data.reading.header: true"
        )
    return True


def _sign_of_header(rows: list[list[str]], reading: Reading) -> bool:
    """Tell whether the first row has different cells and no number, while there are numbers below it."""
    first, *below = rows
    if any(_is_number(cell, reading) for cell in first) or len(set(first)) < len(first):
        return False
    return any(
        all(column < len(row) and (not row[column] or _is_number(row[column], reading)) for row in below)
        and any(row[column] for row in below)
        for column in range(len(first))
    )


def _sign_of_data(rows: list[list[str]], data: DataParams) -> str:
    """Tell why the first row looks like data, "" where it does not."""
    first, *below = rows
    number = next((cell for cell in first if _is_number(cell, data.reading)), None)
    if number is not None:
        return f"holds the number {number}"
    marker = next((cell for cell in first if cell and cell in data.missing), None)
    if marker is not None:
        return f"holds {marker!r}, which data.missing names"
    again = next(
        (cell for i, cell in enumerate(first) if cell and any(row[i : i + 1] == [cell] for row in below)), None
    )
    return f"holds {again!r}, which stands in the same column again" if again is not None else ""


def _is_number(cell: str, reading: Reading) -> bool:
    if reading.decimal == ",":
        cell = cell.replace(".", "x").replace(",", ".")
    try:
        float(cell)
    except ValueError:
        return False
    return "_" not in cell


def _shown(row: list[str]) -> str:
    text = ", ".join(row)
    return text if len(text) <= 60 else f"{text[:60]}..."
