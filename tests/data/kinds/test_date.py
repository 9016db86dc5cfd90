"""Dates in the graph against NumPy, datetime and pandas."""

import datetime as dt

import numpy as np
import onnxruntime as ort
import pandas as pd
import pytest

from ann.data.graph import GraphBuilder
from ann.data.kinds import COLUMN
from ann.data.kinds.date import (
    DAY,
    WEEK,
    YEAR,
    DateStatistics,
    date_from_parts_nodes,
    date_nodes,
    fit_date,
    seconds_of,
)
from ann.errors import DataError

HOURLY = pd.Series(pd.date_range("2023-02-03 05:00", periods=9000, freq="7h"))


def session(builder: GraphBuilder, value: str, dtype: type, shape: list) -> ort.InferenceSession:
    builder.constant(COLUMN, np.array([-1, 1]))
    builder.output(value, dtype, shape)
    return ort.InferenceSession(builder.model().SerializeToString(), providers=["CPUExecutionProvider"])


def prepare(statistics: DateStatistics, seconds: np.ndarray) -> np.ndarray:
    builder = GraphBuilder("ann:prepare")
    return session(builder, date_nodes(builder, statistics), np.float32, ["N", statistics.width]).run(
        None, {statistics.name: seconds}
    )[0]


def from_parts(*parts, names=("year", "month", "day", "hour")) -> np.ndarray:
    builder = GraphBuilder("ann:prepare")
    names = names[: len(parts)]
    inputs = {name: np.array(part, dtype=np.float32) for name, part in zip(names, parts, strict=True)}
    return session(builder, date_from_parts_nodes(builder, names), np.float64, ["N"]).run(None, inputs)[0]


@pytest.mark.parametrize("rows", [1, 3, 64])
def test_a_date_becomes_phases_of_its_periods_and_a_standardised_number(rows):
    seconds = seconds_of(HOURLY)
    statistics = fit_date(seconds, "when")
    assert statistics.periods == (DAY, WEEK, YEAR)
    angles = 2 * np.pi * seconds[:rows, None] / np.array([86400, 7 * 86400, 365.2425 * 86400])
    trend = (seconds[:rows, None] - seconds.mean()) / seconds.std()
    expected = np.hstack([np.sin(angles), np.cos(angles), trend])
    np.testing.assert_allclose(prepare(statistics, seconds[:rows]), expected, atol=1e-6)


def test_the_same_hour_of_all_days_has_one_phase_to_the_last_digit_of_float32():
    found = prepare(fit_date(seconds_of(HOURLY), "when"), np.array([0.5, 7000.5, 20_000.5]) * DAY + 1.0)
    np.testing.assert_allclose(found[:, 0], np.sin(np.pi + 2 * np.pi / DAY), atol=1e-7)


def test_only_periods_that_the_dates_resolve_are_read():
    start = pd.Timestamp("2024-01-01")
    periods = {
        "daily for a year": pd.date_range(start, periods=400),
        "hours of one day": pd.date_range(start, periods=20, freq="h"),
        "six days": pd.date_range(start, periods=6),
        "eight days": pd.date_range(start, periods=8),
        "Mondays of a quarter": pd.date_range(start, periods=12, freq="7D"),
        "Mondays of a year at noon": pd.date_range(start + pd.Timedelta("12h"), periods=52, freq="7D"),
        "one day": pd.DatetimeIndex([start, start]),
    }
    found = {name: fit_date(seconds_of(pd.Series(dates)), "when").periods for name, dates in periods.items()}
    assert found == {
        "daily for a year": (WEEK, YEAR),
        "hours of one day": (DAY,),
        "six days": (),
        "eight days": (WEEK,),
        "Mondays of a quarter": (),
        "Mondays of a year at noon": (YEAR,),
        "one day": (),
    }


def test_missing_dates_are_filled_with_the_median_and_flagged():
    train = np.array([10.0, 20.0, 90.0, np.nan]) * DAY
    statistics = fit_date(train, "when")
    found = prepare(statistics, np.array([np.nan, 20 * DAY]))
    assert statistics.width == found.shape[1] == 4  # a week's sin and cos, the trend, the flag
    np.testing.assert_array_equal(found[0, :-1], found[1, :-1])
    assert found[:, -1].tolist() == [1, 0]


def test_a_date_without_missing_training_values_has_no_flag_and_still_takes_missing_ones():
    found = prepare(fit_date(np.array([1.0, 2.0, 9.0]), "when"), np.array([np.nan, 2.0]))
    assert found.shape == (2, 3)
    np.testing.assert_array_equal(found[0], found[1])


def test_a_constant_date_becomes_zero():
    assert prepare(fit_date(np.full(1000, 1.7e9), "when"), np.array([1.7e9, 1.7e9 + 1])).tolist() == [[0], [1]]


def test_seconds_apart_today_stay_apart():
    seconds = 1.7e9 + np.arange(4.0)
    found = prepare(fit_date(seconds, "when"), seconds)[:, -1]
    np.testing.assert_allclose(found, (seconds - seconds.mean()) / seconds.std(), rtol=1e-6)


