"""What is told of media columns without learning from them."""

import io
import wave
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from ann.config.data import DataParams
from ann.data.description import described, without_media
from ann.data.expectations import propose_suite
from ann.data.schema import infer_schema
from ann.data.validation import errors, validate_table
from ann.errors import DataError


def png(height: int, width: int, mode: str = "RGB") -> bytes:
    file = io.BytesIO()
    Image.new(mode, (width, height)).save(file, "png")
    return file.getvalue()


def wav(samples: int, rate: int = 8000) -> bytes:
    file = io.BytesIO()
    with wave.open(file, "wb") as out:
        out.setparams((1, 2, rate, 0, "NONE", ""))
        out.writeframes(np.zeros(samples, "<i2").tobytes())
    return file.getvalue()


def column(*cells) -> pd.Series:
    return pd.Series(cells, dtype=object)


def test_a_table_without_media_stays_as_it_is(table):
    pd.testing.assert_frame_equal(described(table), table)
    pd.testing.assert_frame_equal(without_media(table), table)


def test_images_are_told_by_height_width_and_channels_where_the_column_stood(tmp_path):
    (tmp_path / "a.png").write_bytes(png(4, 7, "L"))
    cells = column(tmp_path / "a.png", png(5, 6), np.zeros((2, 3), np.uint8))
    found = described(pd.DataFrame({"a": [1, 2, 3], "x": cells, "b": list("uvw")}))
    assert list(found.columns) == ["a", "x.height", "x.width", "x.channels", "b"]
    assert found[["x.height", "x.width", "x.channels"]].to_numpy().tolist() == [[4, 7, 1], [5, 6, 3], [2, 3, 1]]
    assert set(map(str, found.dtypes[["x.height", "x.width", "x.channels"]])) == {"int64"}


def test_sounds_are_told_by_rate_and_seconds():
    found = described(pd.DataFrame({"x": column(wav(4000), wav(100, rate=16_000))}))
    assert found.to_dict("list") == {"x.rate": [8000, 16_000], "x.seconds": [0.5, 0.00625]}
    assert (str(found["x.rate"].dtype), str(found["x.seconds"].dtype)) == ("int64", "float64")


def test_a_missing_file_has_missing_facts():
    found = described(pd.DataFrame({"x": column(png(4, 7), None, np.nan)}))
    assert found["x.height"].isna().tolist() == [False, True, True]
    assert found["x.width"][0] == 7


def test_a_file_that_cannot_be_read_is_refused_by_name():
    with pytest.raises(DataError, match=r"none\.png cannot be read as an image .*or remove the row"):
        described(pd.DataFrame({"x": column(Path("none.png"))}))


def test_equal_files_have_equal_digests_and_rows_can_be_compared(tmp_path):
    (tmp_path / "a.png").write_bytes(png(4, 7))
    table = pd.DataFrame({"x": column(png(4, 7), tmp_path / "a.png", png(4, 8), None), "y": [1, 1, 1, 1]})
    found = without_media(table)
    assert found.duplicated().tolist() == [False, True, False, False]
    assert found["x"].isna().tolist() == [False, False, False, True]
    assert isinstance(table["x"][1], Path)


def test_a_suite_of_what_is_told_stops_an_image_of_another_kind():
    table = pd.DataFrame({"x": column(*[png(4 + i % 2, 7) for i in range(10)]), "t": ["no", "yes"] * 5})
    suite = propose_suite(described(table), infer_schema(table, DataParams(target="t")))
    found = validate_table(described(table), suite, examples=1, sensitive=())
    assert errors(found) == []
    other = described(table.assign(x=column(*[png(4, 7)] * 9, png(4, 70))))
    assert "x.width" in {verdict.column for verdict in errors(validate_table(other, suite, examples=1, sensitive=()))}
