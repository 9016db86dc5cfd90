"""The runner, in this process: fresh, restored, ran; what it refuses."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from ann.errors import BusyError, ConfigError, DataError, StageError
from ann.pipeline import Pipeline, add_data, run_lock
from ann.project import Project


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
