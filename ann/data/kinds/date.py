"""Dates: seconds since 1970 become the phases of day, week and year, and a scaled number for the trend.

Everything is computed in double: float32 holds today's seconds to two minutes.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date

import numpy as np
import pandas as pd
from onnx import numpy_helper

from ann.data.graph import GraphBuilder
from ann.data.kinds import COLUMN, PREFIX
from ann.errors import DataError

DAY, WEEK, YEAR = 86_400.0, 604_800.0, 365.2425 * 86_400.0
"""Lengths [s]; the year is the mean of the Gregorian calendar."""


@dataclass(frozen=True)
class DateStatistics:
    """t -> sin and cos of 2 pi t / P for each period P [s], then (t - shift) / scale; `fill` where missing."""

    name: str
    periods: tuple[float, ...]
    shift: float
    scale: float
    fill: float
    flag: bool
    """Adds an is-missing column."""

    @property
    def width(self) -> int:
        """Columns that it becomes."""
        return 2 * len(self.periods) + 1 + self.flag


def fit_date(seconds: np.ndarray, name: str) -> DateStatistics:
    """Learn from training rows, (N,) float64 seconds with NaN as missing, which periods they resolve, and the scale.

    A day counts if times of day differ; a week if weekdays differ and the dates span one; a year if they span half.

    Raises:
        DataError: the column has no value at all, or an infinite one.
    """
    known = seconds[~np.isnan(seconds)]
    if not len(known):
        raise DataError(f"date {name!r} has no value in the training rows: give the column the role `drop`")
    if np.isinf(known).any():
        raise DataError(f"date {name!r} holds an infinite number: mend the row, or give the column the role `drop`")
    fill = float(np.median(known))
    filled = np.where(np.isnan(seconds), fill, seconds)
    constant = filled.min() == filled.max()
    scale = 1.0 if constant else float((filled - fill).std())  # squares of seconds since 1970 would lose digits
    shift = fill if constant else fill + float((filled - fill).mean())
    return DateStatistics(name, _periods(known), shift, scale, fill, flag=len(known) < len(seconds))


def _periods(seconds: np.ndarray) -> tuple[float, ...]:
    span = np.ptp(seconds)
    days = np.floor(seconds / DAY)
    resolved = {
        DAY: len(np.unique(seconds - days * DAY)) > 1,
        WEEK: len(np.unique(days % 7)) > 1 and span >= WEEK,
        YEAR: span >= YEAR / 2,
    }
    return tuple(period for period, found in resolved.items() if found)


def date_nodes(builder: GraphBuilder, column: DateStatistics, seconds: str | None = None) -> str:
    """Append the nodes of one date and return its (N, width) float32 value; the constant COLUMN must be there.

    `seconds` names (N,) double seconds inside the graph; without it they are an input that has the column's name.
    """
    raw = seconds or builder.input(column.name, np.float64, ["N"])
    values = builder.op("Reshape", raw, COLUMN)
    is_missing = builder.op("IsNaN", values)
    filled = builder.op("Where", is_missing, _constant(builder, column, "fill", [column.fill]), values)
    centred = builder.op("Sub", filled, _constant(builder, column, "shift", [column.shift]))
    parts = [builder.op("Div", centred, _constant(builder, column, "scale", [column.scale]))]
    if column.periods:
        speeds = [2 * np.pi / period for period in column.periods]
        angles = builder.op("Mul", filled, _constant(builder, column, "speeds", speeds))
        parts = [builder.op("Sin", angles), builder.op("Cos", angles), *parts]
    if column.flag:
        parts.append(builder.cast(is_missing, np.float64))
    return builder.cast(builder.op("Concat", *parts, axis=1), np.float32)


def _constant(builder: GraphBuilder, column: DateStatistics, name: str, values: list[float]) -> str:
    return builder.constant(f"{PREFIX}date_{name}:{column.name}", np.array(values, dtype=np.float64))


def date_from_parts_nodes(builder: GraphBuilder, names: Sequence[str]) -> str:
    """Append the nodes from columns of year, month, day and perhaps hour, in this order, to (N,) double seconds.

    The columns are float32 inputs by name. A date that no calendar has, such as 30 February, is missing, as is one
    with a missing part. Days are counted as in Howard Hinnant's `days_from_civil`:
    https://howardhinnant.github.io/date_algorithms.html
    """
    parts = [builder.cast(builder.input(name, np.float32, ["N"]), np.float64) for name in names]
    year, month, day = (
        _within(builder, part, *limits) for part, limits in zip(parts[:3], ((1, 9999), (1, 12), (1, 31)), strict=True)
    )
    first = _days(builder, year, month)
    following = _days(builder, year, builder.op("Add", month, _number(builder, 1)))  # a 13th month is January
    in_month = builder.op("LessOrEqual", day, builder.op("Sub", following, first))
    day = builder.op("Where", in_month, day, _number(builder, np.nan))
    days = builder.op("Sub", builder.op("Add", first, day), _number(builder, 1))
    seconds = builder.op("Mul", days, _number(builder, DAY))
    for hour in parts[3:]:
        past = builder.op("Mul", _within(builder, hour, 0, 23), _number(builder, 3600))
        seconds = builder.op("Add", seconds, past)
    return seconds


def _within(builder: GraphBuilder, value: str, low: int, high: int) -> str:
    """Append nodes that replace what is no whole number from `low` to `high` by NaN."""
    whole = builder.op("Equal", value, builder.op("Floor", value))
    above = builder.op("GreaterOrEqual", value, _number(builder, low))
    below = builder.op("LessOrEqual", value, _number(builder, high))
    valid = builder.op("And", whole, builder.op("And", above, below))
    return builder.op("Where", valid, value, _number(builder, np.nan))


def _days(builder: GraphBuilder, year: str, month: str) -> str:
    """Append the days from 1970 to the first of a month; the year begins in March, so that a leap day is its last."""
    spring = _floor(builder, month, -1, 14, 12)  # 1 in January and February, else 0
    year = builder.op("Sub", year, spring)
    month = builder.op("Add", month, builder.op("Mul", spring, _number(builder, 12)))
    leaps = builder.op("Add", _floor(builder, year, 1, 0, 4), _floor(builder, year, 1, 0, 400))
    leaps = builder.op("Sub", leaps, _floor(builder, year, 1, 0, 100))
    of_years = builder.op("Add", builder.op("Mul", year, _number(builder, 365)), leaps)
    of_months = _floor(builder, month, 153, 2 - 3 * 153, 5)
    return builder.op("Sub", builder.op("Add", of_years, of_months), _number(builder, 719_468))


def _floor(builder: GraphBuilder, value: str, factor: int, offset: int, divisor: int) -> str:
    """Append floor((factor x + offset) / divisor)."""
    line = builder.op("Add", builder.op("Mul", value, _number(builder, factor)), _number(builder, offset))
    return builder.op("Floor", builder.op("Div", line, _number(builder, divisor)))


def _number(builder: GraphBuilder, value: float) -> str:
    return builder.op("Constant", value=numpy_helper.from_array(np.array(value, dtype=np.float64)))


def seconds_of(column: pd.Series) -> np.ndarray:
    """Return (N,) float64 seconds since 1970, NaN where missing, of datetimes or of ISO 8601 text.

    Dates with a time zone are converted to UTC; those without are taken as they stand.

    Raises:
        DataError: a value is no date.
    """
    if pd.api.types.is_numeric_dtype(column.dtype) and column.notna().any():
        raise DataError(
            f"column {column.name!r} holds numbers, which are no dates: write them as ISO text (2024-02-29), "
            f"or name columns of year, month and day in data.dates"
        )
    if pd.api.types.is_datetime64_any_dtype(column.dtype):
        dates = pd.to_datetime(column, utc=True)
    else:
        values = column.astype(object).map(lambda value: value if isinstance(value, str | date) else None)
        dates = pd.to_datetime(values, format="ISO8601", utc=True, errors="coerce")
    bad = column[dates.isna() & column.notna() & (column != "")]
    if len(bad):
        raise DataError(
            f"column {column.name!r} must hold dates as ISO text (2024-02-29 or 2024-02-29T13:45), "
            f"but row {bad.index[0]} holds {bad.iloc[0]!r}: mend the row, or add the text to data.missing"
        )
    naive = dates.dt.tz_localize(None).astype("datetime64[us]")
    seconds: np.ndarray = naive.astype("int64").to_numpy() / 1e6
    seconds[naive.isna().to_numpy()] = np.nan
    return seconds
