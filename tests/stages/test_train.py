"""The train stage: a training that died goes on in its run with the same bits, and mistakes cost no time."""

import csv
import json
import os
import shutil
import signal
import subprocess
import sys
from hashlib import sha256
from pathlib import Path

import pytest
from mlflow import MlflowClient

from ann.errors import AnnError, BusyError, StageError
from ann.lineage import lineage_of
from ann.pipeline import Pipeline
from ann.project import Project
from ann.stages import train
from ann.training import checkpoints as checkpointing
from ann.training.checkpoints import open_checkpoints

LONG = "epochs: 40, batch_size: 16, early_stopping: null, optimizer: {lr: 0.01}"


@pytest.fixture(scope="module")
def prepared_template(project_template: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project whose rows are prepared and whose training takes a second or two; copy it, never change it."""
    root = tmp_path_factory.mktemp("prepared") / "project"
    shutil.copytree(project_template, root, symlinks=True)
    text = (root / "params.yaml").read_text()
    (root / "params.yaml").write_text(text.replace("epochs: 6, batch_size: 64, optimizer: {lr: 0.01}", LONG))
    pipeline = Pipeline(Project.at(root))
    for stage in ("validate", "prepare"):
        pipeline.run(stage)
    return root


@pytest.fixture
def prepared(prepared_template: Path, tmp_path: Path) -> Project:
    """A project of the test's own that only has to be trained."""
    return Project.at(shutil.copytree(prepared_template, tmp_path / "project", symlinks=True))


def weights(project: Project) -> str:
    return sha256(project.build.weights.read_bytes()).hexdigest()


def epochs(project: Project) -> list[dict[str, str]]:
    return list(csv.DictReader(project.build.history.read_text().splitlines()))


def store(project: Project) -> MlflowClient:
    return MlflowClient(project.tracking_uri)


def all_runs(project: Project):
    return store(project).search_runs(["1"])


def metric_counts(project: Project, run_id: str) -> dict[str, list[int]]:
    client = store(project)
    names = client.get_run(run_id).data.metrics
    return {name: [entry.step for entry in client.get_metric_history(run_id, name)] for name in names}


def kill_after_a_checkpoint(project: Project, number: int, count: int) -> int:
    """Start the stage as `dvc repro` does, and send a signal once it wrote its n-th checkpoint."""
    folder = project.state / "checkpoints"
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(Path(train.__file__).parents[2])}
    script = (
        "import ann.training.checkpoints as c; c.SHORTEST_PAUSE_S = 0.0; c.PAUSE = 1;"
        "from ann.stages.process import stage_process; from ann.stages.train import run; stage_process(run)"
    )
    with subprocess.Popen([sys.executable, "-c", script], cwd=project.root, env=environment) as process:
        seen: set[str] = set()
        while len(seen) < count and process.poll() is None:
            seen |= {path.name for path in folder.glob("*/checkpoint-*")}
        process.send_signal(number)
        return process.wait()


@pytest.mark.slow
def test_killed_again_and_again_it_ends_in_one_run_with_the_bits_of_an_undisturbed_training(prepared: Project) -> None:
    for count in (1, 4, 9):
        assert kill_after_a_checkpoint(prepared, signal.SIGKILL, count) == -signal.SIGKILL
    train.run(prepared.params(), prepared)
    broken = weights(prepared)
    (run,) = all_runs(prepared)
    assert run.info.status == "FINISHED"
    for name, steps in metric_counts(prepared, run.info.run_id).items():
        once = [0] if name in ("best_epoch", "best_valid_loss", "parameters") else list(range(1, 41))
        assert sorted(steps) == once, name
    history = prepared.build.history.read_text()
    os.environ["ANN_HOME"] = str(prepared.root / "other-state")  # nothing there to resume from
    try:
        train.run(prepared.params(), prepared)
    finally:
        del os.environ["ANN_HOME"]
    assert weights(prepared) == broken
    assert prepared.build.history.read_text() == history


