"""What the columns are: inferred from the table, corrected by `data.columns`, written to schema.json."""

import re
from collections import Counter
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Literal, TypeAlias

import numpy as np
import pandas as pd

from ann.config.data import DataParams, Windows
from ann.data.target import Target
from ann.data.task import infer_target
from ann.errors import DataError

ColumnType: TypeAlias = Literal["number", "category", "date", "text", "image", "audio", "series"]

RESERVED = {"label", "labels", "probabilities", "prediction"}
EXACT_FLOAT32 = 2**24
"""Beyond this, whole numbers lose digits in float32, so the column enters the graph as double."""
TEXT_WORDS = 3.0
"""Columns whose values have fewer words on average are categories, not texts."""
TEXT_DISTINCT = 0.2
"""Columns with a smaller share of different values are categories, not texts."""
ISO_DATE = re.compile(r"\d{4}-\d\d-\d\d([T ]\d\d:\d\d(:\d\d(\.\d+)?)?(Z|[+-]\d\d:?\d\d)?)?")
SERIES = "series"
"""Name of the one input of a forecast."""


@dataclass(frozen=True)
class Feature:
    """One input of the exported file; a series has a channel a column, a date in parts a column each."""

    name: str
    type: ColumnType
    double: bool = False
    """A number that float32 cannot hold exactly."""
    columns: tuple[str, ...] = ()
    """Source columns, where it is not the one of the same name."""

    @property
    def sources(self) -> tuple[str, ...]:
        """Columns of the table that it is read from."""
        return self.columns or (self.name,)


@dataclass(frozen=True)
class Schema:
    """Roles and types of all columns."""

    features: tuple[Feature, ...]
    target: Target
    slices: tuple[str, ...]
    dropped: tuple[str, ...]
    sensitive: tuple[str, ...]
    missing: tuple[str, ...]
    time: str | None = None
    group: str | None = None
    windows: Windows | None = None

    def of_type(self, *types: str) -> list[Feature]:
        """Return the features of these types, in order."""
        return [feature for feature in self.features if feature.type in types]

    @property
    def numbers(self) -> list[Feature]:
        """Features that are numbers."""
        return self.of_type("number")

    @property
    def categories(self) -> list[Feature]:
        """Features that are categories."""
        return self.of_type("category")

    def with_target(self, target: Target) -> "Schema":
        """Return the same with another target."""
        return replace(self, target=target)

    def to_json(self) -> dict[str, Any]:
        """Return the schema as JSON values."""
        content = {name: value for name, value in vars(self).items() if name not in ("features", "target", "windows")}
        return {
            "features": [asdict(feature) for feature in self.features],
            "target": self.target.to_json(),
            **content,
            "windows": self.windows.model_dump() if self.windows else None,
        }

    @classmethod
    def from_json(cls, content: dict[str, Any]) -> "Schema":
        """Read what `to_json` gave."""
        features = tuple(
            Feature(**{**feature, "columns": tuple(feature["columns"])}) for feature in content["features"]
        )
        texts = {name: tuple(content[name]) for name in ("slices", "dropped", "sensitive", "missing")}
        windows = Windows(**content["windows"]) if content["windows"] else None
        target = Target.from_json(content["target"])
        return cls(features, target, **texts, time=content["time"], group=content["group"], windows=windows)


def infer_schema(table: pd.DataFrame, data: DataParams) -> Schema:
    """Infer the type of each column, and what is predicted.

    Raises:
        DataError: the target cannot be learnt; a column is not what data.columns says; no feature is left.
    """
    roles = _roles(table, data)
    in_parts = {column for parts in data.dates.values() for column in vars(parts).values() if column}
    features = [
        infer_feature(table[name], name, data)
        for name, role in roles.items()
        if role == "feature" and name not in in_parts
    ]
    features += [_date_in_parts(name, table, data) for name in data.dates]
    if data.windows:
        features = [_series(features, roles, data)]
    _check_features(features)
    target = infer_target(table, data)
    return Schema(
        features=tuple(features),
        target=target,
        slices=_with_role("slice", roles),
        dropped=_with_role("drop", roles),
        sensitive=tuple(name for name, column in data.columns.items() if column.sensitive),
        missing=data.missing,
        time=_only("time", roles),
        group=_only("group", roles),
        windows=data.windows,
    )


def infer_feature(column: pd.Series, name: str, data: DataParams) -> Feature:
    """Return the type of one column, which data.columns may give.

    Raises:
        DataError: it is not of the type that data.columns gives.
    """
    wanted = data.columns[name].type if name in data.columns else "auto"
    found = wanted if wanted != "auto" else _type_of(column)
    if found == "number":
        if not _numeric(column):
            raise DataError(
                f"column {name!r} must hold numbers, but {_first_text(column)}: "
                f"mend the row, or add the text to data.missing"
            )
        return Feature(name, "number", double=bool(column.abs().max() > EXACT_FLOAT32))
    if found in ("image", "audio") and not media_type(column):
        raise DataError(
            f"column {name!r} must hold {found} files, but {_first_value(column)}: write another type in data.columns"
        )
    if found not in ("image", "audio") and media_type(column):
        raise DataError(f"column {name!r} holds files, not values of the type {found}: leave the type out")
    return Feature(name, found)


