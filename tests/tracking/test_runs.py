"""Runs tell the truth: one per network, found by its key, ended as training ended."""

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from mlflow import MlflowClient

from ann.errors import AnnError, BusyError
from ann.lineage import lineage_of
from ann.project import Project
from ann.stages import train
from ann.tracking.projection import recorded_lineage, run_for_build
from ann.tracking.runs import EpochLogger, flatten, runs_of, training_run
from ann.tracking.store import Store, connect
from ann.training.checkpoints import open_checkpoints
from ann.training.state import EpochRecord


@pytest.fixture
def here(project: Path) -> Project:
    return Project.at(project)


@contextmanager
def opened(project: Project) -> Iterator[tuple[Store, str]]:
    params = project.params()
    lineage = lineage_of("train", params, project)
    with (
        open_checkpoints(project.state / "checkpoints" / lineage.key, lineage.key) as checkpoints,
        training_run(project, params, lineage, checkpoints) as run,
    ):
        yield run


def statuses(project: Project) -> list[str]:
    params = project.params()
    key = lineage_of("train", params, project).key
    return [run.info.status for run in runs_of(connect(project, params.register_.name), key)]


def test_a_run_ends_finished_failed_or_killed_as_its_block_ends(here: Project) -> None:
    with opened(here):
        assert statuses(here) == ["RUNNING"]
    with pytest.raises(RuntimeError), opened(here):
        raise RuntimeError
    with pytest.raises(KeyboardInterrupt), opened(here):
        raise KeyboardInterrupt
    assert sorted(statuses(here)) == ["FAILED", "FINISHED", "KILLED"]


def test_a_run_that_a_dead_process_left_without_a_number_is_taken_up(here: Project) -> None:
    assert subprocess.run([sys.executable, "-c", LEAVE_RUNNING, str(here.root)], check=False).returncode == 9
    assert statuses(here) == ["RUNNING"]
    with opened(here):
        assert statuses(here) == ["RUNNING"]
    assert statuses(here) == ["FINISHED"]


def test_a_run_with_numbers_whose_checkpoint_is_gone_is_ended_as_killed(here: Project) -> None:
    with pytest.raises(KeyboardInterrupt), opened(here) as (store, run_id):  # noqa: PT012
        store.client.log_metric(run_id, "valid_loss", 1.0, step=1)
        raise KeyboardInterrupt
    store.client.update_run(run_id, status="RUNNING")  # as a killed process leaves it
    with opened(here):
        assert sorted(statuses(here)) == ["KILLED", "RUNNING"]


def test_a_run_of_another_machine_is_left_alone(here: Project) -> None:
    with pytest.raises(KeyboardInterrupt), opened(here) as (store, run_id):
        raise KeyboardInterrupt
    store.client.update_run(run_id, status="RUNNING")
    store.client.set_tag(run_id, "ann.home", "elsewhere:/state")
    with opened(here):
        assert statuses(here) == ["RUNNING", "RUNNING"]


def test_metrics_that_a_run_holds_are_not_written_again(here: Project) -> None:
    records = [EpochRecord(epoch, 0.1, 1.0, 2.0, 3.0, {"auc": 0.5}, {}) for epoch in range(1, 9)]
    with opened(here) as (store, run_id):
        for told in (records[:6], records):  # a resumed training tells the epochs of before again
            logger = EpochLogger(store, run_id)
            for record in told:
                logger(record)
            logger.flush()
        for name in ("lr", "train_loss", "valid_loss", "valid_auc", "grad_norm"):
            steps = [entry.step for entry in store.client.get_metric_history(run_id, name)]
            assert steps == list(range(1, 9)), name


LEAVE_RUNNING = """
import os, sys
from ann.lineage import lineage_of
from ann.project import Project
from ann.tracking.runs import training_run
from ann.training.checkpoints import open_checkpoints
project = Project.at(sys.argv[1])
params = project.params()
lineage = lineage_of("train", params, project)
with open_checkpoints(project.state / "checkpoints" / lineage.key, lineage.key) as checkpoints:
    with training_run(project, params, lineage, checkpoints):
        os._exit(9)
"""


