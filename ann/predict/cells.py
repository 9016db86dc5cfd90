"""Single values of a client's rows, as texts, numbers or files, into what the graph takes."""

import math
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from ann.errors import AnnError, DataError

NOT_FINITE = {sign + word for sign in ("", "+", "-") for word in ("nan", "inf", "infinity")}
EPOCH = datetime(1970, 1, 1)
FRACTIONS = (float, np.floating)


def number_array(
    name: str, values: Sequence[Any], dtype: type[np.floating[Any]], missing: frozenset[str], first_row: int
) -> np.ndarray:
    """Return (N,) numbers, NaN where missing; `first_row` numbers the rows in messages.

    Raises:
        DataError: a text stands where a number belongs.
    """
    largest = float(np.finfo(dtype).max)
    numbers = np.empty(len(values), dtype=dtype)
    for i, value in enumerate(values):
        number = _number(value, missing)
        if number is None or abs(number) > largest:
            raise DataError(
                f"column {name!r} must hold numbers, row {first_row + i} holds {value!r}: mend it, or leave it empty"
            )
        numbers[i] = number
    return numbers


def date_array(name: str, values: Sequence[Any], missing: frozenset[str], first_row: int) -> np.ndarray:
    """Return (N,) float64 seconds since 1970, NaN where missing; a time with a zone is taken to UTC.

    Raises:
        DataError: a value is no ISO 8601 date.
    """
    seconds = np.empty(len(values), dtype=np.float64)
    for i, value in enumerate(values):
        found = _seconds(value, missing)
        if found is None:
            raise DataError(
                f"column {name!r} must hold dates, row {first_row + i} holds {value!r}: write it as 2026-11-21 or "
                f"2026-11-21T10:30:00, or leave it empty"
            )
        seconds[i] = found
    return seconds


def text_array(values: Sequence[Any], missing: frozenset[str]) -> np.ndarray:
    """Return (N,) strings, "" where missing; whole numbers are written without a fraction."""
    return np.array([_text(value, missing) for value in values], dtype=object)


def image_array(values: Sequence[Any], channels: int, folder: Path) -> list[np.ndarray]:
    """Return uint8 (H, W, C) images of paths (relative to `folder`), file contents or arrays."""
    return [media().decode_image(media_cell(value, folder), channels) for value in values]


def audio_arrays(values: Sequence[Any], rate: int, folder: Path) -> tuple[np.ndarray, np.ndarray]:
    """Return float32 (N, T) samples, zeros after the end, and (N,) lengths."""
    samples, lengths = media().padded_clips(
        [media().decode_audio(media_cell(value, folder), rate)[0] for value in values]
    )
    return samples, lengths


def media_cell(value: Any, folder: Path) -> Any:
    """Return what a client gives for a file, a path (relative to `folder`), its contents or an array, to be decoded."""
    if isinstance(value, dict) and "bytes" in value:  # as data sets of images are kept in Parquet
        value = value["bytes"]
    return folder / value if isinstance(value, str) else value


def media() -> Any:
    """Return the module that decodes files, or raise AnnError where Pillow is not installed."""
    try:
        import ann.media
    except ImportError as error:
        raise AnnError(f"images and sounds need {error.name}: run `pip install pillow scipy`") from None
    return ann.media


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


def _seconds(value: Any, missing: frozenset[str]) -> float | None:
    """Return seconds since 1970, NaN where it is missing, None where it is no date."""
    if _is_nothing(value):
        return math.nan
    if isinstance(value, str):
        text = value.strip()
        if text in missing:
            return math.nan
        try:
            value = datetime.fromisoformat(text)
        except ValueError:
            return None
    if isinstance(value, np.datetime64):
        return math.nan if np.isnat(value) else float((value - np.datetime64(0, "s")) / np.timedelta64(1, "s"))
    if not isinstance(value, datetime):
        return _day(value)
    if value.tzinfo is not None:
        value = value.astimezone(UTC).replace(tzinfo=None)
    return (value - EPOCH).total_seconds()


def _day(value: Any) -> float | None:
    """Return the seconds of a date without a time."""
    try:
        return (datetime(value.year, value.month, value.day) - EPOCH).total_seconds()
    except (AttributeError, TypeError):
        return None


def _text(value: Any, missing: frozenset[str]) -> str:
    if _is_nothing(value):
        return ""
    text = (str(int(value)) if isinstance(value, FRACTIONS) and value.is_integer() else str(value)).strip()
    return "" if text in missing else text


def _is_nothing(value: Any) -> bool:
    return value is None or (isinstance(value, FRACTIONS) and math.isnan(value))
