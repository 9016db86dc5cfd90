"""Reading a data set from files, and what is refused."""

import gzip
import logging

import numpy as np
import pandas as pd
import pytest

from ann.config.data import Column, DataParams
from ann.config.reading import Reading
from ann.data.sources import file_of_rows, read_file, read_table, source_files
from ann.errors import DataError
from ann.project import Project

DATA = DataParams(target="bought")


@pytest.fixture
def project(params_file):
    (params_file.parent / "data").mkdir()
    return Project.at(params_file.parent)


def put(project: Project, text: str, name: str = "a.csv") -> None:
    (project.root / "data" / name).write_text(text, encoding="utf-8")


def refusal(project: Project, data: DataParams = DATA) -> str:
    with pytest.raises(DataError) as caught:
        read_table(data, project)
    return str(caught.value)


@pytest.mark.parametrize("suffix", ["csv", "parquet"])
def test_a_file_comes_back_as_the_table_that_was_written(project, table, suffix):
    path = project.root / "data" / f"shop.{suffix}"
    table.to_csv(path, index=False) if suffix == "csv" else table.to_parquet(path)
    pd.testing.assert_frame_equal(read_table(DATA, project), table)


def test_several_files_of_both_kinds_are_one_table_in_order_of_their_names(project, table):
    table.iloc[:100].to_csv(project.root / "data" / "2024.csv", index=False)
    table.iloc[100:].to_parquet(project.root / "data" / "2025.parquet")
    (project.root / "data" / "notes.txt").write_text("no table")
    pd.testing.assert_frame_equal(read_table(DATA, project), table)
    assert [file.name for file in source_files(DATA, project)] == ["2024.csv", "2025.parquet"]


def test_a_path_may_name_one_file(project):
    put(project, "age,bought\n1,yes\n", "a.csv")
    put(project, "age,bought\n2,no\n", "b.csv")
    one = read_table(DataParams(target="bought", path="data/b.csv"), project)
    assert one["age"].tolist() == [2]


def test_the_separator_is_a_parameter_and_a_byte_order_mark_is_no_part_of_a_name(project):
    put(project, "\ufeffage;bought\n1;yes\n2;no\n")
    table = read_table(DataParams(target="bought", reading=Reading(separator=";")), project)
    assert list(table.columns) == ["age", "bought"]
    assert table["age"].tolist() == [1, 2]


def test_missing_markers_become_missing_in_text_and_in_numbers(project):
    put(project, "age,town,bought\n1,?,yes\n?,north,no\n3,NA,no\n")
    table = read_table(DataParams(target="bought", missing=("?", "NA")), project)
    assert table["age"].dtype == "float64"
    assert table.isna().to_numpy().tolist() == [[False, True, False], [True, False, False], [False, True, False]]


def test_an_empty_cell_is_missing_whatever_the_markers_are(project):
    put(project, "age,town,bought\n1,,yes\n,north,no\n3,?,no\n")
    table = read_table(DataParams(target="bought", missing=("?",)), project)
    assert table["age"].dtype == "float64"
    assert table.isna().to_numpy().tolist() == [[False, True, False], [True, False, False], [False, True, False]]


def test_a_text_that_is_no_marker_stays_as_it_is(project):
    put(project, "town,bought\nNA,yes\nnull,no\nNone,no\n")
    assert read_table(DATA, project)["town"].tolist() == ["NA", "null", "None"]


def test_missing_markers_become_missing_in_a_parquet_file_too(project):
    frame = pd.DataFrame({"town": ["?", "north"], "age": [1, 2], "bought": ["yes", "no"]})
    frame.to_parquet(project.root / "data" / "a.parquet")
    table = read_table(DataParams(target="bought", missing=("?",)), project)
    assert table["town"].isna().tolist() == [True, False]


def test_data_that_is_tracked_but_not_there_names_the_command_that_fetches_it(project):
    project.data_file.write_text("outs: []\n")
    (project.root / "data").rmdir()
    assert "is not there, but data.dvc tracks it: run `dvc pull data.dvc`" in refusal(project)


def test_data_that_was_never_added_names_the_command_that_adds_it(project):
    assert "holds no file that can be read (.csv, .parquet, .tsv, " in refusal(project)
    assert "): add one with `ann data add FILE`" in refusal(project)
    (project.root / "data").rmdir()
    assert "does not exist: add your file with `ann data add FILE`" in refusal(project)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", "a.csv is empty: it must have a header line and rows"),
        ("age,bought\n", "a.csv has no rows"),
        ("age,bought\n1,yes\n2,no,3\n", "a.csv row 3 has 3 cells, but the header has 2"),
        ("age,bought\n1,yes,\n2,no,\n", "a.csv row 2 has 3 cells, but the header has 2"),
        ("age,bought\n1,yes\n2\n", "a.csv row 3 has 1 cells, but the header has 2"),
        ("age,age,bought\n1,2,yes\n", "a.csv: column names must differ; doubled: age"),
        ("age,brought\n1,yes\n", "a.csv has no column 'bought', which data.target names (did you mean 'brought'?)"),
    ],
    ids=["empty", "header only", "a longer row", "all rows longer", "a shorter row", "doubled column", "no target"],
)
def test_a_damaged_csv_file_is_refused_by_name(project, text, expected):
    put(project, text)
    assert expected in refusal(project)


