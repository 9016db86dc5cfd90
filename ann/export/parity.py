"""Does the file answer what the network answers? On real rows and on rows at the edge."""

from collections.abc import Callable
from dataclasses import asdict, dataclass

import numpy as np
import pandas as pd

from ann.data.schema import Schema, graph_inputs
from ann.predict import Model

UNSEEN = "a category that training never showed"
Reference = Callable[[pd.DataFrame], np.ndarray]
"""Rows -> (N, K) probabilities, by the way that the file is compared with."""


@dataclass(frozen=True)
class Parity:
    """How far the file is from its reference on one kind of row."""

    rows: int
    max_difference: float
    """Greatest absolute difference of a probability."""
    flips: int
    """Rows whose label differs."""

    def to_json(self) -> dict[str, float]:
        """Return the fields by name; three digits of a difference say enough."""
        return {**asdict(self), "max_difference": float(f"{self.max_difference:.3g}")}


def check_parity(model: Model, reference: Reference, table: pd.DataFrame, schema: Schema) -> dict[str, Parity]:
    """Compare the file with `reference` on each kind of row made from `table`."""
    return {kind: _compare(model, reference, rows, schema) for kind, rows in kinds_of_rows(table, schema).items()}


def kinds_of_rows(table: pd.DataFrame, schema: Schema) -> dict[str, pd.DataFrame]:
    """Return rows as they are, one row alone, an odd number, all values missing, unseen categories, huge numbers."""
    some = table.head(64)
    categories = [feature.name for feature in schema.categories]
    numbers = [feature.name for feature in schema.numbers]
    names = [feature.name for feature in schema.features]
    return {
        "real": table,
        "one": table.head(1),
        "odd": table.head(7),
        "missing": some.assign(**{name: pd.Series([None] * len(some), index=some.index) for name in names}).astype(
            dict.fromkeys(numbers, float) | dict.fromkeys(categories, object)
        ),
        "unseen": some.assign(**dict.fromkeys(categories, UNSEEN)),
        "huge": some.assign(**dict.fromkeys(numbers, 1e6)),
    }


def _compare(model: Model, reference: Reference, rows: pd.DataFrame, schema: Schema) -> Parity:
    label, ours = model.run(graph_inputs(rows, schema.features))
    theirs = reference(rows)
    expected = np.array(schema.classes, dtype=object)[theirs.argmax(axis=1)]
    return Parity(len(rows), float(np.abs(ours - theirs).max()), int((label != expected).sum()))
