"""What `ann data schema` prints: each column's role and type, and what makes it so."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from rich.markup import escape

from ann.config.data import DataParams
from ann.data.schema import Schema, infer_feature
from ann.report.terminal import console, table

EXAMPLE_WIDTH = 28
HIDDEN = "***"


@dataclass(frozen=True)
class ColumnFact:
    """One column as it was read."""

    name: str
    role: str
    type: str
    missing: float
    """Share of the rows without a value."""
    distinct: int
    example: str


def column_facts(frame: pd.DataFrame, schema: Schema, data: DataParams) -> list[ColumnFact]:
    """Return every column in the file's order; values of sensitive ones are hidden."""
    return [_fact(frame[name], str(name), schema, data) for name in frame.columns]


def print_schema(facts: list[ColumnFact], schema: Schema, rows: int) -> None:
    """Print the columns, the task and why it is this one."""
    out = console()
    found = table(f"{rows:,} rows", "column", "role", "type", "missing", "different", "for instance")
    for fact in facts:
        share = f"{fact.missing:.1%}" if fact.missing else ""
        found.add_row(escape(fact.name), fact.role, fact.type, share, f"{fact.distinct:,}", escape(fact.example))
    out.print(found)
    target = schema.target
    shown = () if set(target.names) & set(schema.sensitive) else target.classes
    classes = f": {', '.join(shown[:10])}{', ...' if len(shown) > 10 else ''}" if shown else ""
    out.print(f"\n[bold]Task[/]  {escape(f'{target.task}{classes}, since {target.reason}')}", soft_wrap=True)
    out.print(
        "Correct a column in params.yaml under data.columns; `ann data schema --write` writes these there.",
        soft_wrap=True,
        markup=False,
    )


def corrections(facts: list[ColumnFact]) -> dict[str, dict[str, str]]:
    """Return role and type of each column but the targets, as `data.columns` holds them."""
    return {fact.name: {"role": fact.role, "type": fact.type} for fact in facts if fact.role != "target"}


def _fact(column: pd.Series, name: str, schema: Schema, data: DataParams) -> ColumnFact:
    known = column.dropna()
    plain = known.map(lambda cell: isinstance(cell, str | int | float | bool | np.generic)).all()
    example = _shown(known.iloc[0]) if len(known) else ""
    return ColumnFact(
        name=name,
        role=_role(name, schema, data),
        type=infer_feature(column, name, data).type,
        missing=float(column.isna().mean()),
        distinct=int(known.nunique()) if plain or pd.api.types.is_datetime64_any_dtype(column.dtype) else len(known),
        example=HIDDEN if name in schema.sensitive else example,
    )


def _shown(cell: Any) -> str:
    """Return a value on one short line; of files the name, of contents and arrays the size."""
    if isinstance(cell, Path):
        return cell.name
    if isinstance(cell, bytes):
        return f"{len(cell):,} bytes"
    if isinstance(cell, np.ndarray):
        return " x ".join(map(str, cell.shape))
    text = " ".join(str(cell).split())
    return text if len(text) <= EXAMPLE_WIDTH else f"{text[: EXAMPLE_WIDTH - 1]}…"


def _role(name: str, schema: Schema, data: DataParams) -> str:
    if name in data.targets:
        return "target"
    if name == schema.time:
        return "time"
    return data.columns[name].role if name in data.columns else "feature"