def test_a_csv_file_of_another_encoding_than_the_given_one_is_refused(project):
    (project.root / "data" / "a.csv").write_bytes("town,bought\nKöln,yes\n".encode("latin-1"))
    expected = "a.csv is not utf-8: 'utf-8' codec can't decode"
    assert expected in refusal(project, DataParams(target="bought", reading=Reading(encoding="utf-8")))


def test_a_guessed_encoding_is_told(project, caplog):
    (project.root / "data" / "a.csv").write_bytes("town,bought\nKöln,yes\nBonn,no\n".encode("latin-1"))
    assert read_table(DATA, project)["town"].tolist() == ["Köln", "Bonn"]
    assert caplog.record_tuples[0][:2] == ("ann.data", logging.WARNING)
    assert "a.csv is not UTF-8 and is read as cp1252" in caplog.text


def test_a_byte_that_is_not_utf8_after_the_sample_is_refused_with_the_way_out(project):
    rows = b"town,bought\n" + b"north,yes\n" * 10_000 + "Köln,no\n".encode("latin-1")
    (project.root / "data" / "a.csv").write_bytes(rows)
    assert "a.csv cannot be read: it is not UTF-8 throughout: name its codec in data.reading.encoding" in refusal(
        project
    )


def test_a_parquet_file_that_is_none_is_refused(project):
    put(project, "junk", "a.parquet")
    assert "a.parquet cannot be read: " in refusal(project)


def test_files_of_different_columns_are_refused_with_the_difference(project):
    put(project, "age,bought\n1,yes\n", "a.csv")
    put(project, "aged,bought\n1,yes\n", "b.csv")
    assert "b.csv and a.csv must have the same columns; they differ in ['age', 'aged']" in refusal(project)


def test_files_of_another_order_of_columns_are_refused(project):
    put(project, "age,bought\n1,yes\n", "a.csv")
    put(project, "bought,age\nyes,1\n", "b.csv")
    assert "they differ in their order" in refusal(project)


def test_a_correction_of_a_column_that_is_not_there_is_refused(project):
    put(project, "age,bought\n1,yes\n")
    data = DataParams(target="bought", columns={"agee": Column(role="drop")})
    assert "a.csv has no column 'agee', which data.columns names (did you mean 'age'?)" in refusal(project, data)


def test_a_file_of_another_kind_is_refused_with_the_known_ones(tmp_path):
    (tmp_path / "a.xlsx").write_bytes(b"PK")
    with pytest.raises(DataError, match=r"a\.xlsx: cannot read \.xlsx; known: \.csv, \.parquet"):
        read_file(tmp_path / "a.xlsx", DATA)


def test_one_file_is_checked_and_marked_as_the_whole_set_is(tmp_path):
    (tmp_path / "a.csv").write_text("town,bought\n?,yes\n")
    assert read_file(tmp_path / "a.csv", DataParams(target="bought", missing=("?",)))["town"].isna().all()
    with pytest.raises(DataError, match="has no column 'sold'"):
        read_file(tmp_path / "a.csv", DataParams(target="sold"))


def test_the_source_file_of_each_row_is_known_also_of_a_part(project):
    put(project, "age,bought\n1,yes\n2,no\n", "a.csv")
    (project.root / "data" / "test").mkdir()
    put(project, "age,bought\n3,yes\n", "test/b.csv")
    table = read_table(DATA, project)
    assert table.attrs["files"] == [("a.csv", 2), ("test/b.csv", 1)]
    assert file_of_rows(table).tolist() == ["a.csv", "a.csv", "test/b.csv"]
    assert file_of_rows(table[table["bought"] == "yes"]).tolist() == ["a.csv", "test/b.csv"]


def test_the_source_file_of_each_picture_is_known(project):
    picture(project, "train/cat/1.png")
    picture(project, "test/dog/2.JPG")
    table = read_table(DATA, project)
    assert table["bought"].tolist() == ["dog", "cat"]
    assert file_of_rows(table).tolist() == ["test/dog/2.JPG", "train/cat/1.png"]
    assert file_of_rows(table.iloc[[1]]).tolist() == ["train/cat/1.png"]


def test_a_column_is_numbers_only_where_it_is_in_all_files(project):
    put(project, "age,bought\n1,yes\n", "a.csv")
    put(project, "age,bought\nold,no\n", "b.csv")
    assert read_table(DATA, project)["age"].tolist() == ["1", "old"]


def test_all_files_are_read_as_the_first_is_written(project):
    put(project, "age;bought\n1;yes\n", "a.csv")
    put(project, "age,bought\n2,no\n", "b.csv")
    assert "b.csv and a.csv must have the same columns; they differ in" in refusal(project)


def test_the_columns_of_every_target_must_be_there(project):
    put(project, "age,bought\n1,yes\n")
    expected = "a.csv has no column 'sold', which data.target names"
    assert expected in refusal(project, DataParams(target=("bought", "sold")))


