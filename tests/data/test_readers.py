"""Cells of text files: what becomes a number, what stays, and what a row is."""

import csv
import io
import math

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ann.config.data import Column, DataParams
from ann.config.reading import Reading
from ann.data.readers import read_rows
from ann.data.sniffing import SAMPLE_BYTES
from ann.errors import DataError


def read(folder, text, reading=None, name="a.csv", **data):
    path = folder / name
    path.write_bytes(text.encode("utf-8") if isinstance(text, str) else text)
    params = DataParams(**{"target": "y", "reading": reading or Reading(), **data})
    return read_rows([path], params)[0]


def plain_number(cell):
    """The oracle: a number is what Python's float takes, without its words and its underscores."""
    if cell.strip("+-").lower() == "nan" or "_" in cell or not cell.isascii():
        return None
    try:
        return float(cell)
    except ValueError:
        return None


CELLS = [
    "007", "+5", "-0", "1.", ".5", "1e5", "-1E+5", "1e-320", "0.1", "2.2250738585072011e-308", "123456789.123456789",
    "9007199254740993", "9223372036854775807", "12345678901234567890", "123456789012345678901234", "inf", "-Infinity",
    "nan", "NaN", "0x1A", "1_000", "1,000", "1d5", "5-", "+", "-", ".", "e5", "1e", "++1", "+-1", "٣", "True", "1 2",
]  # fmt: skip


@pytest.mark.parametrize("cell", CELLS)
def test_a_column_is_numbers_exactly_where_python_reads_its_cells_as_such(tmp_path, cell):
    column = read(tmp_path, f'x,y\n"{cell}",a\n2,b\n')["x"]
    number = plain_number(cell)
    if number is None:
        assert column.tolist() == [cell, "2"]
    else:
        assert column.dtype.kind in "iuf"
        assert float(column[0]) == number
        assert math.copysign(1, column[0]) == math.copysign(1, number) or number == 0
        assert column[1] == 2


@given(st.lists(st.floats(allow_nan=False, allow_infinity=False), min_size=1, max_size=5))
def test_every_float_comes_back_bit_for_bit(tmp_path_factory, values):
    text = "x,y\n" + "".join(f"{value!r},a\n" for value in values)
    assert read(tmp_path_factory.mktemp("floats"), text)["x"].tolist() == values


@given(
    st.lists(st.tuples(*[st.text(st.characters(codec="utf-8", exclude_characters="\0"))] * 2), min_size=1, max_size=6)
)
def test_texts_come_back_as_the_csv_module_reads_them(tmp_path_factory, rows):
    rows = [(f"a{left}", right) for left, right in rows]  # no row is empty
    file = io.StringIO(newline="")
    csv.writer(file, quoting=csv.QUOTE_ALL).writerows([("x", "y"), *rows])
    table = read(tmp_path_factory.mktemp("texts"), file.getvalue(), columns={"y": Column(type="category")}, target="x")
    expected = [[cell.strip() for cell in row] for row in rows]
    assert table.fillna("").to_numpy().tolist() == expected


def test_whole_numbers_that_float_cannot_hold_stay_whole(tmp_path):
    table = read(tmp_path, "a,b,y\n9007199254740993,12345678901234567890,u\n1,2,v\n")
    assert table["a"].tolist() == [9007199254740993, 1]
    assert table["b"].tolist() == [12345678901234567890, 2]


def test_whole_numbers_with_gaps_and_empty_columns_are_floats(tmp_path):
    table = read(tmp_path, "a,b,y\n1,,u\n,,v\n")
    assert str(table["a"].dtype) == str(table["b"].dtype) == "float64"
    assert table.isna().sum().tolist() == [1, 2, 0]


@pytest.mark.parametrize("kind", ["category", "text", "date"])
def test_a_column_that_is_called_no_number_keeps_its_cells(tmp_path, kind):
    table = read(tmp_path, "x,y\n007,a\n1.0,b\n", columns={"x": Column(type=kind)})
    assert table["x"].tolist() == ["007", "1.0"]


@pytest.mark.parametrize(
    ("cells", "data", "numeric"),
    [
        ("01 02 01", {}, False),
        ("1.0 2.0 1.0", {}, False),
        ("0.5 1.5 2", {}, True),
        (" ".join(map(str, range(30))), {}, True),
        (" ".join(map(str, range(30))), {"task": "multiclass"}, False),
        ("1 2 1", {"task": "regression"}, True),
        ("1 2 1", {"quantiles": (0.1, 0.5, 0.9)}, True),
        ("1 2 1", {"windows": {"length": 2, "horizon": 1}}, True),
        ("1 2 1", {"target": ("x", "y")}, True),
    ],
)
def test_a_target_of_classes_keeps_its_labels_and_one_of_numbers_is_numbers(tmp_path, cells, data, numeric):
    text = "x,y\n" + "".join(f"{row},{cell}\n" for row, cell in enumerate(cells.split()))
    column = read(tmp_path, text, **data)["y"]
    assert pd.api.types.is_numeric_dtype(column) == numeric
    if not numeric:
        assert column.tolist() == cells.split()


