"""Files between stages: never torn, never mixed, and refused when damaged."""

import hashlib
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from ann.artifacts import (
    Build,
    file_sha256,
    fresh_folder,
    load_arrays,
    load_inputs,
    load_json,
    replace_text,
    save_arrays,
    save_inputs,
    save_json,
)
from ann.errors import StageError

KILLED = """
import os, signal, sys
from pathlib import Path
from ann.artifacts import fresh_folder
with fresh_folder(Path(sys.argv[1])) as folder:
    (folder / "half.txt").write_text("half")
    os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.fixture
def folder(tmp_path):
    """A folder that an earlier run has written."""
    path = tmp_path / "build" / "train"
    path.mkdir(parents=True)
    (path / "old.txt").write_text("old")
    return path


def names(path: Path) -> list[str]:
    return sorted(entry.name for entry in path.iterdir())


def test_a_fresh_folder_is_made_with_its_parents(tmp_path):
    with fresh_folder(tmp_path / "build" / "train") as beside:
        (beside / "a.txt").write_text("a")
    assert names(tmp_path / "build") == ["train"]
    assert (tmp_path / "build" / "train" / "a.txt").read_text() == "a"


def test_a_fresh_folder_replaces_the_earlier_one_as_a_whole(folder):
    with fresh_folder(folder) as beside:
        (beside / "a.txt").write_text("a")
        assert names(folder) == ["old.txt"]
    assert names(folder) == ["a.txt"]
    assert names(folder.parent) == ["train"]


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt])
def test_a_failure_leaves_the_earlier_folder_and_nothing_else(folder, error):
    def write_half():
        with fresh_folder(folder) as beside:
            (beside / "half.txt").write_text("half")
            raise error

    with pytest.raises(error):
        write_half()
    assert names(folder.parent) == ["train"]
    assert names(folder) == ["old.txt"]


def test_a_killed_process_leaves_the_earlier_folder_and_the_next_removes_the_rest(folder):
    done = subprocess.run([sys.executable, "-c", KILLED, str(folder)], check=False)
    assert done.returncode == -signal.SIGKILL
    assert names(folder) == ["old.txt"]
    assert len(names(folder.parent)) == 2
    with fresh_folder(folder) as beside:
        (beside / "a.txt").write_text("a")
    assert names(folder.parent) == ["train"]
    assert names(folder) == ["a.txt"]


def test_a_process_killed_between_the_two_moves_is_recovered_from(folder):
    folder.rename(folder.parent / ".train-old")
    (folder.parent / ".train-12345").mkdir()
    with fresh_folder(folder) as beside:
        (beside / "a.txt").write_text("a")
    assert names(folder.parent) == ["train"]
    assert names(folder) == ["a.txt"]


def test_the_folder_of_another_stage_is_left_alone(folder):
    (folder.parent / "evaluate").mkdir()
    with fresh_folder(folder):
        pass
    assert names(folder.parent) == ["evaluate", "train"]


def test_text_is_replaced_in_utf8_with_unix_line_ends_and_nothing_beside(tmp_path):
    path = tmp_path / "deep" / "a.txt"
    replace_text(path, "old")
    replace_text(path, "naïve\nend\n")
    assert path.read_bytes() == b"na\xc3\xafve\nend\n"
    assert names(path.parent) == ["a.txt"]


def test_a_reader_of_the_old_text_keeps_the_whole_of_it(tmp_path):
    path = tmp_path / "a.txt"
    replace_text(path, "old text")
    with path.open() as reader:
        replace_text(path, "other")
        assert reader.read() == "old text"


def test_json_comes_back_with_its_format_in_front(tmp_path):
    save_json(tmp_path / "a.json", {"value": 0.1, "text": "ä", "list": [1, None]})
    assert load_json(tmp_path / "a.json") == {"format": 1, "value": 0.1, "text": "ä", "list": [1, None]}
    assert next(iter(json.loads((tmp_path / "a.json").read_text()))) == "format"


def test_the_same_content_gives_the_same_bytes(tmp_path):
    for name in ("a.json", "b.json"):
        save_json(tmp_path / name, {"x": [1 / 3], "y": {"z": True}})
    assert (tmp_path / "a.json").read_bytes() == (tmp_path / "b.json").read_bytes()


def test_a_number_that_json_cannot_hold_is_not_written(tmp_path):
    with pytest.raises(ValueError, match="not JSON compliant"):
        save_json(tmp_path / "a.json", {"value": float("nan")})
    assert names(tmp_path) == []


@pytest.mark.parametrize("content", [b'{"format": 1, "val', b"", b"\xff\xfe\x00junk"])
def test_a_torn_file_is_told_with_the_way_out(tmp_path, content):
    (tmp_path / "a.json").write_bytes(content)
    with pytest.raises(StageError, match=r"a\.json is not JSON .*: remove it and run its stage again"):
        load_json(tmp_path / "a.json")


@pytest.mark.parametrize("content", ['{"format": 2}', '{"value": 1}', "[1]"])
def test_a_file_of_another_format_is_refused(tmp_path, content):
    (tmp_path / "a.json").write_text(content)
    with pytest.raises(StageError, match="must hold format 1: it was written by another version of ann"):
        load_json(tmp_path / "a.json")


def test_a_missing_file_names_the_stage_that_writes_it(tmp_path):
    with pytest.raises(StageError, match="does not exist: run the stage that writes it, prepare"):
        load_json(Build(tmp_path).schema)


def test_arrays_come_back_by_name_and_mapped_on_request(tmp_path):
    arrays = {"numeric": np.eye(3, dtype=np.float32), "target": np.arange(3)}
    save_arrays(tmp_path / "part", arrays)
    for loaded in (load_arrays(tmp_path / "part"), load_arrays(tmp_path / "part", mmap=True)):
        assert sorted(loaded) == ["numeric", "target"]
        assert all(np.array_equal(loaded[name], array) for name, array in arrays.items())
        assert loaded["numeric"].dtype == np.float32
    assert isinstance(loaded["numeric"], np.memmap)


def test_a_folder_without_arrays_names_the_stage_to_run(tmp_path):
    with pytest.raises(StageError, match="holds no arrays: run the stage prepare first"):
        load_arrays(tmp_path / "prepare" / "train")


def test_objects_are_neither_written_nor_read(tmp_path):
    with pytest.raises(ValueError, match="allow_pickle=False"):
        save_arrays(tmp_path, {"a": np.array([{}], dtype=object)})
    np.save(tmp_path / "b.npy", np.array([{}], dtype=object), allow_pickle=True)
    with pytest.raises(ValueError, match="allow_pickle=False"):
        load_arrays(tmp_path)


@pytest.mark.parametrize("size", [0, 1, (1 << 20) - 1, 1 << 20, (1 << 20) + 1])
def test_the_sha256_of_a_file_is_that_of_its_bytes(tmp_path, size):
    content = os.urandom(size)
    (tmp_path / "a").write_bytes(content)
    assert file_sha256(tmp_path / "a") == hashlib.sha256(content).hexdigest()


def test_inputs_of_a_graph_come_back_with_their_names_types_and_values(tmp_path):
    inputs = {
        "colour": np.array(["red", "", "größer, \u65e5"], dtype=object),
        "file": np.array([1.5, np.nan, -np.inf]),
        "a/b.npy": np.arange(24, dtype=np.uint8).reshape(1, 2, 4, 3),
        "arr_0": np.array([[1.25]], dtype=np.float32),
        "clip_lengths": np.array([3, 0]),
        "empty": np.array([], dtype=np.float32),
    }
    save_inputs(tmp_path / "rows.npz", inputs)
    found = load_inputs(tmp_path / "rows.npz")
    assert list(found) == list(inputs)
    for name, values in inputs.items():
        assert found[name].dtype == values.dtype, name
        np.testing.assert_array_equal(found[name], values)
    assert all(type(text) is str for text in found["colour"])
    assert np.load(tmp_path / "rows.npz", allow_pickle=False)["arr_1"].dtype.kind == "U"


def test_the_same_inputs_give_the_same_bytes(tmp_path):
    for name in ("one.npz", "two.npz"):
        save_inputs(tmp_path / name, {"a": np.arange(3.0), "b": np.array(["x", "y"], dtype=object)})
    assert (tmp_path / "one.npz").read_bytes() == (tmp_path / "two.npz").read_bytes()