@pytest.mark.slow
@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_a_signal_leaves_a_truthful_run_that_the_next_one_finishes(prepared: Project, number: int, code: int) -> None:
    assert kill_after_a_checkpoint(prepared, number, 3) == code
    (run,) = all_runs(prepared)
    assert run.info.status == "KILLED"
    assert not prepared.build.folder("train").exists()
    train.run(prepared.params(), prepared)
    (again,) = all_runs(prepared)
    assert (again.info.run_id, again.info.status) == (run.info.run_id, "FINISHED")
    assert len(epochs(prepared)) == 40


class Dead(BaseException):
    """The process is gone: no handler of the code under test may learn of it."""


def die_after(monkeypatch: pytest.MonkeyPatch, saves: int) -> None:
    """Save at every step, and die at the given one."""
    save, count = checkpointing.Checkpoints.save, []

    def save_and_die(self, state):
        save(self, state)
        count.append(1)
        if len(count) == saves:
            raise Dead

    monkeypatch.setattr(checkpointing.Checkpoints, "due", lambda _: True)
    monkeypatch.setattr(checkpointing.Checkpoints, "save", save_and_die)


def test_a_damaged_checkpoint_ends_the_stage_before_a_run_is_touched(prepared: Project, monkeypatch) -> None:
    die_after(monkeypatch, 20)
    with pytest.raises(Dead):
        train.run(prepared.params(), prepared)
    monkeypatch.undo()
    (path,) = (prepared.state / "checkpoints").glob("*/checkpoint-*")
    path.write_bytes(path.read_bytes()[:-1])
    before = [(run.info.run_id, run.info.status) for run in all_runs(prepared)]
    with pytest.raises(StageError, match=r"cannot be resumed: .*damaged; remove .* to train from the start"):
        train.run(prepared.params(), prepared)
    assert [(run.info.run_id, run.info.status) for run in all_runs(prepared)] == before


def test_a_run_that_died_before_its_first_checkpoint_is_taken_up(prepared: Project, monkeypatch) -> None:
    def vanish(*_: object, **__: object) -> None:
        raise Dead

    monkeypatch.setattr(train, "fit", vanish)
    with pytest.raises(Dead):
        train.run(prepared.params(), prepared)
    monkeypatch.undo()
    (run,) = all_runs(prepared)
    store(prepared).update_run(run.info.run_id, status="RUNNING")  # as a killed process leaves it
    train.run(prepared.params(), prepared)
    (again,) = all_runs(prepared)
    assert (again.info.run_id, again.info.status) == (run.info.run_id, "FINISHED")


def test_the_store_of_runs_may_be_lost_and_the_training_still_goes_on(prepared: Project, monkeypatch) -> None:
    die_after(monkeypatch, 60)
    with pytest.raises(Dead):
        train.run(prepared.params(), prepared)
    monkeypatch.undo()
    os.environ["MLFLOW_TRACKING_URI"] = f"sqlite:///{prepared.root / 'another.db'}"
    try:
        train.run(prepared.params(), prepared)
        (run,) = MlflowClient(os.environ["MLFLOW_TRACKING_URI"]).search_runs(["1"])
        steps = metric_counts(Project.at(prepared.root), run.info.run_id)["valid_loss"]
    finally:
        del os.environ["MLFLOW_TRACKING_URI"]
    assert run.info.status == "FINISHED"
    assert sorted(steps) == list(range(1, 41))  # those of before the death too


def test_a_finished_training_is_taken_from_its_checkpoint_into_the_same_run(prepared: Project) -> None:
    train.run(prepared.params(), prepared)
    first, (run,) = weights(prepared), all_runs(prepared)
    counts = metric_counts(prepared, run.info.run_id)
    train.run(prepared.params(), prepared)
    (again,) = all_runs(prepared)
    assert weights(prepared) == first
    assert (again.info.run_id, again.info.status) == (run.info.run_id, "FINISHED")
    assert metric_counts(prepared, run.info.run_id) == counts


