"""Raw examples as the graph takes them, kind by kind, and as a client would send them."""

import io
import json
import wave
from datetime import UTC, datetime

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from ann.config.data import Column, DataParams
from ann.data.examples import Examples
from ann.data.schema import infer_schema
from ann.errors import DataError

RNG = np.random.default_rng(0)
DAYS = pd.Series(pd.to_datetime(["2026-01-02", None, "1969-12-31 12:30"] * 2, format="mixed"))
ALL = np.arange(6)


def examples(cells: dict, **data) -> Examples:
    """Make examples of six rows beside a target of two classes."""
    table = pd.DataFrame({"t": ["no", "yes"] * 3, **cells})
    schema = infer_schema(table, DataParams(**{"target": "t", **data}))
    return Examples(table, schema, channels=3, rate=8000)


def picture(height: int, width: int) -> np.ndarray:
    return RNG.integers(0, 256, (height, width, 3), dtype=np.uint8)


def png(pixels: np.ndarray) -> bytes:
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "png")
    return file.getvalue()


def wav(samples: np.ndarray) -> bytes:
    file = io.BytesIO()
    with wave.open(file, "wb") as out:
        out.setparams((1, 2, 8000, 0, "NONE", ""))
        out.writeframes((samples * 32767).astype("<i2").tobytes())
    return file.getvalue()


@pytest.mark.parametrize(
    ("values", "dtype", "expected"),
    [
        ([1, 2, 3] * 2, np.float32, [1, 2, 3]),
        ([0.1, np.nan, 3] * 2, np.float32, [np.float32(0.1), np.nan, 3]),
        ([2**24 + 1, np.nan, 0] * 2, np.float64, [2**24 + 1, np.nan, 0]),
        (pd.array([1, None, 3] * 2, dtype="Int64"), np.float32, [1, np.nan, 3]),
        (DAYS, np.float64, [1767312000, np.nan, -41400]),
        (DAYS.dt.tz_localize("Etc/GMT-1"), np.float64, [1767312000 - 3600, np.nan, -41400 - 3600]),
        (["2026-01-02", None, "1969-12-31T12:30Z"] * 2, np.float64, [1767312000, np.nan, -41400]),
        (["a", None, "b"] * 2, object, ["a", "", "b"]),
        ([True, False, True] * 2, object, ["True", "False", "True"]),
        (["some words and more", None, "other words than these"] * 2, object, ["some words and more", "", "other"]),
    ],
)
def test_a_column_enters_in_the_type_of_its_kind_with_its_sign_of_a_missing_value(values, dtype, expected):
    found = examples({"x": values}).inputs(ALL[:3])["x"]
    assert found.dtype == dtype
    assert found.shape == (3,)
    if dtype is object:
        assert [text[: len(start)] for text, start in zip(found, expected, strict=True)] == expected
    else:
        np.testing.assert_array_equal(found, expected)


def test_rows_are_taken_by_place_in_the_order_asked_for():
    found = examples({"x": range(6), "c": list("abcdef")}).inputs(np.array([4, 0, 4]))
    assert (found["x"].tolist(), found["c"].tolist()) == ([4, 0, 4], ["e", "a", "e"])


def test_images_are_uint8_in_the_channels_of_the_file(tmp_path):
    pixels = [picture(4, 5) for _ in range(6)]
    (tmp_path / "a.png").write_bytes(png(pixels[1]))
    cells = pd.Series([pixels[0], tmp_path / "a.png", *map(png, pixels[2:])], dtype=object)
    found = examples({"x": cells})
    assert found.inputs(ALL)["x"].dtype == np.uint8
    np.testing.assert_array_equal(found.inputs(ALL)["x"], np.stack(pixels))
    grey = Examples(found.table, found.schema, channels=1).inputs(ALL)["x"]
    assert grey.shape == (6, 4, 5, 1)


