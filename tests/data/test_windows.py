"""A series as windows: where they begin, that they are views of it, and times that rise by equal steps."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from ann.artifacts import save_arrays
from ann.config.data import Windows
from ann.data.schema import Feature, Schema
from ann.data.target import Target, classification
from ann.data.windows import (
    load_part,
    naive_errors,
    naive_forecast,
    require_even_times,
    stored_truth,
    target_channels,
    window_starts,
)
from ann.errors import DataError

CHANNELS = ("load", "heat", "wind")
RANDOM = np.random.default_rng(0)


def schema(length: int = 5, horizon: int = 3, names: tuple[str, ...] = CHANNELS, time: str | None = None) -> Schema:
    return Schema(
        features=(Feature("series", "series", columns=CHANNELS),),
        target=Target("forecast", names, horizon=horizon),
        slices=(),
        dropped=(),
        sensitive=(),
        missing=("",),
        time=time,
        windows=Windows(length=length, horizon=horizon),
    )


@pytest.mark.parametrize("stride", [1, 2, 7])
@pytest.mark.parametrize(("length", "horizon"), [(2, 1), (5, 3), (12, 4)])
def test_windows_are_all_that_predict_within_their_part(length: int, horizon: int, stride: int) -> None:
    blocks = {"train": np.arange(40), "valid": np.arange(40, 55), "test": np.arange(55, 80)}
    starts = window_starts(blocks, Windows(length=length, horizon=horizon, stride=stride))
    for name, times in blocks.items():
        fitting = [
            start
            for start in range(80)
            if all(start + length + h in times for h in range(horizon)) and start + length + horizon <= 80
        ]
        assert starts[name].tolist() == fitting[:: stride if name == "train" else 1], name


def test_no_time_that_a_part_predicts_is_predicted_in_another() -> None:
    blocks = {"train": np.arange(40), "valid": np.arange(40, 55), "test": np.arange(55, 80)}
    starts = window_starts(blocks, Windows(length=5, horizon=3))
    predicted = {name: {start + 5 + h for start in rows for h in range(3)} for name, rows in starts.items()}
    assert predicted == {"train": set(range(5, 40)), "valid": set(range(40, 55)), "test": set(range(55, 80))}


@pytest.mark.parametrize(("name", "start", "rows"), [("train", 0, 7), ("valid", 30, 2), ("test", 50, 1)])
def test_a_part_too_short_for_a_window_is_named_with_the_way_out(name: str, start: int, rows: int) -> None:
    with pytest.raises(DataError) as caught:
        window_starts({name: np.arange(start, start + rows)}, Windows(length=5, horizon=3))
    assert str(caught.value) == (
        f"data.windows: the {name} part has {rows} rows, too few to read 5 and predict 3: "
        f"shorten data.windows, or give it a larger share in prepare.split"
    )


def test_the_shortest_part_has_one_window() -> None:
    starts = window_starts({"train": np.arange(8), "valid": np.arange(8, 11)}, Windows(length=5, horizon=3))
    assert {name: rows.tolist() for name, rows in starts.items()} == {"train": [0], "valid": [3]}


def saved(folder: Path, rows: np.ndarray, length: int = 5, horizon: int = 3) -> np.ndarray:
    """Write the stretch that the windows beginning at `rows` of a long series read or predict; return that series."""
    series = RANDOM.normal(size=(100, 3)).astype(np.float32)
    stretch = series[rows[0] : rows[-1] + length + horizon]
    save_arrays(folder, {"series": stretch, "rows": rows})
    return series


@pytest.mark.parametrize("rows", [np.arange(20, 61), np.arange(10, 60, 4), np.array([33])], ids=["all", "some", "one"])
@pytest.mark.parametrize("names", [CHANNELS, ("wind",), ("wind", "load")], ids=" ".join)
def test_windows_equal_plain_slices(tmp_path: Path, rows: np.ndarray, names: tuple[str, ...]) -> None:
    series = saved(tmp_path / "train", rows)
    arrays = load_part(tmp_path / "train", schema(names=names))
    channels = [CHANNELS.index(name) for name in names]
    np.testing.assert_array_equal(arrays["series"], np.stack([series[row : row + 5] for row in rows]))
    np.testing.assert_array_equal(arrays["target"], np.stack([series[row + 5 : row + 8][:, channels] for row in rows]))
    np.testing.assert_array_equal(arrays["rows"], rows)


def test_a_time_is_held_once_however_many_windows_read_it(tmp_path: Path) -> None:
    saved(tmp_path / "train", np.arange(20, 61))
    arrays = load_part(tmp_path / "train", schema())
    assert np.shares_memory(arrays["series"], arrays["target"])
    for name in ("series", "target"):
        array = arrays[name]
        assert np.lib.array_utils.byte_bounds(array)[1] - np.lib.array_utils.byte_bounds(array)[0] <= 48 * 3 * 4
        assert array.nbytes > 48 * 3 * 4


def test_an_array_of_rows_is_loaded_as_it_is(tmp_path: Path) -> None:
    arrays = {"numeric": np.ones((4, 2), np.float32), "target": np.array([0, 1, 1, 0])}
    save_arrays(tmp_path / "valid", arrays)
    plain = Schema((Feature("a", "number"),), classification(2), (), (), (), ("",))
    found = load_part(tmp_path / "valid", plain)
    assert found.keys() == arrays.keys()
    assert all(np.array_equal(found[name], arrays[name]) for name in arrays)
    np.testing.assert_array_equal(stored_truth(tmp_path / "valid", plain), arrays["target"])


def test_the_truth_of_windows_is_flat_time_by_time(tmp_path: Path) -> None:
    rows = np.arange(20, 30)
    series = saved(tmp_path / "test", rows)
    truth = stored_truth(tmp_path / "test", schema(names=("heat", "wind")))
    np.testing.assert_array_equal(truth, np.stack([series[row + 5 : row + 8, 1:].ravel() for row in rows]))


def test_predicted_channels_are_found_in_the_order_of_the_target() -> None:
    assert target_channels(schema(names=("wind", "load"))) == [2, 0]


def even(times: object) -> None:
    require_even_times(pd.DataFrame({"at": times}), schema(time="at"))


@pytest.mark.parametrize(
    "times",
    [
        np.arange(10),
        np.arange(10) * 0.1,
        pd.date_range("2024-01-01", periods=48, freq="h"),
        pd.date_range("2024-01-01", periods=48, freq="h").strftime("%Y-%m-%dT%H:%M"),
        pd.date_range("2023-01-01", periods=30, freq="MS"),
        pd.date_range("2023-01-01", periods=30, freq="ME"),
        pd.date_range("2020-01-01", periods=12, freq="QS"),
        pd.date_range("2019-01-01", periods=9, freq="YS"),
        pd.Timestamp("2024-01-01") + pd.to_timedelta((np.arange(20) * 20_000 / 3).round(), unit="ms"),
        [5],
    ],
    ids=["whole", "fractions", "hours", "texts", "months", "month ends", "quarters", "years", "rounded", "one"],
)
def test_equal_steps_are_accepted_also_of_months(times: object) -> None:
    even(times)


@pytest.mark.parametrize(
    ("times", "found"),
    [
        ([0, 1, 2, 4, 5], "row 3 holds 4 after 2"),
        (
            pd.date_range("2024-01-01", periods=24, freq="h").delete(7),
            "row 7 holds .* 08:00:00 after .* 06:00:00",
        ),
        (
            pd.date_range("2023-01-01", periods=12, freq="MS").delete(5),
            "row 5 holds 2023-07-01 .* after 2023-05-01 .*",
        ),
        (
            pd.date_range("2023-01-01", periods=12, freq="D").delete(5),
            "row 5 holds 2023-01-07 .* after 2023-01-05 .*",
        ),
        (np.arange(12.0) * 30 * 86_400 + 3e5 * (np.arange(12) % 2), "row 2 holds 5184000.0 after 2892000.0"),
    ],
    ids=["numbers", "hours", "months", "days", "numbers as long as months"],
)
def test_a_gap_is_named_with_the_way_out(times: object, found: str) -> None:
    way_out = "fill in the missing times, or give the column the role `drop`"
    with pytest.raises(DataError, match=f"time column 'at' must rise by equal steps; {found}: {way_out}"):
        even(times)


@pytest.mark.parametrize(
    ("times", "found"),
    [
        ([0, 1, 1, 2], "row 2 holds 1 after 1"),
        ([0, 1, 2, 1.5], "row 3 holds 1.5 after 2.0"),
        ([0, 1, None, 3], "row 2 holds nan after 1.0"),
        (["2024-01-02", "2024-01-01"], "row 1 holds 2024-01-01 after 2024-01-02"),
        ([None, 1, 2, 3], "row 1 holds 1.0 after nan"),
    ],
    ids=["doubled", "back", "missing", "dates", "missing first"],
)
def test_times_that_do_not_rise_are_named_with_the_way_out(times: object, found: str) -> None:
    way_out = "sort the rows and remove doubled times"
    with pytest.raises(DataError, match=f"time column 'at' must rise from row to row; {found}: {way_out}"):
        even(times)


def test_without_a_time_column_rows_are_taken_in_their_order() -> None:
    require_even_times(pd.DataFrame({"at": [3, 1, 1]}), schema())


@pytest.mark.parametrize("season", [1, 4])
def test_the_naive_error_is_that_of_saying_what_was_a_season_ago(season: int) -> None:
    series = RANDOM.normal(size=(30, 3)).astype(np.float32)
    expected = [
        np.mean([abs(float(series[t, c]) - float(series[t - season, c])) for t in range(season, 30)]) for c in (2, 0)
    ]
    np.testing.assert_allclose(naive_errors(series, [2, 0], season), expected, rtol=1e-12)


@pytest.mark.parametrize(("season", "horizon"), [(1, 4), (3, 4), (4, 3), (5, 12), (8, 8)])
def test_the_naive_forecast_repeats_the_last_season(season: int, horizon: int) -> None:
    windows = RANDOM.normal(size=(6, 8, 3)).astype(np.float32)
    found = naive_forecast(windows, [2, 0], season, horizon)
    assert found.shape == (6, horizon, 2)
    for h in range(horizon):
        np.testing.assert_array_equal(found[:, h], windows[:, 8 - season + h % season][:, [2, 0]])


def test_the_naive_forecast_of_a_periodic_series_is_exact() -> None:
    series = np.tile(RANDOM.normal(size=(4, 3)), (10, 1))
    assert naive_errors(series, [0, 1, 2], 4).max() == 0
    np.testing.assert_array_equal(naive_forecast(series[None, :13], [0, 1, 2], 4, 9)[0], series[13:22])
