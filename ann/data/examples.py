"""Raw examples as the graph takes them: rows of a table, or windows of a series.

Numbers are float32 (float64 where float32 is not exact) with NaN as missing; dates are float64 seconds since 1970;
categories and texts are strings with "" as missing; images uint8 (N, H, W, C); audio float32 (N, T) beside its
lengths (N,) int64; a series float32 (N, L, C).
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from ann.data.kinds.date import seconds_of
from ann.data.schema import Feature, Schema, media_type
from ann.data.task import category_text
from ann.errors import DataError
from ann.media import decode_audio, decode_image, image_size, padded_clips
from ann.names import LENGTHS

FILES_AT_ONCE = 64
DTYPES: dict[str, np.dtype[Any]] = {
    "tensor(double)": np.dtype(np.float64),
    "tensor(float)": np.dtype(np.float32),
    "tensor(int64)": np.dtype(np.int64),
    "tensor(string)": np.dtype(object),
    "tensor(uint8)": np.dtype(np.uint8),
}


@dataclass(frozen=True, eq=False)
class Examples:
    """A table and what its columns mean; an example is a row, or the window of a series that begins there."""

    table: pd.DataFrame
    schema: Schema
    channels: int | None = None
    """Of images: what the exported file takes; None before that is known."""
    rate: int | None = None
    """Of audio [Hz], likewise."""

    def times(self, rows: np.ndarray) -> np.ndarray:
        """Return the rows of the table that examples are made of: of windows all that any reads or predicts."""
        if self.schema.windows is None:
            return rows
        return np.arange(rows.min(), rows.max() + self.schema.windows.length + self.schema.windows.horizon)

    def chunks(self, rows: np.ndarray, size: int) -> Iterator[np.ndarray]:
        """Cut row numbers into parts of at most `size`, of few decoded files each, with images of one size."""
        images = self.schema.of_type("image")
        if self.schema.of_type("image", "audio"):
            size = min(size, FILES_AT_ONCE)
        if images:
            sizes = [image_size(self.table[images[0].name].iloc[row])[:2] for row in rows]
            edges = [i for i in range(1, len(rows)) if sizes[i] != sizes[i - 1]]
        else:
            edges = []
        for part in np.split(rows, edges):
            for start in range(0, len(part), size):
                yield part[start : start + size]

    def inputs(self, rows: np.ndarray) -> dict[str, np.ndarray]:
        """Return the raw inputs of some examples by name; images must be of one size."""
        found: dict[str, np.ndarray] = {}
        for feature in self.schema.features:
            found |= self._read(feature, rows)
        return found

    def client_rows(self, rows: np.ndarray) -> list[dict[str, Any]]:
        """Return examples as a client would send them: texts, numbers, ISO dates, names of files, null where missing.

        Of a series it is what one window reads, time after time.
        """
        if self.schema.windows:
            rows = rows[0] + np.arange(self.schema.windows.length)
        columns = {name: kind for feature in self.schema.features for name, kind in _sources(feature).items()}
        values = {name: [_sent(cell, columns[name]) for cell in self.table[name].iloc[rows]] for name in columns}
        return [{name: values[name][i] for name in columns} for i in range(len(rows))]

    def seconds(self, feature: Feature) -> np.ndarray:
        """Return a date column as (N,) float64 seconds since 1970, NaN where missing."""
        if not feature.columns:
            return seconds_of(self.table[feature.name])
        names = ("year", "month", "day", "hour")
        parts = {
            name: self.table[column].to_numpy(dtype=np.float64, na_value=np.nan)
            for name, column in zip(names, feature.columns, strict=False)
        }
        return seconds_of(pd.to_datetime(pd.DataFrame(parts), errors="coerce"))

    def text(self, feature: Feature) -> np.ndarray:
        """Return a column of texts as (N,) strings, "" where missing."""
        return category_text(self.table[feature.name])

    def _read(self, feature: Feature, rows: np.ndarray) -> dict[str, np.ndarray]:
        if feature.type == "series":
            return {feature.name: self._windows(feature, rows)}
        if feature.type == "date" and feature.columns:
            parts = self.table[list(feature.columns)].iloc[rows]
            return {name: parts[name].to_numpy(dtype=np.float32, na_value=np.nan) for name in feature.columns}
        column = self.table[feature.name].iloc[rows]
        if feature.type == "number":
            dtype = np.float64 if feature.double else np.float32
            return {feature.name: column.to_numpy(dtype=dtype, na_value=np.nan)}
        if feature.type == "date":
            return {feature.name: seconds_of(column)}
        if feature.type == "image":
            return {feature.name: np.stack([decode_image(cell, self.channels or 3) for cell in column])}
        if feature.type == "audio":
            samples, lengths = padded_clips([decode_audio(cell, self.rate)[0] for cell in column])
            return {feature.name: samples, f"{feature.name}{LENGTHS}": lengths}
        return {feature.name: category_text(column)}

    def inputs_as(self, types: dict[str, str], rows: np.ndarray) -> dict[str, np.ndarray]:
        """Return the inputs of a file that was trained on another schema, given ONNX types by name.

        Raises:
            DataError: a column that it reads is not there, or holds another kind of value.
        """
        ours = self.inputs(rows)
        return {name: self._converted(name, kind, ours, rows) for name, kind in types.items()}

    def _converted(self, name: str, kind: str, ours: dict[str, np.ndarray], rows: np.ndarray) -> np.ndarray:
        dtype = DTYPES[kind]
        if name in ours and ours[name].dtype == dtype:
            return ours[name]
        if name not in self.table.columns:
            raise DataError(f"column {name!r} is missing")
        column, reads = self.table[name].iloc[rows], "texts" if dtype.kind == "O" else "numbers"
        if media_type(column):
            raise DataError(f"column {name!r} holds files, where the file reads {reads}")
        if reads == "texts":
            return category_text(column)
        if pd.api.types.is_datetime64_any_dtype(column.dtype):
            raise DataError(f"column {name!r} holds dates, where the file reads numbers")
        try:
            return pd.to_numeric(column).to_numpy(dtype=np.float64, na_value=np.nan).astype(dtype)
        except (ValueError, TypeError):
            raise DataError(f"column {name!r} holds texts, where the file reads numbers") from None

    def stretch(self, rows: np.ndarray) -> dict[str, np.ndarray]:
        """Return the times that the windows beginning at `rows` read or predict, as one window (1, T, C)."""
        assert self.schema.windows is not None
        [feature] = self.schema.features
        last = rows.max() + self.schema.windows.length + self.schema.windows.horizon
        return {feature.name: self._channels(feature)[None, rows.min() : last]}

    def _windows(self, feature: Feature, rows: np.ndarray) -> np.ndarray:
        assert self.schema.windows is not None
        windows: np.ndarray = self._channels(feature)[rows[:, None] + np.arange(self.schema.windows.length)]
        return windows

    def _channels(self, feature: Feature) -> np.ndarray:
        return self.table[list(feature.columns)].to_numpy(dtype=np.float32, na_value=np.nan)


def _sources(feature: Feature) -> dict[str, str]:
    """Return the columns that a feature is read from, and what each holds."""
    return dict.fromkeys(feature.sources, "number") if feature.columns else {feature.name: feature.type}


def _sent(cell: Any, kind: str) -> Any:
    """Return a cell as JSON."""
    if isinstance(cell, np.ndarray | bytes) or cell is None or pd.isna(cell):
        return None
    if kind == "number":
        return float(cell)
    if kind == "date":
        return pd.Timestamp(cell).isoformat()
    if kind in ("image", "audio"):
        return cell.name
    return category_text(pd.Series([cell]))[0] or None
