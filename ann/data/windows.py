"""A series as overlapping examples, kept once and seen through windows.

T times, C channels; N windows read L times and predict H after them.
"""

from pathlib import Path

import numpy as np
import pandas as pd
from numpy.lib.stride_tricks import sliding_window_view

from ann.artifacts import load_arrays
from ann.config.data import Windows
from ann.data.kinds.date import seconds_of
from ann.data.schema import Schema
from ann.errors import DataError

STEP_TOLERANCE, MONTH_TOLERANCE = 1e-3, 0.12
"""Share of a step that times may be off, as rounded ones are; months and quarters differ in length."""
MONTH_S = 27 * 86_400


def window_starts(blocks: dict[str, np.ndarray], windows: Windows) -> dict[str, np.ndarray]:
    """Return where the windows of each part begin; `blocks` holds the times of each part, in order.

    What a window predicts lies within its part; what it reads may begin in the part before. Training windows begin
    every `stride` times, others at every time.

    Raises:
        DataError: a part is too short for a single window.
    """
    starts = {}
    for name, times in blocks.items():
        first = max(int(times[0]) - windows.length, 0)
        last = int(times[-1]) + 1 - windows.length - windows.horizon
        if last < first:
            raise DataError(
                f"data.windows: the {name} part has {len(times)} rows, too few to read {windows.length} and predict "
                f"{windows.horizon}: shorten data.windows, or give it a larger share in prepare.split"
            )
        starts[name] = np.arange(first, last + 1, windows.stride if name == "train" else 1)
    return starts


def load_part(folder: Path, schema: Schema) -> dict[str, np.ndarray]:
    """Return the arrays of train, valid or test by name; of a series `series` (N, L, C) and `target` (N, H, C').

    These two are views of one (T, C) array, so that a time is held once however many windows read it.
    """
    arrays = load_arrays(folder)
    if schema.windows is None:
        return arrays
    series, rows = arrays["series"], arrays["rows"]
    first, step = int(rows[0]), int(rows[1] - rows[0]) if len(rows) > 1 else 1
    whole = schema.windows.length + schema.windows.horizon
    views = sliding_window_view(series, whole, axis=0, writeable=True)[0 : int(rows[-1]) - first + 1 : step]
    views = views.transpose(0, 2, 1)
    predicted = target_channels(schema)
    behind = views[:, schema.windows.length :]
    # A few channels out of many cannot be a view, so they are copied; all of them in order can.
    target = behind if predicted == list(range(series.shape[1])) else np.ascontiguousarray(behind[:, :, predicted])
    return {**arrays, "series": views[:, : schema.windows.length], "target": target}


def stored_truth(folder: Path, schema: Schema) -> np.ndarray:
    """Return what answers about train, valid or test are compared with, as `Target.truth` gives it."""
    return schema.target.truth(load_part(folder, schema)["target"])


def require_even_times(table: pd.DataFrame, schema: Schema) -> None:
    """Raise DataError unless the time column, where there is one, rises by equal steps."""
    if schema.time is None or len(table) < 2:
        return
    column = table[schema.time]
    moments = column.to_numpy(np.float64) if pd.api.types.is_numeric_dtype(column.dtype) else seconds_of(column)
    steps = np.diff(moments)
    if np.isnan(moments).any() or (steps <= 0).any():
        row = int(np.flatnonzero(np.isnan(moments[1:]) | ~(steps > 0))[0]) + 1
        raise DataError(
            f"time column {schema.time!r} must rise from row to row; row {row} holds {column.iloc[row]} "
            f"after {column.iloc[row - 1]}: sort the rows and remove doubled times"
        )
    usual = float(np.median(steps))
    dates = not pd.api.types.is_numeric_dtype(column.dtype)
    tolerance = MONTH_TOLERANCE if dates and usual > MONTH_S else STEP_TOLERANCE
    if (uneven := np.flatnonzero(np.abs(steps - usual) > tolerance * usual)).size:
        row = int(uneven[0]) + 1
        raise DataError(
            f"time column {schema.time!r} must rise by equal steps; row {row} holds {column.iloc[row]} after "
            f"{column.iloc[row - 1]}: fill in the missing times, or give the column the role `drop`"
        )


def target_channels(schema: Schema) -> list[int]:
    """Return the places among the channels of those that are predicted."""
    [series] = schema.of_type("series")
    return [series.columns.index(name) for name in schema.target.names]


def naive_errors(series: np.ndarray, channels: list[int], season: int) -> np.ndarray:
    """Return (C',) mean absolute errors of saying what was a season ago, over a (T, C) series."""
    known = series[:, channels].astype(np.float64)
    errors: np.ndarray = np.abs(known[season:] - known[:-season]).mean(axis=0)
    return errors


def naive_forecast(series: np.ndarray, channels: list[int], season: int, horizon: int) -> np.ndarray:
    """Return (N, H, C') forecasts that repeat the last season of (N, L, C) windows."""
    ahead = np.arange(horizon) % season
    repeated: np.ndarray = series[:, series.shape[1] - season + ahead][:, :, channels]
    return repeated