def media_type(column: pd.Series) -> Literal["image", "audio"] | None:
    """Return what kind of files or arrays a column holds, by its first value."""
    known = column.dropna()
    first = known.iloc[0] if len(known) else None
    if isinstance(first, Path):
        return "audio" if first.suffix.lower() == ".wav" else "image"
    if isinstance(first, bytes):
        return "audio" if first[:4] == b"RIFF" else "image"
    if isinstance(first, np.ndarray):
        return "audio" if first.ndim == 1 else "image"
    return None


def _type_of(column: pd.Series) -> ColumnType:
    if _numeric(column):
        return "number"
    if pd.api.types.is_datetime64_any_dtype(column.dtype):
        return "date"
    known = column.dropna()
    if len(known) and (media := media_type(known)):
        return media
    texts = known[known.map(lambda value: isinstance(value, str))]
    if len(texts) < len(known) or not len(texts):
        return "category"
    if texts.map(lambda value: ISO_DATE.fullmatch(value) is not None).all():
        return "date"
    words = texts.str.count(r"\S+").mean()
    return "text" if words >= TEXT_WORDS and texts.nunique() > TEXT_DISTINCT * len(texts) else "category"


def _numeric(column: pd.Series) -> bool:
    return pd.api.types.is_numeric_dtype(column.dtype) and not pd.api.types.is_bool_dtype(column.dtype)


def _roles(table: pd.DataFrame, data: DataParams) -> dict[str, str]:
    """Return the role of each column but the targets; the channels that a forecast predicts are features, too."""
    roles: dict[str, str] = {}
    for name in map(str, table.columns):
        if name in data.targets and not data.windows:
            continue
        given: str = data.columns[name].role if name in data.columns else "feature"
        if data.windows and given == "feature" and not _numeric(table[name]) and _type_of(table[name]) == "date":
            given = "time"
        roles[name] = given
    return roles


def _series(features: list[Feature], roles: dict[str, str], data: DataParams) -> Feature:
    for feature in features:
        if feature.type != "number":
            raise DataError(
                f"column {feature.name!r} is a {feature.type}, but channels of a series must be numbers: "
                f"give it the role `drop` in data.columns"
            )
    for name in data.targets:
        if roles[name] != "feature":
            raise DataError(
                f"target {name!r} has the role `{roles[name]}`, but what is forecast must be a channel of the series: "
                f"give it the role `feature` in data.columns"
            )
    return Feature(SERIES, "series", columns=tuple(name for name, role in roles.items() if role == "feature"))


def _date_in_parts(name: str, table: pd.DataFrame, data: DataParams) -> Feature:
    parts = data.dates[name]
    columns = tuple(column for column in (parts.year, parts.month, parts.day, parts.hour) if column)
    for column in columns:
        if column not in table.columns:
            raise DataError(f"data.dates.{name} names the column {column!r}, which is not there")
        if column in data.targets:
            raise DataError(f"data.dates.{name} names the column {column!r}, which is predicted: take another")
        if not _numeric(table[column]):
            raise DataError(f"data.dates.{name}: column {column!r} must hold numbers, but {_first_text(table[column])}")
    return Feature(name, "date", columns=columns)


def _check_features(features: list[Feature]) -> None:
    if not features:
        raise DataError("no column is left as a feature: give one the role `feature` in data.columns")
    for name in RESERVED & {source for feature in features for source in feature.sources}:
        raise DataError(f"column {name!r} has the name of an output of the exported file: rename it, or drop it")
    _check_names(features)
    for kind in ("image", "audio"):
        found = [feature.name for feature in features if feature.type == kind]
        if len(found) > 1:
            raise DataError(f"columns {', '.join(found)} all hold {kind} files; one can be read: drop the others")


def _check_names(features: list[Feature]) -> None:
    """Raise DataError where a column is read twice, since inputs of the exported file need different names."""
    counts = Counter(name for feature in features for name in dict.fromkeys((feature.name, *feature.sources)))
    for name, count in counts.items():
        if count > 1:
            raise DataError(f"column {name!r} is read by two features, one of data.dates: rename one of them")


def _with_role(role: str, roles: dict[str, str]) -> tuple[str, ...]:
    return tuple(name for name, given in roles.items() if given == role)


def _only(role: str, roles: dict[str, str]) -> str | None:
    found = _with_role(role, roles)
    if len(found) > 1:
        raise DataError(f"columns {', '.join(found)} all have the role `{role}`; one can: give the others another role")
    return found[0] if found else None


def _first_text(column: pd.Series) -> str:
    text = column.dropna()
    bad = text[pd.to_numeric(text, errors="coerce").isna()]
    return f"row {bad.index[0]} holds {bad.iloc[0]!r}" if len(bad) else f"its type is {column.dtype}"


def _first_value(column: pd.Series) -> str:
    known = column.dropna()
    return f"row {known.index[0]} holds {str(known.iloc[0])[:40]!r}" if len(known) else "it is empty"
