"""Fit the preparation on training rows and write it as an ONNX graph; that graph is also what prepares the data.

So what the network is served with is computed by the same nodes as what it was trained on.
"""

from dataclasses import dataclass

import numpy as np
import onnx
import onnxruntime as ort
import pandas as pd

from ann.config.stages import PrepareParams
from ann.data.graph import GraphBuilder
from ann.data.schema import Feature, Schema, category_text, graph_inputs
from ann.errors import DataError

UNKNOWN, MISSING, FIRST_LEVEL = 0, 1, 2
"""Ids of a category that training rows never showed, of a missing one, and of the first known level."""
ROWS_AT_ONCE = 65_536
PREFIX = "ann:prepare/"
COLUMN = f"{PREFIX}column"
"""The shape (N, 1), as Reshape takes it."""


@dataclass(frozen=True)
class NumberStatistics:
    """x -> (x - shift) / scale, with `fill` in place of a missing value; `flag` adds an is-missing column."""

    feature: Feature
    fill: float
    shift: float
    scale: float
    flag: bool


@dataclass(frozen=True)
class CategoryStatistics:
    """Level i of `levels` gets id i + FIRST_LEVEL."""

    feature: Feature
    levels: tuple[str, ...]

    @property
    def size(self) -> int:
        """Number of ids, the two reserved ones included."""
        return len(self.levels) + FIRST_LEVEL


@dataclass(frozen=True)
class Statistics:
    """All that preparation learns from training rows."""

    numbers: tuple[NumberStatistics, ...]
    categories: tuple[CategoryStatistics, ...]

    @property
    def width(self) -> int:
        """Columns of the group `numeric`: values, then is-missing flags."""
        return len(self.numbers) + sum(column.flag for column in self.numbers)

    @property
    def sizes(self) -> list[int]:
        """Number of ids of each column of the group `categorical`."""
        return [column.size for column in self.categories]


def fit_statistics(train: pd.DataFrame, schema: Schema, prepare: PrepareParams) -> Statistics:
    """Learn fills, scales and levels from training rows alone.

    Raises:
        DataError: a numeric column has no value at all, or an infinite one.
    """
    return Statistics(
        tuple(_fit_number(train[feature.name], feature, prepare.numbers) for feature in schema.numbers),
        tuple(
            _fit_category(train[feature.name], feature, prepare.min_count, schema.missing)
            for feature in schema.categories
        ),
    )


def _fit_number(column: pd.Series, feature: Feature, scaling: str) -> NumberStatistics:
    values = column.to_numpy(dtype=np.float64, na_value=np.nan)
    known = values[~np.isnan(values)]
    if not len(known):
        raise DataError(f"column {feature.name!r} has no value in the training rows: give it the role `drop`")
    if np.isinf(known).any():
        raise DataError(
            f"column {feature.name!r} holds an infinite number: mend the row, or give the column the role `drop`"
        )
    fill = float(np.median(known))
    filled = np.where(np.isnan(values), fill, values)
    if filled.min() == filled.max():  # a deviation of rounding errors would blow up the first other value
        shift, scale = filled[0], 1.0
    else:
        shift, scale = (filled.mean(), filled.std()) if scaling == "standard" else (filled.min(), np.ptp(filled))
    return NumberStatistics(feature, fill, float(shift), float(scale), flag=len(known) < len(values))


def _fit_category(column: pd.Series, feature: Feature, min_count: int, missing: tuple[str, ...]) -> CategoryStatistics:
    text = pd.Series(category_text(column))
    counts = text[~text.isin([*missing, ""])].value_counts()
    return CategoryStatistics(feature, tuple(sorted(counts.index[counts >= min_count])))


def preparation_graph(statistics: Statistics, missing: tuple[str, ...]) -> onnx.ModelProto:
    """Write the graph: one (N,) input a feature -> `numeric` (N, F) float32 and `categorical` (N, C) int64.

    Its own names begin with PREFIX, since a column may have any other.
    """
    builder = GraphBuilder(PREFIX.removesuffix("/"))
    builder.constant(COLUMN, np.array([-1, 1], dtype=np.int64))
    if statistics.numbers:
        values = [_number_nodes(builder, number, column) for number, column in enumerate(statistics.numbers)]
        flags = [flag for _, flag in values if flag]
        builder.op("Concat", *[value for value, _ in values], *flags, axis=1, output=f"{PREFIX}numeric")
        builder.output(f"{PREFIX}numeric", np.float32, ["N", statistics.width])
    if statistics.categories:
        markers = sorted({"", *missing})
        ids = [_category_nodes(builder, number, column, markers) for number, column in enumerate(statistics.categories)]
        builder.op("Concat", *ids, axis=1, output=f"{PREFIX}categorical")
        builder.output(f"{PREFIX}categorical", np.int64, ["N", len(ids)])
    return builder.model()


def _number_nodes(builder: GraphBuilder, number: int, column: NumberStatistics) -> tuple[str, str | None]:
    """Append the nodes of one numeric column; return its (N, 1) value and its (N, 1) flag."""
    dtype = np.float64 if column.feature.double else np.float32
    raw = builder.input(column.feature.name, dtype, ["N"])
    values = builder.op("Reshape", raw, COLUMN)
    is_missing = builder.op("IsNaN", values)
    fill = builder.constant(f"{PREFIX}fill_{number}", np.array(column.fill, dtype))
    shift = builder.constant(f"{PREFIX}shift_{number}", np.array(column.shift, dtype))
    scale = builder.constant(f"{PREFIX}scale_{number}", np.array(column.scale, dtype))
    filled = builder.op("Where", is_missing, fill, values)
    scaled = builder.op("Div", builder.op("Sub", filled, shift), scale)
    if column.feature.double:
        scaled = builder.cast(scaled, np.float32)
    return scaled, builder.cast(is_missing, np.float32) if column.flag else None


def _category_nodes(builder: GraphBuilder, number: int, column: CategoryStatistics, markers: list[str]) -> str:
    """Append the nodes of one category column; return its (N, 1) ids."""
    raw = builder.input(column.feature.name, object, ["N"])
    values = builder.op("Reshape", raw, COLUMN)
    return builder.op(
        "LabelEncoder",
        values,
        domain="ai.onnx.ml",
        output=f"{PREFIX}ids_{number}",
        keys_strings=[*markers, *column.levels],
        values_int64s=[MISSING] * len(markers) + list(range(FIRST_LEVEL, column.size)),
        default_int64=UNKNOWN,
    )


def run_preparation(graph: onnx.ModelProto, table: pd.DataFrame, schema: Schema) -> dict[str, np.ndarray]:
    """Send rows through the graph; return its outputs by group, N rows each."""
    session = ort.InferenceSession(graph.SerializeToString(), providers=["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]
    chunks = [
        session.run(names, graph_inputs(table.iloc[start : start + ROWS_AT_ONCE], schema.features))
        for start in range(0, len(table), ROWS_AT_ONCE)
    ]
    return {name.removeprefix(PREFIX): np.concatenate([chunk[i] for chunk in chunks]) for i, name in enumerate(names)}
