"""How a text file is written, from its first lines."""

import csv
import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ann.config.data import DataParams
from ann.config.reading import Reading
from ann.data.sniffing import Sniffed, sniff
from ann.errors import DataError


def sniffed(folder, text, target="y", **reading):
    path = folder / "a.csv"
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return sniff(path, DataParams(target=target, missing=("?",), reading=Reading(**reading)))


@pytest.mark.parametrize(
    ("text", "separator"),
    [
        ("x,y\n1,a\n", ","),
        ("x;y\n1;a\n", ";"),
        ("x\ty\nso, it goes\ta\nno; and no\tb\n", "\t"),
        ("x|y\n1|a\n", "|"),
        ("x;y\n1,5;a\n2,5;b\n", ";"),
        ("x,y\na;b;c,1\nd;e,2\n", ","),
        ('x;y\n"a,b,c";1\n"d;e";2\n', ";"),
        ("y\na\nb\n", ","),
        ("genres,y\nAction|Comedy,1\nDrama,2\n", ","),
        ("1,5;2,5;3,5\n4,5;5,5;6,5\n", ";"),
    ],
)
def test_the_separator_divides_every_line_into_equally_many_cells(tmp_path, text, separator):
    assert sniffed(tmp_path, text, header=True).separator == separator


SHORT = st.text("ab 'é1.", max_size=8)


@given(st.sampled_from(",;\t|"), st.lists(st.tuples(SHORT, SHORT, SHORT), min_size=2, max_size=20))
def test_the_separator_that_a_file_was_written_with_is_found(tmp_path_factory, separator, rows):
    file = io.StringIO(newline="")
    csv.writer(file, delimiter=separator, quoting=csv.QUOTE_ALL).writerows([("p", "q", "y"), *rows])
    found = sniffed(tmp_path_factory.mktemp("separators"), file.getvalue())
    assert (found.separator, found.names, found.header) == (separator, ("p", "q", "y"), True)


@pytest.mark.parametrize(
    ("content", "encoding", "assumed"),
    [
        ("x,y\né,1\n".encode(), "utf-8", False),
        ("x,y\né,1\n".encode("utf-8-sig"), "utf-8", False),
        ("x,y\né,1\n".encode("utf-16"), "utf-16", False),
        ("x,y\né,1\n".encode("cp1252"), "cp1252", True),
        (b"x,y\n" + b"a,1\n" * 16_382 + b"aaa,\xc3\xa9\n", "utf-8", False),
    ],
    ids=["utf-8", "mark", "utf-16", "cp1252", "a letter that the sample cuts"],
)
def test_the_encoding_is_unicode_or_an_assumption_that_is_told(tmp_path, content, encoding, assumed):
    found = sniffed(tmp_path, content)
    assert (found.encoding, found.assumed, found.names) == (encoding, assumed, ("x", "y"))


def test_bytes_that_no_assumption_fits_are_refused(tmp_path):
    with pytest.raises(DataError, match=r"a\.csv is not cp1252: .* name its codec in data\.reading\.encoding"):
        sniffed(tmp_path, b"x,y\n\xff\x81,1\n")


def test_a_first_row_of_names_over_numbers_is_a_header(tmp_path):
    assert sniffed(tmp_path, "p,q\n1,a\n2,b\n").header


def test_numbers_in_a_row_that_holds_the_target_are_names(tmp_path):
    assert sniffed(tmp_path, "2019,2020,y\n1,2,a\n").names == ("2019", "2020", "y")


@pytest.mark.parametrize(
    ("text", "sign"),
    [
        ("39, State-gov, <=50K\n50, Private, >50K\n", "holds the number 39"),
        ("red,?\ngreen,1\n", r"holds '\?', which data.missing names"),
        ("red,yes\ngreen,no\nred,no\n", "holds 'red', which stands in the same column again"),
    ],
)
def test_a_first_row_that_looks_like_data_is_refused_with_both_ways_out(tmp_path, text, sign):
    way = r"Give data\.reading\.names, or write data\.reading\.header: true"
    with pytest.raises(DataError, match=rf"a\.csv seems to have no header: its first row .* {sign}\. {way}"):
        sniffed(tmp_path, text)
    assert sniffed(tmp_path, text, header=True).header
    assert not sniffed(tmp_path, text, names=("a", "b", "c")).header


def test_given_names_over_what_looks_like_a_header_are_refused_until_it_is_said(tmp_path):
    with pytest.raises(DataError, match=r"the first row looks like a header \(p, q\): write data\.reading\.header"):
        sniffed(tmp_path, "p,q\n1,a\n2,b\n", names=("a", "y"))
    assert sniffed(tmp_path, "p,q\n1,a\n", names=("a", "y"), header=True).header
    assert not sniffed(tmp_path, "p,q\n1,a\n", names=("a", "y"), header=False).header


def test_the_raw_form_of_adult_is_understood(tmp_path):
    text = "|1x3 Cross validator\n25, Private, <=50K.\n38, ?, >50K.\n\n"
    found = sniffed(tmp_path, text, names=("age", "work", "y"))
    assert found == Sniffed(",", "utf-8", header=False, names=("age", "work", "y"), spaced=True)


def test_one_separator_without_a_space_makes_spaces_part_of_cells(tmp_path):
    assert not sniffed(tmp_path, "x, y\n1,a\n").spaced


def test_a_file_of_nothing_or_of_empty_lines_is_refused(tmp_path):
    for text in ("", "\n\n", "\ufeff"):
        with pytest.raises(DataError, match=r"a\.csv is empty: it must have a header line and rows"):
            sniffed(tmp_path, text)


def test_a_torn_last_line_of_the_sample_decides_nothing(tmp_path):
    assert sniffed(tmp_path, "x,y\n" + "1,a\n" * 40_000).separator == ","
    assert sniffed(tmp_path, "x;y\n" + "1;a,b,c,d\n" * 6_553 + "1;" + "a,b" * 99).separator == ";"
