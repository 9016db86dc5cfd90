"""Single values of a client's rows become what training would have read."""

import datetime as dt
import io
import wave
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from ann.data.kinds.date import seconds_of
from ann.data.task import category_text
from ann.errors import DataError
from ann.predict.cells import audio_arrays, date_array, image_array, number_array, text_array

MISSING = frozenset({"", "?"})
NOON = 1772280000.0
"""2026-02-28T12:00 as seconds since 1970."""


def seconds(*values) -> list[float]:
    return date_array("d", values, MISSING, 1).tolist()


@pytest.mark.parametrize(
    "value",
    [
        "2026-02-28T12:00",
        " 2026-02-28 12:00:00 ",
        "2026-02-28T12:00:00Z",
        "2026-02-28T14:00:00+02:00",
        dt.datetime(2026, 2, 28, 12),
        dt.datetime(2026, 2, 28, 12, tzinfo=dt.UTC),
        dt.datetime(2026, 2, 28, 7, tzinfo=dt.timezone(dt.timedelta(hours=-5))),
        pd.Timestamp("2026-02-28T12:00"),
        pd.Timestamp("2026-02-28T12:00", tz="UTC").tz_convert("Asia/Tokyo"),
        np.datetime64("2026-02-28T12:00"),
        np.datetime64("2026-02-28T12:00", "ns"),
    ],
)
def test_a_moment_is_the_same_in_every_form(value):
    assert seconds(value) == [NOON]


@pytest.mark.parametrize(
    "value", ["2026-02-28", dt.date(2026, 2, 28), np.datetime64("2026-02-28"), pd.Timestamp("2026-02-28")]
)
def test_a_day_is_its_midnight(value):
    assert seconds(value) == [NOON - 12 * 3600]


@pytest.mark.parametrize("value", [None, "", " ? ", float("nan"), np.float32("nan"), pd.NaT, np.datetime64("NaT")])
def test_a_missing_date_is_nan(value):
    assert np.isnan(seconds(value)).all()


@pytest.mark.parametrize("value", ["28.02.2026", "2026-02-30", "soon", 1772280000, 20260228.0, True, [2026, 2, 28]])
def test_what_is_no_date_is_told_with_its_row(value):
    with pytest.raises(DataError, match=r"column 'd' must hold dates, row 8 holds .*: write it as 2026-11-21 or "):
        date_array("d", ["2026-02-28", value], MISSING, 7)


def test_fractions_of_seconds_and_years_before_1970_are_kept():
    texts = ["1969-12-31T23:59:59.5", "1900-01-01", "2026-02-28T12:00:00.000001"]
    assert seconds(*texts) == [-0.5, -2208988800.0, NOON + 1e-6]


def test_dates_are_read_as_training_reads_them():
    texts = ["2026-02-28", "2026-02-28T12:30", "1969-05-06 07:08:09", "2026-02-28T12:00:00.25+03:30", None]
    np.testing.assert_array_equal(seconds(*texts), seconds_of(pd.Series(texts)))
    stamps = pd.Series(pd.date_range("1950-01-01", periods=50, freq="777h"))
    np.testing.assert_array_equal(seconds(*stamps), seconds_of(stamps))


@pytest.mark.parametrize(
    ("value", "expected"),
    [("1e3", 1000), (" 7 ", 7), ("-0.5", -0.5), (np.int64(4), 4), (True, 1), (np.float32(0.5), 0.5)],
)
def test_numbers_are_read_from_texts_and_numbers(value, expected):
    found = number_array("x", [value], np.float32, MISSING, 1)
    assert (found.dtype, found.tolist()) == (np.float32, [expected])


@pytest.mark.parametrize("value", [None, "", " ? ", float("nan"), np.float32("nan")])
def test_a_missing_number_is_nan(value):
    assert np.isnan(number_array("x", [value], np.float64, MISSING, 1)).all()


@pytest.mark.parametrize("value", ["nan", "-Infinity", "1_000", "1,5", "old", [1], dt.date(2026, 1, 1), float("inf")])
def test_what_is_no_number_is_told_with_its_row(value):
    with pytest.raises(DataError, match=r"column 'x' must hold numbers, row 2 holds .*: mend it, or leave it empty"):
        number_array("x", [1, value], np.float64, MISSING, 1)


def test_a_number_too_large_for_the_type_is_refused_there_alone():
    assert number_array("x", ["1e39"], np.float64, MISSING, 1).tolist() == [1e39]
    with pytest.raises(DataError, match="row 1 holds '1e39'"):
        number_array("x", ["1e39"], np.float32, MISSING, 1)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("red", "red"),
        (" red ", "red"),
        (None, ""),
        (float("nan"), ""),
        (np.float32("nan"), ""),
        ("?", ""),
        (7, "7"),
        (7.0, "7"),
        (np.float32(7), "7"),
        (7.5, "7.5"),
        (True, "True"),
    ],
)
def test_categories_are_texts_without_the_fraction_of_whole_numbers(value, expected):
    found = text_array([value], MISSING)
    assert (found.dtype, found.tolist()) == (object, [expected])
    if value not in (" red ", "?"):  # which reading a training file has stripped or marked
        assert category_text(pd.Series([value])).tolist() == [expected]


def test_images_may_be_names_paths_contents_or_arrays(tmp_path):
    pixels = np.random.default_rng(0).integers(0, 256, (4, 5, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(tmp_path / "a.png")
    content = (tmp_path / "a.png").read_bytes()
    cells = ["a.png", str(tmp_path / "a.png"), tmp_path / "a.png", content, {"bytes": content, "path": "x"}, pixels]
    for image in image_array(cells, 3, tmp_path):
        np.testing.assert_array_equal(image, pixels)
    assert image_array([pixels], 1, Path())[0].shape == (4, 5, 1)


@pytest.mark.parametrize("value", [None, "", "none.png", 7, b"junk"])
def test_what_is_no_image_is_refused(tmp_path, value):
    with pytest.raises(DataError, match="cannot be read as an image"):
        image_array([value], 3, tmp_path)


def test_sounds_are_padded_with_zeros_beside_their_lengths_and_brought_to_the_rate(tmp_path):
    file = io.BytesIO()
    with wave.open(file, "wb") as out:
        out.setparams((1, 2, 4000, 0, "NONE", ""))
        out.writeframes(np.full(50, 8192, "<i2").tobytes())
    (tmp_path / "a.wav").write_bytes(file.getvalue())
    short = np.full(3, 0.5, np.float32)
    samples, lengths = audio_arrays(["a.wav", short, file.getvalue()], 8000, tmp_path)
    assert (samples.dtype, samples.shape, lengths.tolist()) == (np.float32, (3, 100), [100, 3, 100])
    assert samples[1].tolist() == [0.5] * 3 + [0] * 97
    np.testing.assert_array_equal(samples[0], samples[2])
    assert samples[0, 30:70] == pytest.approx(0.25, abs=0.01)


def test_no_sounds_are_an_empty_array():
    samples, lengths = audio_arrays([], 8000, Path())
    assert (samples.shape, lengths.shape) == ((0, 1), (0,))
