"""What the columns are: inferred from the table, corrected by `data.columns`, written to schema.json."""

from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np
import pandas as pd

from ann.config.data import DataParams
from ann.errors import DataError

MAX_CLASSES = 1000
RESERVED = {"label", "probabilities"}
EXACT_FLOAT32 = 2**24
"""Beyond this, whole numbers lose digits in float32, so the column enters the graph as double."""


@dataclass(frozen=True)
class Feature:
    """One column that enters the network."""

    name: str
    type: Literal["number", "category"]
    double: bool = False
    """A number that float32 cannot hold exactly."""


@dataclass(frozen=True)
class Schema:
    """Roles and types of all columns; rank-1 inputs of the graph are the features by name."""

    features: tuple[Feature, ...]
    slices: tuple[str, ...]
    dropped: tuple[str, ...]
    sensitive: tuple[str, ...]
    target: str
    classes: tuple[str, ...]
    """Labels as text; with two classes the second is the positive one."""
    missing: tuple[str, ...]

    @property
    def numbers(self) -> list[Feature]:
        """Features of the group `numeric`, in its order."""
        return [feature for feature in self.features if feature.type == "number"]

    @property
    def categories(self) -> list[Feature]:
        """Features of the group `categorical`, in its order."""
        return [feature for feature in self.features if feature.type == "category"]

    def to_json(self) -> dict[str, Any]:
        """Return the schema as JSON values."""
        return asdict(self)

    @classmethod
    def from_json(cls, content: dict[str, Any]) -> "Schema":
        """Read what `to_json` gave."""
        features = tuple(Feature(**feature) for feature in content["features"])
        texts = {name: tuple(content[name]) for name in ("slices", "dropped", "sensitive", "classes", "missing")}
        return cls(features=features, target=content["target"], **texts)


def infer_schema(table: pd.DataFrame, data: DataParams) -> Schema:
    """Infer the type of each column and the classes of the target.

    Raises:
        DataError: the target is missing in a row, has one class or too many; a column is not what data.columns says;
            no feature is left.
    """
    roles = {
        str(name): data.columns[str(name)].role if str(name) in data.columns else "feature" for name in table.columns
    }
    roles.pop(data.target)
    features = tuple(_feature(table[name], name, data) for name, role in roles.items() if role == "feature")
    for name in RESERVED & {feature.name for feature in features}:
        raise DataError(f"column {name!r} has the name of an output of the exported file: rename it, or drop it")
    if not features:
        raise DataError("no column is left as a feature: give one the role `feature` in data.columns")
    return Schema(
        features=features,
        slices=tuple(name for name, role in roles.items() if role == "slice"),
        dropped=tuple(name for name, role in roles.items() if role == "drop"),
        sensitive=tuple(name for name, column in data.columns.items() if column.sensitive),
        target=data.target,
        classes=_classes(table[data.target], data),
        missing=data.missing,
    )


def graph_inputs(table: pd.DataFrame, features: tuple[Feature, ...]) -> dict[str, np.ndarray]:
    """Return one rank-1 array a feature, as the preparation graph takes them.

    Numbers are float32 (float64 where float32 is not exact) with NaN as missing; categories are text with "" as
    missing.
    """
    return {feature.name: column_input(table[feature.name], feature) for feature in features}


def column_input(column: pd.Series, feature: Feature) -> np.ndarray:
    """Return the (N,) array of one feature."""
    if feature.type == "category":
        return category_text(column)
    return column.to_numpy(dtype=np.float64 if feature.double else np.float32, na_value=np.nan)


def category_text(column: pd.Series) -> np.ndarray:
    """Return values as text, "" where missing; whole numbers are written without a fraction, as in a .csv file."""
    if pd.api.types.is_float_dtype(column.dtype):
        whole = column.dropna()
        if ((whole == whole.round()) & (whole.abs() < 2**63)).all():
            column = column.astype("Int64")
    values = column.to_numpy(dtype=object, na_value="")
    return np.array([value if isinstance(value, str) else str(value) for value in values], dtype=object)


def class_ids(column: pd.Series, classes: tuple[str, ...]) -> np.ndarray:
    """Return the (N,) int64 class index of each label; every label must be one of `classes`.

    Raises:
        DataError: a label is missing or unknown.
    """
    text = category_text(column)
    ids = pd.Index(classes).get_indexer(pd.Index(text))
    if (ids < 0).any():
        row = int(np.flatnonzero(ids < 0)[0])
        raise DataError(f"target {column.name!r} must be one of {', '.join(classes)}; row {row} holds {text[row]!r}")
    return ids.astype(np.int64)


def _feature(column: pd.Series, name: str, data: DataParams) -> Feature:
    wanted = data.columns[name].type if name in data.columns else "auto"
    numeric = pd.api.types.is_numeric_dtype(column.dtype) and not pd.api.types.is_bool_dtype(column.dtype)
    if wanted == "number" and not numeric:
        raise DataError(
            f"column {name!r} must hold numbers, but {_first_text(column)}: "
            f"mend the row, or add the text to data.missing"
        )
    if pd.api.types.is_datetime64_any_dtype(column.dtype):
        raise DataError(f"column {name!r} holds dates, which cannot be features so far: give it the role `drop`")
    if wanted == "category" or not numeric:
        return Feature(name, "category")
    return Feature(name, "number", double=bool(column.abs().max() > EXACT_FLOAT32))


def _first_text(column: pd.Series) -> str:
    text = column.dropna()
    bad = text[pd.to_numeric(text, errors="coerce").isna()]
    return f"row {bad.index[0]} holds {bad.iloc[0]!r}" if len(bad) else f"its type is {column.dtype}"


def _classes(target: pd.Series, data: DataParams) -> tuple[str, ...]:
    missing = int(target.isna().sum())
    if missing:
        first = int(np.flatnonzero(target.isna())[0])
        raise DataError(
            f"target {data.target!r} is missing in {missing} rows, first in row {first}: remove them or fill them in"
        )
    if pd.api.types.is_float_dtype(target.dtype) and (target != target.round()).any():
        raise DataError(f"target {data.target!r} holds fractions; only classes can be predicted so far")
    counts = pd.Series(category_text(target)).value_counts()
    if len(counts) < 2:
        raise DataError(f"target {data.target!r} must have at least two classes, got only {counts.index[0]!r}")
    if len(counts) > min(MAX_CLASSES, max(2, len(target) // 2)):
        raise DataError(
            f"target {data.target!r} has {len(counts)} different values in {len(target)} rows: "
            f"it looks like an id, not a class"
        )
    if len(counts) > 2:
        return tuple(sorted(counts.index, key=_natural))
    positive = data.positive if data.positive is not None else str(counts.index[-1])
    if positive not in counts.index:
        raise DataError(f"data.positive must be one of {', '.join(sorted(counts.index))}; got {positive!r}")
    return tuple(sorted(counts.index, key=lambda label: label == positive))


def _natural(label: str) -> tuple[int, float, str]:
    try:
        return (0, float(label), label)
    except ValueError:
        return (1, 0.0, label)
