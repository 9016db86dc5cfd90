"""Categories: ids for embeddings, or one column a level."""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from ann.data.graph import GraphBuilder
from ann.data.kinds import COLUMN, PREFIX
from ann.data.task import category_text

UNKNOWN, MISSING, FIRST_LEVEL = 0, 1, 2
"""Ids of a category that training rows never showed, of a missing one, and of the first known level."""


@dataclass(frozen=True)
class CategoryStatistics:
    """Level i of `levels` gets id i + FIRST_LEVEL."""

    name: str
    levels: tuple[str, ...]

    @property
    def size(self) -> int:
        """Number of ids, the two reserved ones included."""
        return len(self.levels) + FIRST_LEVEL


def fit_category(column: pd.Series, name: str, *, min_count: int, missing: tuple[str, ...]) -> CategoryStatistics:
    """Learn the levels that stand in at least `min_count` training rows."""
    text = pd.Series(category_text(column))
    counts = text[~text.isin([*missing, ""])].value_counts()
    return CategoryStatistics(name, tuple(sorted(counts.index[counts >= min_count])))


def category_nodes(builder: GraphBuilder, number: int, column: CategoryStatistics, missing: tuple[str, ...]) -> str:
    """Append the nodes of one category column; return its (N, 1) ids."""
    markers = sorted({"", *missing})
    raw = builder.input(column.name, object, ["N"])
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


def one_hot_nodes(builder: GraphBuilder, number: int, column: CategoryStatistics, ids: str) -> str:
    """Append the nodes that turn (N, 1) ids into (N, size) float32 zeros and a one."""
    flat = builder.op("Reshape", ids, builder.constant(f"{PREFIX}flat_{number}", np.array([-1], np.int64)))
    depth = builder.constant(f"{PREFIX}depth_{number}", np.array(column.size, np.int64))
    values = builder.constant(f"{PREFIX}off_on_{number}", np.array([0, 1], np.float32))
    return builder.op("OneHot", flat, depth, values)
