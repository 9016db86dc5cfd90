"""Propose a suite of expectations from a table that is believed to be good.

The suite is a file that people review and edit: each entry is a Great Expectations type with its arguments and a level.
`error` stops the pipeline, `warning` is reported.
"""

import math
from typing import Any

import pandas as pd

from ann.data.schema import Schema

MAX_LISTED_LEVELS = 100
"""A category with more levels is checked by their number alone."""
RANGE_MARGIN = 0.25
"""Share of the range (max - min) that new values may lie outside, as errors; whole numbers round outwards."""
QUANTILES = [0.05, 0.25, 0.5, 0.75, 0.95]
QUANTILE_MARGIN = 0.15
"""Standard deviations by which a quantile may move."""
NULL_MARGIN = 0.02
DUPLICATE_MARGIN = 0.01
DIVERGENCE = 0.1
"""Greatest Kullback-Leibler divergence [nats] of a category's shares, the target's among them."""
ROW_SHARE = 0.5
ID_ROWS = 100
"""Rows from which on a column without any repetition is taken for an id; measured fractions never are."""

Entry = dict[str, Any]


def propose_suite(table: pd.DataFrame, schema: Schema) -> list[Entry]:
    """Return entries {type, level, kwargs} for every column that is not dropped, and for the table."""
    dropped = set(schema.dropped)
    entries = _table_expectations(table)
    for name in table.columns:
        entries += _presence(table[name], schema)
        if name in dropped:
            continue
        numeric = pd.api.types.is_numeric_dtype(table[name].dtype) and not pd.api.types.is_bool_dtype(table[name].dtype)
        labels = name in schema.target.names and not schema.target.has_numbers
        entries += _number_expectations(table[name]) if numeric and not labels else _category_expectations(table[name])
    return entries


def _table_expectations(table: pd.DataFrame) -> list[Entry]:
    copies = float(table.duplicated(keep=False).mean())
    return [
        _entry("expect_table_columns_to_match_ordered_list", column_list=list(table.columns)),
        _entry("expect_table_row_count_to_be_between", min_value=math.ceil(len(table) * ROW_SHARE)),
        _entry(
            "expect_compound_columns_to_be_unique",
            column_list=list(table.columns),
            ignore_row_if="never",
            mostly=_floor(max(0.0, 1 - copies - DUPLICATE_MARGIN)),
        ),
    ]


def _presence(column: pd.Series, schema: Schema) -> list[Entry]:
    known = float(column.notna().mean())
    mostly = 1.0 if known == 1 or column.name in schema.target.names else _floor(max(0.0, known - NULL_MARGIN))
    name = str(column.name)
    entries = [_entry("expect_column_values_to_not_be_null", column=name, mostly=mostly)]
    if column.nunique() > 1:
        entries.append(_entry("expect_column_unique_value_count_to_be_between", column=name, min_value=2))
    if column.is_unique and len(column) >= ID_ROWS and not pd.api.types.is_float_dtype(column.dtype):
        entries.append(_entry("expect_column_values_to_be_unique", "warning", column=name))
    return entries


def _number_expectations(column: pd.Series) -> list[Entry]:
    name, dtype = str(column.name), str(column.dtype).lower()  # Int64 is told as int64
    if column.isna().all():
        return []
    low, high = float(column.min()), float(column.max())
    margin = RANGE_MARGIN * (high - low)
    floor = low if low >= 0 and low - margin < 0 else low - margin  # what was never negative should stay so
    bounds = (math.floor(floor), math.ceil(high + margin)) if dtype.startswith("int") else (floor, high + margin)
    entries = [
        _entry("expect_column_values_to_be_of_type", column=name, type_=dtype),
        _entry("expect_column_values_to_be_between", column=name, min_value=bounds[0], max_value=bounds[1]),
    ]
    if column.nunique() > 1:
        moved = QUANTILE_MARGIN * float(column.std())
        values = [float(value) for value in column.quantile(QUANTILES, interpolation="nearest")]
        entries.append(
            _entry(
                "expect_column_quantile_values_to_be_between",
                column=name,
                quantile_ranges={
                    "quantiles": QUANTILES,
                    "value_ranges": [[_round(value - moved), _round(value + moved)] for value in values],
                },
            )
        )
    return entries


def _category_expectations(column: pd.Series) -> list[Entry]:
    name = str(column.name)
    if isinstance(column.dtype, pd.DatetimeTZDtype):
        return []  # Great Expectations knows no type with a time zone
    if pd.api.types.is_datetime64_any_dtype(column.dtype):
        return [_entry("expect_column_values_to_be_of_type", column=name, type_=str(column.dtype))]
    shares = column.dropna().value_counts(normalize=True).sort_index()
    entries = []
    if isinstance(column.dtype, pd.StringDtype) or column.dtype == object:
        entries.append(_entry("expect_column_values_to_be_of_type", column=name, type_="str"))
    if len(shares) > MAX_LISTED_LEVELS:
        return [
            *entries,
            _entry("expect_column_unique_value_count_to_be_between", "warning", column=name, max_value=2 * len(shares)),
        ]
    levels = [value.item() if hasattr(value, "item") else value for value in shares.index]
    entries.append(_entry("expect_column_values_to_be_in_set", column=name, value_set=levels))
    if len(levels) > 1:
        weights = [round(float(share), 6) for share in shares]
        entries.append(
            _entry(
                "expect_column_kl_divergence_to_be_less_than",
                column=name,
                partition_object={"values": levels, "weights": [weight / sum(weights) for weight in weights]},
                threshold=DIVERGENCE,
            )
        )
    return entries


def _entry(kind: str, level: str = "error", **kwargs: Any) -> Entry:
    return {"type": kind, "level": level, "kwargs": kwargs}


def _floor(share: float) -> float:
    return math.floor(share * 1000) / 1000


def _round(value: float) -> float:
    return float(f"{value:.6g}")