def test_hidden_files_and_those_about_the_data_are_no_data(project):
    put(project, "age,bought\n1,yes\n")
    for name in (".gitignore", ".hidden.csv", "README.txt", "LICENSE", "license.txt", "notes.txt", "adult.names"):
        put(project, "nothing", name)
    (project.root / "data" / ".cache").mkdir()
    put(project, "nothing", ".cache/b.csv")
    assert [file.name for file in source_files(DATA, project)] == ["a.csv"]


def test_text_files_are_rows_where_nothing_else_is(project):
    put(project, "age,bought\n1,yes\n", "a.txt")
    put(project, "nothing", "README.txt")
    assert [file.name for file in source_files(DATA, project)] == ["a.txt"]


def test_a_mixture_of_formats_is_refused_and_a_named_format_is_taken_out_of_it(project):
    put(project, "age,bought\n1,yes\n2,no\n")
    picture(project, "yes/1.png")
    expected = (
        r"several formats: csv or parquet \(a.csv\), images \(yes/1.png\). Name the one .* in data.reading.format"
    )
    with pytest.raises(DataError, match=expected):
        read_table(DATA, project)
    assert "age" in read_table(DataParams(target="bought", reading=Reading(format="csv")), project)
    assert "image" in read_table(DataParams(target="bought", reading=Reading(format="images")), project)


def test_a_format_of_which_there_is_no_file_is_refused(project):
    put(project, "age,bought\n1,yes\n")
    expected = "holds no file that can be read (format audio): add one"
    assert expected in refusal(project, DataParams(target="bought", reading=Reading(format="audio")))


def test_a_file_of_unknown_suffix_is_read_where_its_format_is_named(tmp_path):
    (tmp_path / "a.dat").write_text("age,bought\n1,yes\n")
    with pytest.raises(
        DataError, match=r"a\.dat: cannot read \.dat; known: .* say what it is in data\.reading\.format"
    ):
        read_file(tmp_path / "a.dat", DATA)
    data = DataParams(target="bought", reading=Reading(format="csv"))
    assert read_file(tmp_path / "a.dat", data)["age"].tolist() == [1]


def test_a_table_may_name_files_of_pictures_that_lie_beside_it(project):
    picture(project, "pictures/1.png")
    put(project, "file,age,bought\npictures/1.png,1,yes\n,2,no\n")
    data = DataParams(target="bought", columns={"file": Column(type="image")})
    table = read_table(data, project)
    assert table["file"].dtype == object
    assert table["file"][0] == project.root / "data" / "pictures" / "1.png"
    assert pd.isna(table["file"][1])
    put(project, "file,age,bought\npictures/1.png,1,yes\npictures/2.png,2,no\n")
    assert "a.csv row 1, column 'file': " in refusal(project, data)
    assert "pictures/2.png is not there" in refusal(project, data)


def test_a_parquet_file_may_hold_encoded_pictures(project):
    frame = pd.DataFrame({"a": [{"bytes": b"one", "path": "1.png"}], "b": [b"two"], "bought": ["yes"]})
    frame.to_parquet(project.root / "data" / "a.parquet")
    columns = {"a": Column(type="image"), "b": Column(type="image")}
    table = read_table(DataParams(target="bought", columns=columns), project)
    assert (table["a"][0], table["b"][0]) == (b"one", b"two")


def test_a_cell_that_names_no_file_is_refused(project):
    pd.DataFrame({"file": [3], "bought": ["yes"]}).to_parquet(project.root / "data" / "a.parquet")
    data = DataParams(target="bought", columns={"file": Column(type="audio")})
    assert "a.parquet row 0, column 'file' must name a file or hold one, got '3'" in refusal(project, data)


def test_a_column_a_pixel_becomes_one_column_of_pictures_unless_a_table_is_asked_for(project):
    pixels = np.random.default_rng(0).integers(0, 256, (3, 16))
    frame = pd.DataFrame(pixels, columns=[f"pixel{i}" for i in range(16)]).assign(bought=["7", "1", "7"])
    frame.to_csv(project.root / "data" / "a.csv", index=False)
    table = read_table(DATA, project)
    assert list(table.columns) == ["image", "bought"]
    assert all((cell == row.reshape(4, 4)).all() for cell, row in zip(table["image"], pixels, strict=True))
    assert read_table(DataParams(target="bought", reading=Reading(format="csv")), project).shape == (3, 17)


def test_a_compressed_file_is_read_as_the_plain_one(project):
    (project.root / "data" / "a.csv.gz").write_bytes(gzip.compress(b"age,bought\n1,yes\n"))
    assert read_table(DATA, project)["age"].tolist() == [1]
    assert read_table(DATA, project).attrs["files"] == [("a.csv.gz", 1)]


def test_media_and_idx_are_no_single_files_of_rows(tmp_path):
    (tmp_path / "a.png").write_bytes(b"x")
    with pytest.raises(DataError, match=r"a\.png is no file of rows"):
        read_file(tmp_path / "a.png", DATA)


def picture(project: Project, name: str) -> None:
    path = project.root / "data" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"not decoded here")