def test_two_trainings_of_one_network_cannot_write_to_one_state_root(here: Project) -> None:
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(here.root)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert holder.stdout.readline() == "held\n"
    with pytest.raises(BusyError, match=str(holder.pid)), opened(here):
        pass
    holder.communicate("\n", timeout=60)


HOLD = LEAVE_RUNNING.replace("os._exit(9)", "print('held', flush=True); sys.stdin.readline()")


def test_four_first_users_of_a_fresh_database_all_succeed(here: Project) -> None:
    users = [subprocess.Popen([sys.executable, "-c", CONNECT, str(here.root)]) for _ in range(4)]
    assert [user.wait(120) for user in users] == [0, 0, 0, 0]


CONNECT = """
import sys
from ann.project import Project
from ann.tracking.store import connect
connect(Project.at(sys.argv[1]), "shop")
"""


def test_a_tracking_server_that_is_away_is_told_in_one_line(here: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    with pytest.raises(AnnError, match=r"MLflow at http://127.0.0.1:9 does not answer"):
        connect(here, "shop")


def test_the_run_holds_parameters_curves_data_version_commit_and_every_stage(built: Path) -> None:
    project = Project.at(built)
    store, run_id = run_for_build(project, project.params())
    run = store.client.get_run(run_id)
    lineage = recorded_lineage(project.build)
    assert run.info.run_name == lineage.key == run.data.tags["ann.key"]
    assert run.info.status == "FINISHED"
    assert run.data.params["train.optimizer.lr"] == "0.01"
    assert run.data.params["model.hidden"] == "[256, 128]"
    assert len(run.data.tags["mlflow.source.git.commit"]) == 40
    assert {run.data.tags[f"ann.stage.{name}"] for name in ("train", "evaluate", "compress", "export", "register")} == {
        "finished"
    }
    [data] = run.inputs.dataset_inputs
    assert data.dataset.digest == lineage.data_md5
    history = store.client.get_metric_history(run_id, "train_loss")
    assert [point.step for point in history] == [1, 2, 3, 4, 5, 6]
    metrics = json.loads(project.build.metrics.read_text())["test"]
    assert run.data.metrics["test.auc"] == metrics["auc"]["value"]
    assert run.data.metrics["test.auc.low"] == metrics["auc"]["low"]
    assert {item.path for item in store.client.list_artifacts(run_id)} >= {
        "train",
        "evaluate",
        "compress",
        "export",
        "validate",
    }


def test_every_variant_is_a_model_with_its_own_numbers(built: Path) -> None:
    project = Project.at(built)
    store, _ = run_for_build(project, project.params())
    models = store.client.search_logged_models([store.experiment_id], filter_string="params.variant != 'shipped'")
    found = {model.name: {metric.key: metric.value for metric in model.metrics} for model in models}
    candidates = json.loads(project.build.candidates.read_text())["candidates"]
    assert set(found) == {candidate["name"] for candidate in candidates}
    for candidate in candidates:
        assert found[candidate["name"]]["variant.bytes"] == candidate["bytes"]
        assert found[candidate["name"]]["variant.quality"] == candidate["quality"]["value"]


def test_a_diverged_training_leaves_a_failed_run_and_no_output(built: Path) -> None:
    text = (built / "params.yaml").read_text()
    (built / "params.yaml").write_text(
        text.replace("optimizer: {lr: 0.01}", "optimizer: {name: sgd, lr: 100}, clip_norm: null")
    )
    project = Project.at(built)
    before = project.build.weights.read_bytes()
    with pytest.raises(AnnError, match="diverged"):
        train.run(project.params(), project)
    assert project.build.weights.read_bytes() == before
    runs = MlflowClient(project.tracking_uri).search_runs(["1"])
    assert sorted(run.info.status for run in runs) == ["FAILED", "FINISHED"]


def test_flatten_names_leaves_by_their_path() -> None:
    assert flatten({"a": {"b": 1, "c": {}}, "d": [1, 2]}) == {"a.b": "1", "a.c": "{}", "d": "[1, 2]"}
