"""The runner, in this process: fresh, restored, ran; what it refuses."""

import json
import os
import shutil
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from dvc.repo import Repo
from PIL import Image

from ann.cli import main
from ann.data.sources import read_table
from ann.errors import BusyError, ConfigError, DataError, StageError
from ann.pipeline import Pipeline, add_data, run_lock
from ann.project import Project
from ann.template import dvc_yaml
from tests.conftest import REPOSITORY


def test_a_built_project_is_fresh_and_recorded(built: Path) -> None:
    pipeline = Pipeline(Project.at(built))
    assert pipeline.stale() == []
    assert pipeline.recorded()
    assert {pipeline.run(name).how for name in pipeline.stages()} == {"fresh"}


def test_a_removed_output_is_restored_from_the_cache(built: Path) -> None:
    weights = built / "build" / "train" / "weights.safetensors"
    before = weights.read_bytes()
    weights.unlink()
    assert Pipeline(Project.at(built)).run("train").how == "restored"
    assert weights.read_bytes() == before


def test_a_tampered_output_is_put_right(built: Path) -> None:
    weights = built / "build" / "train" / "weights.safetensors"
    before = weights.read_bytes()
    weights.write_bytes(before[: len(before) // 2])
    assert Pipeline(Project.at(built)).run("train").how == "restored"
    assert weights.read_bytes() == before


def test_a_parameter_that_comes_back_is_restored_not_computed(built: Path) -> None:
    text = (built / "params.yaml").read_text()
    (built / "params.yaml").write_text(text.replace("resamples: 100", "resamples: 120"))
    assert Pipeline(Project.at(built)).run("evaluate").how == "ran"
    (built / "params.yaml").write_text(text)
    assert Pipeline(Project.at(built)).run("evaluate").how == "restored"


def test_an_input_that_changes_while_a_stage_runs_fails_the_commit(built: Path) -> None:
    (built / "params.yaml").write_text((built / "params.yaml").read_text().replace("epochs: 6", "epochs: 60"))
    lock = (built / "dvc.lock").read_bytes()
    changer = subprocess.Popen([sys.executable, "-c", CHANGE_WHEN_TRAINING, str(built)])
    with pytest.raises(StageError, match=r"build/prepare changed while train ran"):
        Pipeline(Project.at(built)).run("train")
    assert changer.wait(30) == 0
    assert (built / "dvc.lock").read_bytes() == lock


CHANGE_WHEN_TRAINING = """
import pathlib, sys, time
build = pathlib.Path(sys.argv[1]) / "build"
deadline = time.monotonic() + 60
while not list(build.glob(".train-*")):
    assert time.monotonic() < deadline
    time.sleep(0.005)
schema = build / "prepare" / "schema.json"
schema.write_text(schema.read_text() + "\\n")
"""


def test_data_that_was_not_pulled_is_told_with_the_command(built: Path) -> None:
    shutil.rmtree(built / "data")
    with pytest.raises(DataError, match=r"run `dvc pull data.dvc`"):
        Pipeline(Project.at(built)).track_data()


def test_changed_data_is_tracked_as_dvc_repro_does(built: Path) -> None:
    before = (built / "data.dvc").read_text()
    csv = built / "data" / "shop.csv"
    csv.write_text(csv.read_text() + "30,41000.0,red,north,y,yes\n")
    Pipeline(Project.at(built)).track_data()
    assert (built / "data.dvc").read_text() != before
    assert "validate" in Pipeline(Project.at(built)).stale()


def test_a_folder_without_dvc_is_refused_with_the_way_out(params_file: Path) -> None:
    with pytest.raises(ConfigError, match="dvc init"):
        Pipeline(Project.at(params_file.parent))


def test_a_second_run_names_the_first(built: Path) -> None:
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLD_LOCK, str(built)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert holder.stdout.readline() == "held\n"
    with pytest.raises(BusyError, match=str(holder.pid)), run_lock(Project.at(built)):
        pass
    holder.communicate("\n", timeout=30)
    with run_lock(Project.at(built)), run_lock(Project.at(built)):
        assert (built / ".ann" / "run.pid").read_text() == str(os.getpid())


HOLD_LOCK = """
import sys
from ann.pipeline import run_lock
from ann.project import Project
with run_lock(Project.at(sys.argv[1])):
    print("held", flush=True)
    sys.stdin.readline()
"""


def test_added_data_gets_a_dated_name_and_a_new_version(built: Path, tmp_path: Path) -> None:
    before = (built / "data.dvc").read_text()
    more = tmp_path / "more.csv"
    more.write_text("age,income,colour,town,member,bought\n30,41000.0,red,north,y,yes\n")
    [added] = add_data(Project.at(built), [more])
    assert added.name.endswith("-more.csv")
    assert added.read_text() == more.read_text()
    assert (built / "data.dvc").read_text() != before


def test_data_with_other_columns_is_refused_and_nothing_is_kept(built: Path, tmp_path: Path) -> None:
    before = sorted((built / "data").iterdir()), (built / "data.dvc").read_text()
    more = tmp_path / "more.csv"
    more.write_text("age,income,color,town,member,bought\n30,41000.0,red,north,y,yes\n")
    with pytest.raises(DataError, match="same columns"):
        add_data(Project.at(built), [more])
    assert (sorted((built / "data").iterdir()), (built / "data.dvc").read_text()) == before


def test_a_lock_file_of_dvc_that_a_killed_process_left_torn_is_removed_and_told(
    built: Path, caplog: pytest.LogCaptureFixture
) -> None:
    torn = built / ".dvc" / "tmp" / "rwlock"
    torn.write_text('{"write": {"build/eval')
    assert Pipeline(Project.at(built)).run("evaluate").how == "fresh"
    assert str(torn) in caplog.text


def test_a_whole_lock_file_of_dvc_stays(built: Path, caplog: pytest.LogCaptureFixture) -> None:
    whole = built / ".dvc" / "tmp" / "rwlock"
    before = f'{{"write": {{"elsewhere": {{"pid": {os.getpid()}, "cmd": "dvc repro"}}}}, "read": {{}}}}'
    whole.write_text(before)
    assert Pipeline(Project.at(built)).run("evaluate").how == "fresh"
    assert json.loads(whole.read_text())["write"] == json.loads(before)["write"]
    assert not caplog.text


def bare(root: Path, data: str) -> Project:
    """Make a project without data and without git; `data` is its section of params.yaml."""
    sections = ["validate", "prepare", "model", "train", "evaluate", "compress", "export", "register", "schedule"]
    text = "".join(f"{name}: {{}}\n" for name in sections)
    root.mkdir()
    (root / "params.yaml").write_text(f"ann: 0.1.0\nseed: 1\ndata: {data}\n{text}", encoding="utf-8")
    (root / "dvc.yaml").write_text(dvc_yaml(None), encoding="utf-8")
    Repo.init(str(root), no_scm=True).close()
    return Project.at(root)


def everything(root: Path) -> dict[str, bytes]:
    """Return the content of every file but DVC's own and the state."""
    files = (path for path in root.rglob("*") if path.is_file() and not {".dvc", ".ann"} & set(path.parts))
    return {path.relative_to(root).as_posix(): path.read_bytes() for path in files}


def write_pictures(folder: Path) -> Path:
    for number in range(4):
        path = folder / ("cat", "dog")[number % 2] / f"{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.full((4, 4), 60 * number, np.uint8)).save(path)
    return folder


def test_a_folder_of_images_is_added_with_its_classes(tmp_path: Path) -> None:
    project = bare(tmp_path / "project", "{target: animal}")
    [added] = add_data(project, [write_pictures(tmp_path / "animals")])
    assert added.parent == project.root / "data"
    table = read_table(project.params().data, project)
    assert sorted(table["animal"]) == ["cat", "cat", "dog", "dog"]
    assert {path.relative_to(added).as_posix() for path in table["image"]} == {
        "cat/0.png",
        "dog/1.png",
        "cat/2.png",
        "dog/3.png",
    }
    assert project.data_file.exists()
    assert Pipeline(project).stale() == Pipeline(project).stages()


def test_a_pair_of_idx_files_is_added_together_and_one_of_them_is_refused(tmp_path: Path) -> None:
    project = bare(tmp_path / "project", "{target: digit}")
    images, labels = tmp_path / "train-images-idx3-ubyte", tmp_path / "train-labels-idx1-ubyte"
    pixels = np.arange(3 * 16, dtype=np.uint8)
    images.write_bytes(bytes([0, 0, 8, 3]) + np.array([3, 4, 4], ">u4").tobytes() + pixels.tobytes())
    labels.write_bytes(bytes([0, 0, 8, 1]) + np.array([3], ">u4").tobytes() + bytes([7, 1, 7]))
    before = everything(project.root)
    with pytest.raises(DataError, match="no file of labels"):
        add_data(project, [images])
    assert everything(project.root) == before
    assert len(add_data(project, [images, labels])) == 2
    table = read_table(project.params().data, project)
    assert list(table["digit"]) == [7, 1, 7]
    np.testing.assert_array_equal(np.stack(list(table["image"])), pixels.reshape(3, 4, 4))


def test_a_data_set_is_added_by_name(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    project = bare(tmp_path / "project", "{target: target}")
    assert main(["-C", str(project.root), "data", "add", "sklearn:iris"]) == 0
    [added] = (project.root / "data").iterdir()
    assert added.name.endswith("-iris.parquet")
    assert f"added {added}" in capsys.readouterr().out
    assert set(read_table(project.params().data, project)["target"]) == {"setosa", "versicolor", "virginica"}


def test_the_rows_of_a_query_are_added(tmp_path: Path) -> None:
    project = bare(tmp_path / "project", "{target: spent}")
    with closing(sqlite3.connect(tmp_path / "shop.db")) as database, database:
        database.execute("CREATE TABLE customers (age INTEGER, spent REAL)")
        database.executemany("INSERT INTO customers VALUES (?, ?)", [(30, 1.5), (40, 2.5), (50, 3.5)])
    arguments = ["data", "add", f"sql:sqlite:///{tmp_path / 'shop.db'}", "-C", str(project.root)]
    assert main([*arguments, "--query", "SELECT * FROM customers WHERE age > 30"]) == 0
    table = read_table(project.params().data, project)
    pd.testing.assert_frame_equal(table, pd.DataFrame({"age": [40, 50], "spent": [2.5, 3.5]}))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["sklearn:irises"], "no data set 'irises' in its package (did you mean 'iris'?)"),
        (["sklearn:iris", "--query", "SELECT 1"], "a query belongs to a source sql:URL"),
        (["sql:sqlite:///{folder}/none.db"], "a query belongs to a source sql:URL"),
        (["sql:sqlite:///{folder}/none.db", "--query", "SELECT * FROM customers"], "no such table: customers"),
        (["{folder}/nothing.csv", "sklearn:wine"], "nothing.csv does not exist"),
        (["sklearn:iris"], "has no column 'animal', which data.target names"),
        (["{folder}/animals", "{folder}/broken"], "empty.png is empty (0 bytes)"),
        (["{folder}/other/animals", "{folder}/animals"], "-animals would be there twice: rename a file"),
        (["{folder}/hollow"], "hollow holds no file that can be read"),
    ],
)
def test_what_is_refused_leaves_nothing(
    arguments: list[str], message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    project = bare(tmp_path / "project", "{target: animal}")
    write_pictures(tmp_path / "animals")
    write_pictures(tmp_path / "other" / "animals")
    (tmp_path / "broken" / "cat").mkdir(parents=True)
    (tmp_path / "broken" / "cat" / "empty.png").touch()
    (tmp_path / "hollow").mkdir()
    before = everything(project.root)
    arguments = [argument.replace("{folder}", str(tmp_path)) for argument in arguments]
    assert main(["-C", str(project.root), "data", "add", *arguments]) == 2
    assert message in capsys.readouterr().err
    assert everything(project.root) == before
    assert not (project.root / "data").exists()


def test_a_folder_without_data_is_refused_beside_data(tmp_path: Path) -> None:
    project = bare(tmp_path / "project", "{target: animal}")
    add_data(project, [write_pictures(tmp_path / "animals")])
    before = everything(project.root)
    (tmp_path / "hollow" / "cat").mkdir(parents=True)
    with pytest.raises(DataError, match="hollow holds no file that can be read"):
        add_data(project, [tmp_path / "hollow"])
    assert everything(project.root) == before


@pytest.fixture
def bundled(tmp_path: Path) -> Project:
    """An example whose data lies in its bundled remote, not pulled yet."""
    source, root = REPOSITORY / "examples" / "regression", tmp_path / "regression"
    shutil.copytree(source, root, ignore=shutil.ignore_patterns("build", ".ann", "data", "tmp", "cache"))
    (root / "dvc.yaml").write_text(dvc_yaml(None), encoding="utf-8")
    config = root / ".dvc" / "config"
    config.write_text(config.read_text().replace("[core]\n", "[core]\n    no_scm = true\n"), encoding="utf-8")
    return Project.at(root)


def test_data_is_fetched_from_the_bundled_remote_once(bundled: Project) -> None:
    pipeline = Pipeline(bundled)
    assert pipeline.pull_data()
    assert len(read_table(bundled.params().data, bundled)) == 442
    assert bundled.data_file.name not in "".join(pipeline.stale())
    assert not pipeline.pull_data()


def test_data_that_no_remote_holds_is_told_with_the_way_out(bundled: Project) -> None:
    shutil.rmtree(bundled.root / ".dvc" / "bundle")
    with pytest.raises(DataError, match=r"data is not there, and `dvc pull data.dvc` could not .*; add a remote that"):
        Pipeline(bundled).pull_data()
    assert not (bundled.root / "data").exists()


def test_data_of_a_project_without_remotes_is_told_with_the_way_out(built: Path) -> None:
    shutil.rmtree(built / "data")
    shutil.rmtree(built / ".dvc" / "cache")
    with pytest.raises(DataError, match=r"could not fetch it: .*; add a remote that holds it, or put the data back"):
        Pipeline(Project.at(built)).pull_data()


def test_data_that_is_there_or_not_tracked_is_not_fetched(tmp_path: Path) -> None:
    project = bare(tmp_path / "project", "{target: animal}")
    assert not Pipeline(project).pull_data()
    add_data(project, [write_pictures(tmp_path / "animals")])
    (project.root / "data" / "more.txt").write_text("not tracked yet")
    before = everything(project.root)
    assert not Pipeline(project).pull_data()
    assert everything(project.root) == before