def test_sounds_are_padded_with_zeros_to_the_longest_of_the_rows_beside_their_lengths(tmp_path):
    clips = [RNG.uniform(-1, 1, length).astype(np.float32) for length in (5, 9, 1, 3, 2, 4)]
    (tmp_path / "a.wav").write_bytes(wav(clips[1]))
    found = examples({"x": pd.Series([clips[0], tmp_path / "a.wav", wav(clips[2]), *clips[3:]], dtype=object)})
    inputs = found.inputs(ALL)
    assert (inputs["x"].dtype, inputs["x"].shape) == (np.float32, (6, 9))
    assert (inputs["x_lengths"].dtype, inputs["x_lengths"].tolist()) == (np.int64, [5, 9, 1, 3, 2, 4])
    for row, clip in zip(inputs["x"], clips, strict=True):
        np.testing.assert_allclose(row, np.pad(clip, (0, 9 - len(clip))), atol=1e-4)
    assert found.inputs(ALL[2:3])["x"].shape == (1, 1)


def test_a_date_in_parts_enters_as_its_parts_and_is_known_in_seconds():
    parts = {"y": [2026, 2024, 1969] * 2, "m": [1, 2, 12] * 2, "d": [2, 30, 31] * 2, "h": [0, 5, np.nan] * 2}
    found = examples(parts, dates={"when": {"year": "y", "month": "m", "day": "d", "hour": "h"}})
    inputs = found.inputs(ALL[:3])
    assert {name: array.dtype for name, array in inputs.items()} == dict.fromkeys("ymdh", np.float32)
    np.testing.assert_array_equal(inputs["h"], [0, 5, np.nan])
    [feature] = found.schema.features
    np.testing.assert_array_equal(found.seconds(feature)[:3], [1767312000, np.nan, np.nan])  # 30 February, no hour


def test_parts_of_dates_may_be_nullable_numbers():
    parts = {"y": pd.array([2026, None] * 3, dtype="Int64"), "m": [1] * 6, "d": [2] * 6}
    found = examples(parts, dates={"when": {"year": "y", "month": "m", "day": "d"}})
    np.testing.assert_array_equal(found.inputs(ALL[:2])["y"], [2026, np.nan])
    np.testing.assert_array_equal(found.seconds(found.schema.features[0])[:2], [1767312000, np.nan])


def test_a_window_reads_the_rows_from_its_beginning_on():
    heat = np.array([1, 2, np.nan, 4, 5, 6])
    found = examples({"t": range(6), "heat": heat}, windows={"length": 3, "horizon": 1})
    window = found.inputs(np.array([2, 0]))["series"]
    assert (window.dtype, window.shape) == (np.float32, (2, 3, 2))
    np.testing.assert_array_equal(window[..., 1], [[np.nan, 4, 5], [1, 2, np.nan]])
    np.testing.assert_array_equal(window[..., 0], [[2, 3, 4], [0, 1, 2]])
    assert found.times(np.array([0, 2])).tolist() == [0, 1, 2, 3, 4, 5]
    np.testing.assert_array_equal(found.stretch(np.array([1, 2]))["series"][0, :, 1], heat[1:])
    assert examples({"x": range(6)}).times(ALL[2:4]).tolist() == [2, 3]


def test_chunks_are_the_rows_in_order_at_most_so_many_at_once():
    chunks = list(examples({"x": range(6)}).chunks(np.array([5, 3, 1, 0]), 3))
    assert [chunk.tolist() for chunk in chunks] == [[5, 3, 1], [0]]


def test_chunks_of_images_have_one_size_each_and_keep_the_order():
    sizes = [(4, 5), (4, 5), (5, 4), (4, 5), (4, 5), (4, 5)]
    found = examples({"x": pd.Series([picture(*size) for size in sizes], dtype=object)})
    chunks = list(found.chunks(ALL, 2))
    assert [chunk.tolist() for chunk in chunks] == [[0, 1], [2], [3, 4], [5]]
    assert [found.inputs(chunk)["x"].shape[1:3] for chunk in chunks] == [(4, 5), (5, 4), (4, 5), (4, 5)]


def test_a_client_sends_texts_numbers_iso_dates_and_names_of_files(tmp_path):
    (tmp_path / "a.png").write_bytes(png(picture(4, 5)))
    columns = {
        "x": [1, np.nan, 3] * 2,
        "c": ["a", None, "b"] * 2,
        "k": [7.0, np.nan, 8.0] * 2,
        "d": DAYS,
        "picture": pd.Series([tmp_path / "a.png"] * 6, dtype=object),
        "clip": pd.Series([wav(np.zeros(9))] * 6, dtype=object),
        "aside": range(6),
    }
    found = examples(columns, columns={"aside": Column(role="slice"), "k": Column(type="category")})
    rows = found.client_rows(ALL[:2])
    assert rows == [
        {"x": 1.0, "c": "a", "k": "7", "d": "2026-01-02T00:00:00", "picture": "a.png", "clip": None},
        {"x": None, "c": None, "k": None, "d": None, "picture": "a.png", "clip": None},
    ]
    assert json.loads(json.dumps(rows)) == rows


