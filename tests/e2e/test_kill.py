"""SIGKILL in any stage, then run again: it completes, and nothing torn was taken for whole."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest
from mlflow import MlflowClient

pytestmark = [pytest.mark.slow, pytest.mark.e2e]
ALL = ["validate", "prepare", "train", "evaluate", "compress", "export", "register"]


def kill_in_stage(project: Path, stage: str) -> None:
    """Start `ann run` and kill it as soon as DVC's lock says that it works on the stage."""
    told = project.parent / "stderr.txt"
    with told.open("w") as file:
        process = subprocess.Popen(
            [Path(sys.executable).parent / "ann", "run"], cwd=project, stdout=subprocess.DEVNULL, stderr=file
        )
    deadline = time.monotonic() + 120
    while f"build/{stage}" not in _written(project):
        assert process.poll() is None, f"ended before {stage}: {told.read_text()[-2000:]}"
        assert time.monotonic() < deadline
        time.sleep(0.002)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()


def _written(project: Path) -> str:
    """Return the paths that DVC holds for writing."""
    try:
        return " ".join(json.loads((project / ".dvc" / "tmp" / "rwlock").read_text()).get("write", {}))
    except (FileNotFoundError, json.JSONDecodeError):
        return ""


def test_a_kill_in_each_stage_in_turn_and_then_a_run_that_completes(project: Path, command) -> None:
    for stage in ALL:
        kill_in_stage(project, stage)
    done = command("ann", "run", cwd=project)
    assert done.returncode == 0, done.stderr
    assert "up to date" in command("dvc", "status", cwd=project).stdout
    store = MlflowClient(f"sqlite:///{project / '.ann' / 'mlflow.db'}")
    statuses = [run.info.status for run in store.search_runs(["1"])]
    assert statuses.count("FINISHED") == 1
    assert set(statuses) <= {"FINISHED", "KILLED"}
    decision = json.loads((project / "build" / "register" / "decision.json").read_text())
    champion = store.get_model_version_by_alias("shop", "champion")
    assert int(champion.version) == decision["version"]
    assert champion.tags["ann.sha256"] == decision["sha256"]
    assert not list((project / "build").glob(".*-*"))


def test_the_server_of_a_killed_run_does_not_live_on(project: Path) -> None:
    kill_in_stage(project, "prepare")
    record = json.loads((project / ".ann" / "prefect" / "server.json").read_text())
    deadline = time.monotonic() + 30
    while psutil.pid_exists(record["pid"]) and psutil.Process(record["pid"]).status() != psutil.STATUS_ZOMBIE:
        assert time.monotonic() < deadline, "the server lives on"
        time.sleep(0.1)


def test_an_interrupted_training_is_told_as_killed_and_leaves_the_old_result(built: Path, command) -> None:
    (built / "params.yaml").write_text(
        (built / "params.yaml").read_text().replace("epochs: 6", "early_stopping: null, epochs: 5000")
    )
    process = subprocess.Popen(
        [Path(sys.executable).parent / "ann", "run"],
        cwd=built,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    deadline = time.monotonic() + 120
    while not list((built / "build").glob(".train-*")):
        assert time.monotonic() < deadline
        time.sleep(0.01)
    process.send_signal(signal.SIGINT)
    _, error = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "Traceback" not in error
    store = MlflowClient(f"sqlite:///{built / '.ann' / 'mlflow.db'}")
    assert sorted(run.info.status for run in store.search_runs(["1"])) == ["FINISHED", "KILLED"]
