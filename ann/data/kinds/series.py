"""Series: every channel standardised, the mean in place of a missing value."""

from dataclasses import dataclass

import numpy as np

from ann.data.graph import GraphBuilder
from ann.data.kinds import PREFIX
from ann.errors import DataError


@dataclass(frozen=True)
class SeriesStatistics:
    """x -> (x - shift) / scale, channel by channel."""

    name: str
    columns: tuple[str, ...]
    shift: tuple[float, ...]
    scale: tuple[float, ...]


def fit_series(values: np.ndarray, name: str, columns: tuple[str, ...]) -> SeriesStatistics:
    """Learn mean and deviation of each channel from (T, C) training times.

    Raises:
        DataError: a channel has no value at all, or an infinite one.
    """
    for number, column in enumerate(columns):
        if np.isnan(values[:, number]).all():
            raise DataError(f"column {column!r} has no value in the training rows: give it the role `drop`")
        if np.isinf(values[:, number]).any():
            raise DataError(f"column {column!r} holds an infinite number: mend the row, or give it the role `drop`")
    varies = np.nanmin(values, axis=0) < np.nanmax(values, axis=0)  # rounding gives a constant a deviation, too
    scale = np.where(varies, np.nanstd(values, axis=0), 1.0)
    return SeriesStatistics(name, columns, tuple(map(float, np.nanmean(values, axis=0))), tuple(map(float, scale)))


def series_nodes(builder: GraphBuilder, statistics: SeriesStatistics) -> str:
    """Append the nodes of a series; return (N, L, C) float32."""
    raw = builder.input(statistics.name, np.float32, ["N", "L", len(statistics.columns)])
    shift = builder.constant(f"{PREFIX}series_shift", np.array(statistics.shift, np.float32))
    scale = builder.constant(f"{PREFIX}series_scale", np.array(statistics.scale, np.float32))
    filled = builder.op("Where", builder.op("IsNaN", raw), shift, raw)
    return builder.op("Div", builder.op("Sub", filled, shift), scale)