def test_a_client_sends_the_parts_of_a_date_as_numbers():
    parts = {"y": [2026] * 6, "m": [1, None] * 3, "d": [2] * 6}
    found = examples(parts, dates={"when": {"year": "y", "month": "m", "day": "d"}})
    assert found.client_rows(ALL[:2]) == [{"y": 2026.0, "m": 1.0, "d": 2.0}, {"y": 2026.0, "m": None, "d": 2.0}]


def test_a_client_sends_one_window_of_a_series_time_after_time():
    found = examples({"t": range(6)}, windows={"length": 3, "horizon": 1})
    assert found.client_rows(np.array([2, 3])) == [{"t": 2.0}, {"t": 3.0}, {"t": 4.0}]


def test_sent_dates_are_the_same_moments():
    days = pd.Series(pd.to_datetime(["2026-01-02T10:00+02:00"] * 6))
    [row] = examples({"d": days}).client_rows(ALL[:1])
    assert datetime.fromisoformat(row["d"]) == datetime(2026, 1, 2, 8, tzinfo=UTC)


@pytest.mark.parametrize(
    ("column", "kind", "dtype", "expected"),
    [
        ("x", "tensor(double)", np.float64, [1, np.nan]),
        ("x", "tensor(float)", np.float32, [1, np.nan]),
        ("x", "tensor(string)", object, ["1", ""]),
        ("digits", "tensor(float)", np.float32, [10, 20]),
        ("aside", "tensor(float)", np.float32, [0, 1]),
        ("c", "tensor(string)", object, ["a", ""]),
        ("d", "tensor(double)", np.float64, [1767312000, np.nan]),
        ("d", "tensor(string)", object, ["2026-01-02 00:00:00", ""]),
    ],
)
def test_inputs_of_another_file_are_converted_to_its_types(column, kind, dtype, expected):
    columns = {"x": [1, np.nan] * 3, "digits": ["10", "20"] * 3, "c": ["a", None] * 3, "d": DAYS, "aside": range(6)}
    found = examples(columns, columns={"aside": Column(role="drop")})
    [(name, values)] = found.inputs_as({column: kind}, ALL[:2]).items()
    assert (name, values.dtype) == (column, dtype)
    np.testing.assert_array_equal(values, expected)


def test_inputs_that_cannot_be_converted_are_refused_by_name():
    found = examples({"c": ["a", "b"] * 3, "d": DAYS})
    with pytest.raises(DataError, match="column 'age' is missing"):
        found.inputs_as({"age": "tensor(float)"}, ALL)
    with pytest.raises(DataError, match="column 'c' holds texts, where the file reads numbers"):
        found.inputs_as({"c": "tensor(float)"}, ALL)
    with pytest.raises(DataError, match="column 'd' holds dates, where the file reads numbers"):
        found.inputs_as({"d": "tensor(float)"}, ALL)


def test_media_are_taken_as_they_are_and_not_made_of_anything_else():
    clips = pd.Series([RNG.uniform(-1, 1, 9).astype(np.float32)] * 6, dtype=object)
    pictures = pd.Series([picture(4, 5)] * 6, dtype=object)
    found = examples({"clip": clips, "picture": pictures, "x": range(6)})
    types = {"picture": "tensor(uint8)", "clip_lengths": "tensor(int64)", "clip": "tensor(float)"}
    inputs = found.inputs_as(types, ALL)
    assert list(inputs) == list(types)
    assert inputs["clip_lengths"].tolist() == [9] * 6
    with pytest.raises(DataError, match="column 'picture' holds files, where the file reads texts"):
        found.inputs_as({"picture": "tensor(string)"}, ALL)
    with pytest.raises(DataError, match="column 'clip' holds files, where the file reads numbers"):
        found.inputs_as({"clip": "tensor(double)"}, ALL)
