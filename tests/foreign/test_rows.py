"""Rows of a stranger's file: what is read from .npz, .csv and .parquet, and what is refused."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from ann.errors import AnnError, ConfigError, DataError
from ann.foreign.rows import FEWEST, Rows, as_one, read_rows

RANDOM = np.random.default_rng(0)
N = 30
CLASSES = np.arange(N) % 3


def npz(folder: Path, **arrays: np.ndarray) -> Path:
    np.savez(folder / "rows.npz", **arrays)
    return folder / "rows.npz"


def csv(folder: Path, **columns: object) -> Path:
    pd.DataFrame(columns).to_csv(folder / "rows.csv", index=False)
    return folder / "rows.csv"


def test_arrays_of_a_npz_are_inputs_as_they_are(tmp_path: Path) -> None:
    image = RANDOM.integers(0, 255, (N, 1, 4, 4)).astype(np.uint8)
    rows = read_rows(npz(tmp_path, image=image, target=CLASSES), "target")
    assert list(rows.inputs) == ["image"]
    assert rows.inputs["image"].dtype == np.uint8
    np.testing.assert_array_equal(rows.inputs["image"], image)
    np.testing.assert_array_equal(rows.truth, CLASSES)
    assert (rows.names, rows.table) == (("0", "1", "2"), False)


@pytest.mark.parametrize("kind", ["csv", "parquet"])
def test_columns_of_a_table_are_inputs_one_by_one(tmp_path: Path, kind: str) -> None:
    table = pd.DataFrame(
        {
            "age": np.arange(N),
            "income": np.where(np.arange(N) == 4, np.nan, 1.5),
            "colour": ["red", None, "blue"] * (N // 3),
            "member": np.arange(N) % 2 == 0,
            "kind": ["b", "a", "c"] * (N // 3),
        }
    )
    path = tmp_path / f"rows.{kind}"
    table.to_csv(path, index=False) if kind == "csv" else table.to_parquet(path)
    rows = read_rows(path, "kind")
    assert {name: values.dtype.kind for name, values in rows.inputs.items()} == {
        "age": "i",
        "income": "f",
        "colour": "O",
        "member": "b",
    }
    assert list(rows.inputs["colour"][:3]) == ["red", "", "blue"]
    assert np.isnan(rows.inputs["income"]).sum() == 1
    assert rows.names == ("a", "b", "c")
    assert list(rows.truth[:3]) == [1, 0, 2]
    assert rows.table


def test_whole_numbers_stand_for_themselves_and_names_may_be_missing() -> None:
    rows = Rows({"x": np.zeros(2)}, np.array([0, 2]), ("0", "1", "2"))
    assert rows.target(4).classes == ("0", "1", "2", "class 3")
    assert rows.target(4).task == "multiclass"


@pytest.mark.parametrize(
    ("values", "names"),
    [(np.array([True, False] * 15), ("False", "True")), (np.array([-1, 1] * 15), ("-1", "1"))],
    ids=["truth values", "negative numbers"],
)
def test_other_classes_have_names(tmp_path: Path, values: np.ndarray, names: tuple[str, ...]) -> None:
    rows = read_rows(npz(tmp_path, x=np.zeros((N, 2)), y=values), "y")
    assert rows.names == names
    assert [rows.names[number] for number in rows.truth] == list(map(str, values))


def test_fractions_are_numbers_and_may_be_several_a_row(tmp_path: Path) -> None:
    values = RANDOM.normal(size=(N, 2))
    rows = read_rows(npz(tmp_path, x=np.zeros((N, 2)), y=values), "y")
    np.testing.assert_array_equal(rows.truth, values.astype(np.float32))
    target = rows.target(2)
    assert (target.task, target.names) == ("regression", ("target 0", "target 1"))
    np.testing.assert_array_equal(target.answers(values), values[:, :, None])


def test_rows_are_split_once_and_every_class_is_on_both_sides() -> None:
    truth = np.array([0] * 50 + [1] * 2 + [2] * 8 + [3])
    rows = Rows({"x": np.arange(61)}, truth, ("a", "b", "c", "d"))
    train, valid = rows.split(0.3, seed=1)
    both = np.concatenate([train.inputs["x"], valid.inputs["x"]])
    np.testing.assert_array_equal(np.sort(both), np.arange(61))
    np.testing.assert_array_equal(truth[valid.inputs["x"]], valid.truth)
    assert np.bincount(valid.truth, minlength=4).tolist() == [15, 1, 2, 0]
    again = rows.split(0.3, seed=1)
    np.testing.assert_array_equal(again[1].inputs["x"], valid.inputs["x"])
    assert rows.split(0.3, seed=2)[1].inputs["x"].tolist() != valid.inputs["x"].tolist()


def test_numbers_are_split_by_share() -> None:
    train, valid = Rows({"x": np.arange(40)}, np.zeros((40, 1)), ()).split(0.3, seed=0)
    assert (len(train.truth), len(valid.truth)) == (28, 12)


def test_classes_are_numbered_as_the_network_answers_them() -> None:
    rows = Rows({}, np.array([0, 1, 1, 2]), ("blue", "green", "red"))
    named = rows.named(("red", "green", "blue", "grey"))
    assert named.truth.tolist() == [2, 1, 1, 0]
    assert named.names == ("red", "green", "blue", "grey")
    with pytest.raises(DataError, match="the target holds the class 'blue', the network answers red, green"):
        rows.named(("red", "green"))


def test_a_class_that_no_row_has_need_not_be_answered() -> None:
    assert Rows({}, np.array([1, 3]), ("0", "1", "2", "3")).named(("1", "3")).truth.tolist() == [0, 1]


@pytest.mark.parametrize(
    ("rows", "outputs", "told"),
    [
        (Rows({}, CLASSES, ("0", "1", "2")), 2, r"3 classes \(up to '2'\), but the network gives 2 outputs"),
        (Rows({}, CLASSES, ("0", "1", "2")), 1, "gives one output a row"),
        (Rows({}, np.zeros((N, 1)), ()), 2, "holds numbers, 1 a row, but the network gives 2 outputs"),
    ],
)
def test_a_network_of_another_number_of_outputs_is_told(rows: Rows, outputs: int, told: str) -> None:
    with pytest.raises(DataError, match=told):
        rows.target(outputs)


@pytest.mark.parametrize("classes", [np.full(N, 1), np.eye(N)[0].astype(int)])
def test_a_single_class_cannot_be_judged(tmp_path: Path, classes: np.ndarray) -> None:
    _, valid = read_rows(npz(tmp_path, x=np.zeros((N, 2)), target=classes), "target").split(0.3, seed=0)
    with pytest.raises(DataError, match="two classes of two rows each"):
        valid.target(2)


def test_whole_numbers_are_predicted_by_a_single_output(tmp_path: Path) -> None:
    prices = RANDOM.permutation(np.arange(-N, N, 2)) * 100_000
    rows = read_rows(npz(tmp_path, x=prices[:, None], target=prices), "target")
    train, valid = (part.answered_by(1) for part in rows.split(0.3, seed=0))
    assert (len(train.truth), len(valid.truth)) == (21, 9)
    np.testing.assert_array_equal(valid.truth, valid.inputs["x"])
    assert valid.target(1).task == "regression"
    assert rows.answered_by(2) is rows
    binary = Rows({}, np.array([0, 1]), ("0", "1"))
    assert binary.answered_by(1) is binary


def test_columns_of_numbers_become_a_matrix() -> None:
    found = as_one({"a": np.array([1, 2]), "b": np.array([True, False]), "c": np.array([0.5, np.nan])})
    assert found.dtype == np.float32
    np.testing.assert_array_equal(found, np.array([[1, 1, 0.5], [2, 0, np.nan]], np.float32))
    with pytest.raises(DataError, match="b is no column of numbers"):
        as_one({"a": np.array([1, 2]), "b": np.array(["x", "y"])})


@pytest.mark.parametrize(
    ("arrays", "told"),
    [
        ({"x": np.zeros((N, 2))}, "has no 'target'"),
        ({"x": np.zeros((N, 2)), "targets": CLASSES}, "did you mean 'targets'"),
        ({"target": CLASSES}, "holds nothing but the target"),
        ({"x": np.zeros((N + 1, 2)), "target": CLASSES}, f"x has {N + 1} rows, target has {N}"),
        ({"x": np.array(3), "target": CLASSES}, "x is a single value"),
        ({"x": np.zeros((N, 2)), "target": np.array(3)}, "target is a single value"),
        ({"x": np.zeros((9, 2)), "target": np.arange(9) % 2}, f"has 9 rows; {FEWEST} are the least"),
        ({"x": np.zeros((N, 2)), "target": np.eye(N, dtype=int)}, r"one class a row, it has the shape \(30, 30\)"),
        ({"x": np.zeros((N, 2)), "target": np.full(N, np.nan)}, "missing, NaN or infinity"),
        ({"x": np.zeros((N, 2)), "target": np.array(["a", "", "b"] * 10)}, "missing in some rows"),
        ({"x": np.array([{}] * N), "target": CLASSES}, "cannot be read: Object arrays"),
    ],
)
def test_what_a_npz_lacks_is_told(tmp_path: Path, arrays: dict[str, np.ndarray], told: str) -> None:
    with pytest.raises(DataError, match=told):
        read_rows(npz(tmp_path, **arrays), "target")


def test_gaps_in_the_target_of_a_table_are_told(tmp_path: Path) -> None:
    for gappy in (["a", None, "b"] * 10, [1, None, 2] * 10):
        with pytest.raises(DataError, match="y is missing"):
            read_rows(csv(tmp_path, x=np.zeros(N), y=gappy), "y")


@pytest.mark.parametrize(
    ("name", "content", "told"),
    [
        ("rows.npz", b"hello", "is no .npz file"),
        ("rows.npz", b"", "is no .npz file"),
        ("rows.parquet", b"hello", "cannot be read"),
        ("rows.csv", b"", "cannot be read"),
        ("rows.csv", b"a,b\n\xff\xfe,2\n", "cannot be read"),
        ("rows.txt", b"a,b\n1,2\n", "is neither .npz, .csv nor .parquet"),
    ],
)
def test_a_file_that_is_none_is_told(tmp_path: Path, name: str, content: bytes, told: str) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(AnnError, match=told):
        read_rows(tmp_path / name, "target")


def test_a_torn_npz_is_told(tmp_path: Path) -> None:
    path = npz(tmp_path, x=RANDOM.normal(size=(N, 50)), target=CLASSES)
    content = bytearray(path.read_bytes())
    content[400:800] = bytes(400)
    path.write_bytes(content)
    with pytest.raises(DataError, match="cannot be read"):
        read_rows(path, "target")


def test_a_file_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="--data: there is no file"):
        read_rows(tmp_path / "rows.npz", "target")
