"""Fit the preparation on training rows and write it as an ONNX graph; that graph is also what prepares the data.

So what the network is served with is computed by the same nodes as what it was trained on.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort

from ann.config.stages import PrepareParams
from ann.data.examples import Examples
from ann.data.graph import GraphBuilder
from ann.data.kinds import COLUMN, PREFIX
from ann.data.kinds.audio import AudioStatistics, audio_nodes, fit_audio
from ann.data.kinds.category import CategoryStatistics, category_nodes, fit_category, one_hot_nodes
from ann.data.kinds.date import DateStatistics, date_from_parts_nodes, date_nodes, fit_date
from ann.data.kinds.image import ImageStatistics, fit_image, image_nodes
from ann.data.kinds.number import NumberStatistics, fit_number, number_nodes
from ann.data.kinds.series import SeriesStatistics, fit_series, series_nodes
from ann.data.kinds.text import TextStatistics, fit_text, text_nodes
from ann.data.schema import Feature, Schema
from ann.errors import DataError
from ann.names import LENGTHS

ROWS_AT_ONCE = 65_536


@dataclass(frozen=True)
class Statistics:
    """All that preparation learns from training rows, kind by kind."""

    numbers: tuple[NumberStatistics, ...] = ()
    dates: tuple[DateStatistics, ...] = ()
    categories: tuple[CategoryStatistics, ...] = ()
    one_hot: bool = False
    text: TextStatistics | None = None
    image: ImageStatistics | None = None
    audio: AudioStatistics | None = None
    series: SeriesStatistics | None = None

    @property
    def width(self) -> int:
        """Columns of the group `numeric`: values, parts of dates, is-missing flags, one-hot levels."""
        levels = sum(column.size for column in self.categories) if self.one_hot else 0
        return sum(column.width for column in self.numbers) + sum(column.width for column in self.dates) + levels

    @property
    def sizes(self) -> list[int]:
        """Number of ids of each column of the group `categorical`."""
        return [] if self.one_hot else [column.size for column in self.categories]

    @property
    def channels(self) -> int | None:
        """Channels of images."""
        return self.image.channels if self.image else None

    @property
    def rate(self) -> int | None:
        """Samples a second of audio [Hz]."""
        return self.audio.rate if self.audio else None

    def groups(self) -> dict[str, Any]:
        """Return what a network must know of each column group."""
        found: dict[str, Any] = {}
        if self.width:
            found["numeric"] = {"width": self.width}
        if self.sizes:
            found["categorical"] = {"sizes": self.sizes}
        for name in ("text", "image", "audio"):
            if (statistics := getattr(self, name)) is not None:
                found[name] = statistics.group()
        return found


def fit_statistics(examples: Examples, train: np.ndarray, prepare: PrepareParams) -> Statistics:
    """Learn fills, scales, levels, words and sizes from the training rows alone.

    Raises:
        DataError: a column has no value at all, an infinite number, a file that cannot be read, or a name that the
            graph needs.
    """
    schema = examples.schema
    _check_names(schema)
    rows = examples.table.iloc[examples.times(train)]
    missing = schema.missing
    images, audio, series = (schema.of_type(kind) for kind in ("image", "audio", "series"))
    texts = schema.of_type("text")
    return Statistics(
        numbers=tuple(
            fit_number(rows[feature.name], feature.name, scaling=prepare.numbers, double=feature.double)
            for feature in schema.numbers
        ),
        dates=tuple(fit_date(examples.seconds(feature)[train], feature.name) for feature in schema.of_type("date")),
        categories=tuple(
            fit_category(rows[feature.name], feature.name, min_count=prepare.min_count, missing=missing)
            for feature in schema.categories
        ),
        one_hot=prepare.categories == "onehot",
        text=fit_text({feature.name: examples.text(feature)[train] for feature in texts}, prepare.text, missing)
        if texts
        else None,
        image=fit_image(rows[images[0].name], images[0].name, prepare.image) if images else None,
        audio=fit_audio(rows[audio[0].name], audio[0].name, prepare.audio) if audio else None,
        series=fit_series(rows[list(series[0].columns)].to_numpy(dtype=np.float64), series[0].name, series[0].columns)
        if series
        else None,
    )


def _check_names(schema: Schema) -> None:
    taken = {source for feature in schema.features for source in feature.sources}
    for feature in schema.of_type("audio"):
        if (lengths := f"{feature.name}{LENGTHS}") in taken:
            raise DataError(
                f"column {lengths!r} has the name of the input for the lengths of {feature.name!r}: rename or drop it"
            )


def preparation_graph(
    statistics: Statistics, features: tuple[Feature, ...], missing: tuple[str, ...]
) -> onnx.ModelProto:
    """Write the graph: the raw columns in, one output a column group out, named `ann:prepare/<group>`."""
    builder = GraphBuilder(PREFIX.removesuffix("/"))
    if statistics.numbers or statistics.dates or statistics.categories:
        builder.constant(COLUMN, np.array([-1, 1], dtype=np.int64))
    numeric, flags = _numeric_nodes(builder, statistics, features)
    ids = [category_nodes(builder, number, column, missing) for number, column in enumerate(statistics.categories)]
    if statistics.one_hot:
        pairs = zip(statistics.categories, ids, strict=True)
        numeric += [one_hot_nodes(builder, number, column, value) for number, (column, value) in enumerate(pairs)]
        ids = []
    if statistics.width:
        _output(builder, "numeric", [*numeric, *flags], np.float32, ["N", statistics.width])
    if ids:
        _output(builder, "categorical", ids, np.int64, ["N", len(ids)])
    if statistics.text:
        _output(builder, "text", [text_nodes(builder, statistics.text, missing)], np.int64, ["N", "T"])
    if statistics.image:
        shape = [statistics.image.channels, statistics.image.height, statistics.image.width]
        _output(builder, "image", [image_nodes(builder, statistics.image)], np.float32, ["N", *shape])
    if statistics.audio:
        spectrum, frames = audio_nodes(builder, statistics.audio)
        _output(builder, "audio", [spectrum], np.float32, ["N", "F", statistics.audio.mels])
        _output(builder, "audio_frames", [frames], np.int64, ["N"])
    if statistics.series:
        values = series_nodes(builder, statistics.series)
        _output(builder, "series", [values], np.float32, ["N", "L", len(statistics.series.columns)])
    return builder.model()


def _numeric_nodes(
    builder: GraphBuilder, statistics: Statistics, features: tuple[Feature, ...]
) -> tuple[list[str], list[str]]:
    """Append the nodes of numbers and dates; return their values, and the is-missing flags of numbers."""
    parts = {feature.name: feature.columns for feature in features}
    numeric, flags = [], []
    for number, column in enumerate(statistics.numbers):
        value, flag = number_nodes(builder, number, column)
        numeric.append(value)
        flags += [flag] if flag else []
    for date in statistics.dates:
        seconds = date_from_parts_nodes(builder, parts[date.name]) if parts[date.name] else None
        numeric.append(date_nodes(builder, date, seconds))
    return numeric, flags


def _output(builder: GraphBuilder, group: str, values: list[str], dtype: type, shape: list[int | str]) -> None:
    name = f"{PREFIX}{group}"
    if len(values) == 1:
        builder.op("Identity", *values, output=name)
    else:
        builder.op("Concat", *values, axis=1, output=name)
    builder.output(name, dtype, shape)


def run_preparation(graph: onnx.ModelProto, examples: Examples, rows: np.ndarray) -> dict[str, np.ndarray]:
    """Send rows through the graph; return its outputs by group, N rows each, texts and audio padded with zeros.

    A series goes through as a whole, (T, C) from the first time that a window reads or predicts to the last.
    """
    if examples.schema.windows:
        return {name: values[0] for name, values in prepared(graph, [examples.stretch(rows)]).items()}
    return prepared(graph, (examples.inputs(chunk) for chunk in examples.chunks(rows, ROWS_AT_ONCE)))


def prepared(graph: onnx.ModelProto, chunks: Iterable[dict[str, np.ndarray]]) -> dict[str, np.ndarray]:
    """Send raw inputs through the graph, one chunk in memory at a time; return its outputs by group."""
    session = ort.InferenceSession(graph.SerializeToString(), providers=["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]
    found = [session.run(names, chunk) for chunk in chunks]
    return {name.removeprefix(PREFIX): joined([chunk[i] for chunk in found]) for i, name in enumerate(names)}


def joined(arrays: list[np.ndarray]) -> np.ndarray:
    """Return arrays of one group after another; shorter ones are padded with zeros along the second axis."""
    if arrays[0].ndim < 2 or len({array.shape[1] for array in arrays}) == 1:
        return np.concatenate(arrays)
    longest = max(array.shape[1] for array in arrays)
    whole = np.zeros((sum(map(len, arrays)), longest, *arrays[0].shape[2:]), arrays[0].dtype)
    start = 0
    for array in arrays:
        whole[start : start + len(array), : array.shape[1]] = array
        start += len(array)
    return whole