@pytest.mark.parametrize(("values", "message"), [([np.nan], "no value"), ([1.0, np.inf], "infinite")])
def test_dates_that_cannot_be_scaled_are_refused(values, message):
    with pytest.raises(DataError, match=f"'when' .*{message}"):
        fit_date(np.array(values), "when")


def test_all_days_of_two_centuries_are_counted_as_the_calendar_does():
    days = pd.date_range("1900-01-01", "2100-12-31")
    found = from_parts(days.year, days.month, days.day)
    np.testing.assert_array_equal(found, (days - pd.Timestamp("1970-01-01")) / pd.Timedelta("1s"))


@pytest.mark.parametrize("rows", [1, 3, 64])
def test_hours_are_added(rows):
    times = pd.date_range("2024-02-28 20:00", periods=rows, freq="5h")
    found = from_parts(times.year, times.month, times.day, times.hour)
    assert found.tolist() == [time.replace(tzinfo=dt.UTC).timestamp() for time in times.to_pydatetime()]


def test_dates_that_no_calendar_has_are_missing():
    candidates = [(year, month, day) for year in (1900, 2000, 2023, 2024) for month in range(15) for day in range(34)]
    found = from_parts(*np.array(candidates).T)
    expected = [_seconds(*candidate) for candidate in candidates]
    np.testing.assert_array_equal(found, expected)


def _seconds(*parts: int) -> float:
    try:
        return dt.datetime(*parts, tzinfo=dt.UTC).timestamp()
    except ValueError:
        return np.nan


def test_missing_or_broken_parts_make_a_date_missing():
    rows = np.tile([2024.0, 2, 29, 23], (6, 1))
    rows[[0, 1, 2, 3], [0, 1, 2, 3]] = np.nan
    rows[4, 1], rows[5, 3] = 2.5, 24
    assert np.isnan(from_parts(*rows.T)).all()


def test_a_date_in_parts_goes_on_as_any_other_date():
    days = pd.date_range("2023-01-01", periods=300)
    seconds = seconds_of(pd.Series(days))
    statistics = fit_date(seconds, "when")
    builder = GraphBuilder("ann:prepare")
    value = date_nodes(builder, statistics, date_from_parts_nodes(builder, tuple("ymd")))
    inputs = {
        name: np.array(part, np.float32) for name, part in zip("ymd", (days.year, days.month, days.day), strict=True)
    }
    found = session(builder, value, np.float32, ["N", statistics.width]).run(None, inputs)[0]
    np.testing.assert_array_equal(found, prepare(statistics, seconds))


@pytest.mark.parametrize("unit", ["s", "ms", "us", "ns"])
def test_seconds_of_datetimes_do_not_depend_on_their_unit(unit):
    column = pd.Series(np.array(["1969-12-31T23:59:59", "NaT", "2024-02-29"], dtype=f"datetime64[{unit}]"))
    np.testing.assert_array_equal(seconds_of(column), [-1.0, np.nan, 1_709_164_800.0])


def test_dates_with_a_zone_are_converted_to_utc():
    column = pd.Series(pd.to_datetime(["2024-07-01 02:00", "2024-01-01 01:00"]).tz_localize("Europe/Berlin"))
    expected = [dt.datetime(2024, 7, 1, tzinfo=dt.UTC).timestamp(), dt.datetime(2024, 1, 1, tzinfo=dt.UTC).timestamp()]
    assert seconds_of(column).tolist() == expected


@pytest.mark.parametrize("dtype", ["str", object, "category"])
def test_iso_text_is_read_with_and_without_times_and_zones(dtype):
    values = ["1970-01-02", "1970-01-01 00:01", "1970-01-01T00:00:01.5", "1970-01-01T01:00:00+01:00", None]
    np.testing.assert_array_equal(seconds_of(pd.Series(values, dtype=dtype)), [86_400, 60, 1.5, 0, np.nan])


def test_empty_text_and_columns_without_any_date_are_missing():
    assert np.isnan(seconds_of(pd.Series(["", None]))).all()
    assert np.isnan(seconds_of(pd.Series([np.nan, np.nan]))).all()
    assert len(seconds_of(pd.Series([], dtype="str"))) == 0


def test_python_dates_are_read():
    column = pd.Series([dt.date(1970, 1, 2), dt.datetime(1970, 1, 1, 1), None], dtype=object)
    np.testing.assert_array_equal(seconds_of(column), [86_400, 3600, np.nan])


@pytest.mark.parametrize("bad", ["soon", "2023-02-29", "29.02.2024", 5])
def test_what_is_no_date_is_refused_with_its_row(bad):
    with pytest.raises(DataError, match=f"'when' must hold dates as ISO text .* row 1 holds {bad!r}"):
        seconds_of(pd.Series(["2024-02-29", bad], dtype=object, name="when"))


def test_numbers_are_no_dates():
    with pytest.raises(DataError, match=r"'when' holds numbers, which are no dates: .* data\.dates"):
        seconds_of(pd.Series([20240229], name="when"))