def test_a_second_training_of_the_same_network_is_refused(prepared: Project) -> None:
    key = lineage_of("train", prepared.params(), prepared).key
    with (
        open_checkpoints(prepared.state / "checkpoints" / key, key),
        pytest.raises(BusyError, match=f"network {key} is being trained by process {os.getpid()}"),
    ):
        train.run(prepared.params(), prepared)
    assert not (prepared.state / "mlflow.db").exists()


@pytest.mark.parametrize(
    ("old", "replacement", "message"),
    [
        ("batch_size: 16", "batch_size: 4000", r"train\.batch_size: 4000 is more than the \d+ training rows: lower it"),
        (
            "early_stopping: null",
            "early_stopping: {watch: acuracy}",
            r"'acuracy' is no metric of a binary .*mean 'accuracy'",
        ),
        ("early_stopping: null", "loss: mse", r"train\.loss: mse does not fit a binary target; write one of auto, "),
        ("early_stopping: null", "augment: [rotation]", r"train\.augment.*rotation.*image"),
        ("early_stopping: null", "recompute: true, device: cuda", r"train\.device: cuda is not available"),
    ],
)
def test_what_does_not_fit_is_refused_with_the_way_out(prepared: Project, old, replacement, message) -> None:
    path = prepared.params_file
    path.write_text(path.read_text().replace(old, replacement))
    with pytest.raises(AnnError, match=message):
        train.run(prepared.params(), prepared)
    assert not prepared.build.folder("train").exists()


def test_the_summary_says_which_loss_and_why_and_so_does_the_run(prepared: Project) -> None:
    train.run(prepared.params(), prepared)
    summary = json.loads(prepared.build.train_summary.read_text())
    assert summary["loss"] == "cross_entropy"
    assert "since the rarest of 2 classes holds" in summary["loss_reason"]
    (run,) = all_runs(prepared)
    assert run.data.tags["ann.loss"] == "cross_entropy"
    assert run.data.tags["ann.loss_reason"] == summary["loss_reason"]


@pytest.mark.slow
def test_two_processes_write_one_result_that_one_process_would_have_written(prepared: Project) -> None:
    text = prepared.params_file.read_text()
    prepared.params_file.write_text(text.replace("epochs: 40", "processes: 2, epochs: 3"))
    train.run(prepared.params(), prepared)
    two = epochs(prepared)
    (run,) = all_runs(prepared)
    assert run.info.status == "FINISHED"
    assert all(len(set(steps)) == len(steps) for steps in metric_counts(prepared, run.info.run_id).values())
    prepared.params_file.write_text(text.replace("epochs: 40", "epochs: 3"))
    train.run(prepared.params(), prepared)
    for mine, theirs in zip(two, epochs(prepared), strict=True):
        assert float(mine["valid_loss"]) == pytest.approx(float(theirs["valid_loss"]), rel=1e-3)


@pytest.mark.slow
def test_profile_and_diagnose_tell_a_newcomer_what_they_need(prepared: Project, command) -> None:
    early = command("ann", "diagnose", cwd=prepared.root)
    assert (early.returncode, early.stderr.count("Traceback")) == (2, 0)
    assert "run the stage that writes it, train" in early.stderr
    train.run(prepared.params(), prepared)
    profile = command("ann", "profile", "--steps", "5", cwd=prepared.root)
    assert profile.returncode == 0, profile.stderr
    assert all(part in profile.stdout for part in ("forward", "backward", "optimizer", "GFLOP/s", "rows/s", "MiB"))
    diagnose = command("ann", "diagnose", cwd=prepared.root)
    assert diagnose.returncode == 0, diagnose.stderr
    assert "blocks.0.0" in diagnose.stdout
    assert "diagnosis.png" in diagnose.stdout
