"""Folders of media files: a row a file, its class from the folder or from its name."""

import numpy as np
import pandas as pd
import pytest

from ann.config.data import Column, DataParams
from ann.config.reading import Reading
from ann.data.sources import read_table
from ann.errors import DataError
from ann.project import Project

SPOKEN = r"(?P<digit>\d)_(?P<speaker>\w+)_(?P<take>\d+)?"


@pytest.fixture
def project(params_file):
    (params_file.parent / "data").mkdir()
    return Project.at(params_file.parent)


def put(project, *names, content=b"x"):
    for name in names:
        path = project.root / "data" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)


def test_the_class_is_the_folder_that_a_file_lies_in(project):
    put(project, "train/cat/1.png", "train/dog/1.jpeg", "test/cat/2.GIF", "README.md")
    table = read_table(DataParams(target="animal"), project)
    expected = ["test/cat/2.GIF", "train/cat/1.png", "train/dog/1.jpeg"]
    assert table["image"].tolist() == [project.root / "data" / name for name in expected]
    assert table["animal"].tolist() == ["cat", "cat", "dog"]
    assert table["image"].dtype == object
    assert isinstance(table.index, pd.RangeIndex)


def test_named_groups_of_the_file_name_become_columns_of_text(project):
    put(project, "7_ann_0.wav", "3_bob_12.WAV", "5_eve_.wav")
    table = read_table(DataParams(target="digit", reading=Reading(pattern=SPOKEN)), project)
    assert list(table.columns) == ["audio", "digit", "speaker", "take"]
    assert table["digit"].tolist() == ["3", "5", "7"]
    assert table["speaker"].tolist() == ["bob", "eve", "ann"]
    assert table["take"].fillna("missing").tolist() == ["12", "missing", "0"]


def test_a_group_that_is_called_a_number_is_one(project):
    put(project, "7_ann_0.wav", "3_bob_12.wav")
    data = DataParams(target="speaker", reading=Reading(pattern=SPOKEN), columns={"take": Column(type="number")})
    assert read_table(data, project)["take"].tolist() == [12, 0]
    put(project, "x_y.wav")
    wrong = Reading(pattern=r"(?P<take>\w)_(?P<speaker>\w+)")
    with pytest.raises(DataError, match="group 'take' must hold numbers"):
        read_table(data.model_copy(update={"reading": wrong}), project)


def test_the_folder_names_the_target_that_is_no_group(project):
    put(project, "cat/a_1.png", "dog/b_2.png")
    table = read_table(DataParams(target="animal", reading=Reading(pattern="(?P<owner>.)_.")), project)
    assert table["animal"].tolist() == ["cat", "dog"]
    assert table["owner"].tolist() == ["a", "b"]


def test_several_targets_come_from_the_name(project):
    put(project, "0_1.png", "1_0.png")
    reading = Reading(pattern="(?P<round>.)_(?P<red>.)")
    assert read_table(DataParams(target=("round", "red"), reading=reading), project)["red"].tolist() == ["1", "0"]
    with pytest.raises(DataError, match=r"has no column 'blue', which data\.target names"):
        read_table(DataParams(target=("round", "blue"), reading=reading), project)


@pytest.mark.parametrize(
    ("name", "reading", "target", "message"),
    [
        ("1.png", {}, "animal", r"1\.png lies in no folder of a class: put it into data/CLASS/, or .*pattern"),
        ("cat/1.png", {"pattern": "(?P<a>x)"}, "animal", r"1\.png: '1' does not fit data\.reading\.pattern"),
        ("cat/12.png", {"pattern": "(?P<a>1)"}, "animal", r"'12' does not fit data\.reading\.pattern .* as a whole"),
        ("cat/1.png", {"pattern": "(?P<image>1)"}, "animal", "has a group 'image', the column of files"),
        ("cat/1.png", {}, "image", "data.target cannot be 'image', the column of files"),
    ],
)
def test_what_makes_no_row_is_refused(project, name, reading, target, message):
    put(project, name)
    with pytest.raises(DataError, match=message):
        read_table(DataParams(target=target, reading=Reading(**reading)), project)


def test_an_empty_file_is_refused_by_its_path(project):
    put(project, "cat/1.png")
    put(project, "cat/2.png", content=b"")
    with pytest.raises(DataError, match=r"data/cat/2\.png is empty \(0 bytes\): replace or remove it"):
        read_table(DataParams(target="animal"), project)


def test_many_files_are_in_the_order_of_their_paths(project):
    folder = project.root / "data" / "cat"
    folder.mkdir()
    for number in np.random.default_rng(0).permutation(300):
        (folder / f"{number}.bmp").write_bytes(b"x")
    paths = read_table(DataParams(target="animal"), project)["image"].map(str).tolist()
    assert paths == sorted(paths)
    assert len(paths) == 300