def test_a_decimal_comma_is_a_parameter(tmp_path):
    table = read(tmp_path, "a;b;y\n1,5;1.5;u\n-2;2;v\n", Reading(decimal=","))
    assert table["a"].tolist() == [1.5, -2]
    assert table["b"].tolist() == ["1.5", "2"]
    assert read(tmp_path, "a;y\n1,5;u\n2;v\n")["a"].tolist() == ["1,5", "2"]


def test_cells_are_stripped_of_all_that_python_calls_space(tmp_path):
    table = read(tmp_path, "x,y\n\u00a0north\u2003,a\n 7 x,b\n\x1f,c\n")
    assert table["x"].tolist()[:2] == ["north", "7 x"]
    assert pd.isna(table["x"][2])


def test_quoted_separators_line_ends_and_quotes_are_part_of_a_cell(tmp_path):
    table = read(tmp_path, '"x, 1","y"\r\n"a, ""b""\nc",u\r\nd"e,v\r\n')
    assert table["x, 1"].tolist() == ['a, "b"\nc', 'd"e']


def test_a_space_after_each_separator_is_no_part_of_a_cell_nor_hides_a_quote(tmp_path):
    table = read(tmp_path, '|1x3 comment\n39, "a, b", u\n\n40, c d, v\n', Reading(names=("age", "x", "y")))
    assert table["x"].tolist() == ["a, b", "c d"]
    assert table["age"].tolist() == [39, 40]


def test_a_short_row_of_a_spaced_file_is_refused(tmp_path):
    with pytest.raises(DataError, match=r"a\.csv row 2 has 2 cells, but data\.reading\.names gives 3"):
        read(tmp_path, "39, a, u\n40, v\n", Reading(names=("age", "x", "y")))


def test_quotes_of_tab_separated_sentences_are_signs_of_the_text(tmp_path):
    table = read(tmp_path, 'x\ty\n"so" it goes\t1\n" alas\t0\n', name="a.tsv")
    assert table["x"].tolist() == ['"so" it goes', '" alas']


def test_tab_separated_cells_in_quotes_are_freed_of_them(tmp_path):
    assert read(tmp_path, 'x\ty\n"it ""goes"""\t1\nno\t0\n', name="a.tsv")["x"].tolist() == ['it "goes"', "no"]


def test_comment_lines_are_passed_over(tmp_path):
    assert read(tmp_path, "|by UCI\nx,y\n1,a\n|more\n2,b\n")["x"].tolist() == [1, 2]


def test_a_cell_that_begins_with_a_bar_is_no_comment(tmp_path):
    assert read(tmp_path, "x,y\n|a,u\nb,v\n")["x"].tolist() == ["|a", "b"]


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-16-le", "cp1252", "shift_jis"])
def test_a_given_encoding_is_read(tmp_path, encoding):
    text = "x,y\n1,日\n2,本\n" if "cp" not in encoding else "x,y\n1,é\n2,ü\n"
    table = read(tmp_path, text.encode(encoding), Reading(encoding=encoding))
    assert table.to_numpy().tolist() == [[int(a), b] for a, b in (row.split(",") for row in text.split()[1:])]


def test_names_may_be_given_or_replace_a_header(tmp_path):
    names = Reading(names=("a", "y"))
    assert read(tmp_path, "1,u\n2,v\n", names)["a"].tolist() == [1, 2]
    assert read(tmp_path, "a,y\n1,u\n2,v\n", names)["a"].tolist() == [1, 2]
    replaced = read(tmp_path, "old,target\n1,u\n2,v\n", Reading(names=("a", "y"), header=True))
    assert replaced["a"].tolist() == [1, 2]


def test_a_column_without_a_name_gets_one(tmp_path):
    assert list(read(tmp_path, ",x,y\n0,5,u\n1,6,v\n").columns) == ["Unnamed: 0", "x", "y"]


def test_a_torn_archive_is_refused_by_name(tmp_path):
    with pytest.raises(DataError, match=r"a\.csv\.gz cannot be read: "):
        read(tmp_path, b"no gzip", name="a.csv.gz")


def test_a_header_longer_than_the_sample_is_read(tmp_path):
    names = ",".join(f"gene{i}" for i in range(8_000))
    values = ",".join(map(str, range(8_000)))
    table = read(tmp_path, f"{names},y\n{values},a\n{values},b\n")
    assert len(names) > SAMPLE_BYTES
    assert table.shape == (2, 8_001)
    assert table["gene7999"].tolist() == [7_999, 7_999]
