"""Reading a data set from files, and what is refused."""

import pandas as pd
import pytest

from ann.config.data import Column, DataParams
from ann.data.sources import read_file, read_table, source_files
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
    table = read_table(DataParams(target="bought", separator=";"), project)
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
    assert "holds no file that ends in .csv or .parquet: add one with `ann data add FILE`" in refusal(project)
    (project.root / "data").rmdir()
    assert "does not exist: add your file with `ann data add FILE`" in refusal(project)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", "a.csv is empty: it must have a header line and rows"),
        ("age,bought\n", "a.csv has no rows"),
        ("age,bought\n1,yes\n2,no,3\n", "a.csv cannot be read: Error tokenizing data"),
        ("age,bought\n1,yes,\n2,no,\n", "a.csv"),
        ("age,age,bought\n1,2,yes\n", "a.csv: column names must differ; doubled: age"),
        ("age,brought\n1,yes\n", "a.csv has no column 'bought', which data.target names (did you mean 'brought'?)"),
    ],
    ids=["empty", "header only", "a longer row", "all rows longer than the header", "doubled column", "no target"],
)
def test_a_damaged_csv_file_is_refused_by_name(project, text, expected):
    put(project, text)
    assert expected in refusal(project)


def test_a_csv_file_of_another_encoding_is_refused(project):
    (project.root / "data" / "a.csv").write_bytes("town,bought\nKöln,yes\n".encode("latin-1"))
    assert "a.csv cannot be read: 'utf-8' codec can't decode" in refusal(project)


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
