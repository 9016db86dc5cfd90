"""Numbers: scaled, with the median in place of a missing value and a flag that says so."""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from ann.data.graph import GraphBuilder
from ann.data.kinds import COLUMN, PREFIX
from ann.errors import DataError

QUANTILES = 100
"""Steps of the distribution that `quantile` scaling learns."""


@dataclass(frozen=True)
class NumberStatistics:
    """x -> (x - shift) / scale, or where x lies among `edges`; `fill` in place of a missing value."""

    name: str
    double: bool
    fill: float
    shift: float
    scale: float
    flag: bool
    """Adds an is-missing column."""
    edges: tuple[float, ...] = ()
    """Different quantiles of the training values, rising; empty unless the scaling is `quantile`."""
    shares: tuple[float, ...] = ()
    """Share of the training values up to each edge."""

    @property
    def width(self) -> int:
        """Columns that it becomes."""
        return 1 + self.flag


def fit_number(column: pd.Series, name: str, *, scaling: str, double: bool) -> NumberStatistics:
    """Learn fill and scaling from training rows: `standard`, `minmax` or `quantile`.

    Raises:
        DataError: the column has no value at all, or an infinite one.
    """
    values = column.to_numpy(dtype=np.float64, na_value=np.nan)
    known = values[~np.isnan(values)]
    if not len(known):
        raise DataError(f"column {name!r} has no value in the training rows: give it the role `drop`")
    if np.isinf(known).any():
        raise DataError(f"column {name!r} holds an infinite number: mend the row, or give the column the role `drop`")
    fill = float(np.median(known))
    filled = np.where(np.isnan(values), fill, values)
    flag = len(known) < len(values)
    if filled.min() == filled.max():  # a deviation of rounding errors would blow up the first other value
        return NumberStatistics(name, double, fill, float(filled[0]), 1.0, flag)
    if scaling == "quantile":
        return NumberStatistics(name, double, fill, 0.0, 1.0, flag, *_distribution(filled, double))
    shift, scale = (filled.mean(), filled.std()) if scaling == "standard" else (filled.min(), np.ptp(filled))
    return NumberStatistics(name, double, fill, float(shift), float(scale), flag)


def _distribution(values: np.ndarray, double: bool) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Return different quantiles and the share of values up to each, as the graph's type holds them."""
    shares = np.linspace(0, 1, QUANTILES + 1)
    found = np.quantile(values, shares)
    found = found if double else found.astype(np.float32).astype(np.float64)
    edges, first = np.unique(found, return_index=True)
    last = len(found) - 1 - np.unique(found[::-1], return_index=True)[1]
    middle = (shares[first] + shares[last]) / 2  # values that fill several steps stand in their middle
    middle[0], middle[-1] = 0.0, 1.0
    return tuple(map(float, edges)), tuple(map(float, middle))


def number_nodes(builder: GraphBuilder, number: int, column: NumberStatistics) -> tuple[str, str | None]:
    """Append the nodes of one numeric column; return its (N, 1) value and its (N, 1) flag."""
    dtype = np.float64 if column.double else np.float32
    raw = builder.input(column.name, dtype, ["N"])
    values = builder.op("Reshape", raw, COLUMN)
    is_missing = builder.op("IsNaN", values)
    fill = builder.constant(f"{PREFIX}fill_{number}", np.array(column.fill, dtype))
    filled = builder.op("Where", is_missing, fill, values)
    scaled = (_uniform if column.edges else _linear)(builder, number, column, filled)
    if column.double:
        scaled = builder.cast(scaled, np.float32)
    return scaled, builder.cast(is_missing, np.float32) if column.flag else None


def _linear(builder: GraphBuilder, number: int, column: NumberStatistics, values: str) -> str:
    dtype = np.float64 if column.double else np.float32
    shift = builder.constant(f"{PREFIX}shift_{number}", np.array(column.shift, dtype))
    scale = builder.constant(f"{PREFIX}scale_{number}", np.array(column.scale, dtype))
    return builder.op("Div", builder.op("Sub", values, shift), scale)


def _uniform(builder: GraphBuilder, number: int, column: NumberStatistics, values: str) -> str:
    """Append the piecewise-linear distribution: the sum over steps of the share of the step that is passed."""
    dtype = np.float64 if column.double else np.float32
    edges, shares = np.array(column.edges, dtype), np.array(column.shares)
    left = builder.constant(f"{PREFIX}left_{number}", edges[:-1])
    width = builder.constant(f"{PREFIX}width_{number}", np.diff(edges))
    rise = builder.constant(f"{PREFIX}rise_{number}", np.diff(shares).astype(dtype).reshape(-1, 1))
    zero = builder.constant(f"{PREFIX}zero_{number}", np.array(0, dtype))
    one = builder.constant(f"{PREFIX}one_{number}", np.array(1, dtype))
    passed = builder.op("Clip", builder.op("Div", builder.op("Sub", values, left), width), zero, one)
    return builder.op("MatMul", passed, rise)
