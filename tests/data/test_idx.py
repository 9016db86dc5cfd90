"""Images whose pixels stand in the file."""

import gzip
import struct

import numpy as np
import pandas as pd
import pytest
from sklearn.datasets import load_digits

from ann.config.data import DataParams
from ann.config.reading import Reading
from ann.data.idx import has_pixels, join_pixels
from ann.data.sources import file_of_rows, read_table, source_files
from ann.errors import DataError
from ann.project import Project

DATA = DataParams(target="digit")
RANDOM = np.random.default_rng(0)


@pytest.fixture
def project(params_file):
    (params_file.parent / "data").mkdir()
    return Project.at(params_file.parent)


def idx(values):
    """Write the format by its description: two zeros, type, dimensions, sizes big-endian, bytes."""
    return struct.pack(f">BBBB{values.ndim}I", 0, 0, 8, values.ndim, *values.shape) + values.astype(np.uint8).tobytes()


def put(project, name, content):
    (project.root / "data" / name).write_bytes(content)


def put_set(project, images, labels, name="train", join="-", suffix=""):
    pack = gzip.compress if suffix else bytes
    put(project, f"{name}-images{join}idx3-ubyte{suffix}", pack(idx(images)))
    put(project, f"{name}-labels{join}idx1-ubyte{suffix}", pack(idx(labels)))


@pytest.mark.parametrize("join", ["-", "."])
@pytest.mark.parametrize("suffix", ["", ".gz"])
def test_images_and_labels_come_back(project, join, suffix):
    digits = load_digits()
    put_set(project, digits.images, digits.target, join=join, suffix=suffix)
    table = read_table(DATA, project)
    assert list(table.columns) == ["image", "digit"]
    assert (np.stack(table["image"].to_list()) == digits.images).all()
    assert table["image"][0].dtype == np.uint8
    assert table["digit"].tolist() == digits.target.tolist()


def test_all_sets_of_a_folder_are_one_table_that_knows_its_files(project):
    put_set(project, RANDOM.integers(0, 256, (5, 2, 3)), np.arange(5))
    put_set(project, RANDOM.integers(0, 256, (2, 2, 3)), np.arange(2), name="t10k", suffix=".gz")
    put(project, "README", b"about")
    table = read_table(DATA, project)
    assert table["digit"].tolist() == [0, 1, 0, 1, 2, 3, 4]
    assert file_of_rows(table)[[0, 2]].tolist() == ["t10k-images-idx3-ubyte.gz", "train-images-idx3-ubyte"]
    assert len(source_files(DATA, project)) == 4


def test_a_path_may_name_the_images_of_one_set(project):
    for name in ("train", "t10k"):
        put_set(project, RANDOM.integers(0, 256, (5, 2, 3)), np.arange(5), name=name)
    one = DataParams(target="digit", path="data/train-images-idx3-ubyte")
    assert len(read_table(one, project)) == 5


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("train-labels-idx1-ubyte", None, "train-images-idx3-ubyte has no file of labels, .*labels-idx1-ubyte"),
        ("train-images-idx3-ubyte", None, "train-labels-idx1-ubyte has no file of images, .*images-idx3-ubyte"),
        ("train-labels-idx1-ubyte", idx(np.arange(4)), "holds 5 images, but train-labels-idx1-ubyte 4 labels"),
        ("train-labels-idx1-ubyte", idx(np.arange(5))[:-1], r"must hold 5 values of the shape \(5,\), but holds 4"),
        ("train-labels-idx1-ubyte", b"", "is no IDX file of bytes with 1 dimensions"),
        ("train-labels-idx1-ubyte", idx(np.zeros((5, 1))), "is no IDX file of bytes with 1 dimensions"),
        ("train-labels-idx1-ubyte", idx(np.zeros(0)), "train-labels-idx1-ubyte has no rows"),
        ("train-images-idx3-ubyte.gz", b"no gzip", r"train-images-idx3-ubyte\.gz cannot be read: "),
    ],
)
def test_a_damaged_set_is_refused_by_file(project, name, content, message):
    put_set(project, RANDOM.integers(0, 256, (5, 2, 3)), np.arange(5))
    (project.root / "data" / name.removesuffix(".gz")).unlink()
    if content is not None:
        put(project, name, content)
    with pytest.raises(DataError, match=message):
        read_table(DATA, project)


def test_images_have_one_label_of_another_name(project):
    put_set(project, RANDOM.integers(0, 256, (5, 2, 3)), np.arange(5))
    with pytest.raises(DataError, match=r"data\.target must be one name other than 'image'; got image"):
        read_table(DataParams(target="image"), project)


def table_of(names, pixels):
    return pd.DataFrame(pixels.reshape(len(pixels), -1), columns=names).assign(digit=["a", "b"])


def joined(table):
    return np.stack(join_pixels(table, DATA, "a.csv")["image"].to_list())


def test_numbered_pixels_are_a_square_in_any_order_of_columns():
    pixels = RANDOM.integers(0, 256, (2, 12, 12))
    table = table_of([f"pixel{i}" for i in range(144)], pixels)
    assert (joined(table) == pixels).all()
    assert (joined(table[sorted(table.columns)]) == pixels).all()


def test_three_pixels_a_place_are_colours():
    pixels = RANDOM.integers(0, 256, (2, 6, 6, 3))
    assert (joined(table_of([f"pixel{i:04}" for i in range(108)], pixels)) == pixels).all()


def test_placed_pixels_need_be_no_square():
    pixels = RANDOM.integers(0, 256, (2, 3, 11))
    assert (joined(table_of([f"{r}x{c}" for r in range(1, 4) for c in range(1, 12)], pixels)) == pixels).all()


@pytest.mark.parametrize("value", [256, -1, 0.5, np.nan])
def test_what_is_no_byte_is_no_pixel(value):
    table = table_of([f"pixel{i}" for i in range(4)], np.zeros((2, 4))).astype({"pixel2": float})
    table.loc[1, "pixel2"] = value
    with pytest.raises(DataError, match=r"a\.csv: column 'pixel2' must hold pixels, whole numbers of 0 to 255"):
        joined(table)


@pytest.mark.parametrize("names", [["pixel0", "pixel1"], ["1x1", "2x2"], ["pixel0", "pixel1", "pixel2", "1x1"]])
def test_columns_that_fill_no_square_are_refused(names):
    with pytest.raises(DataError, match=rf"{len(names)} columns of pixels make no image"):
        joined(table_of(names, np.zeros((2, len(names)))))


def test_a_table_without_pixels_is_refused_as_such(project):
    put(project, "a.csv", b"age,digit\n1,a\n")
    with pytest.raises(DataError, match=r"a\.csv has no columns of pixels, such as pixel0 or 1x1"):
        read_table(DataParams(target="digit", reading=Reading(format="pixels")), project)


def test_a_table_is_taken_for_images_only_where_all_columns_but_one_are_pixels():
    pixels = [f"pixel{i}" for i in range(16)]
    assert has_pixels(["label", *pixels])
    assert not has_pixels(pixels)
    assert not has_pixels(["label", "age", *pixels])
    assert not has_pixels(["label", *pixels[:4]])
