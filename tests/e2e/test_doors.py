"""Both doors lead to the same room: `ann run` and `dvc repro` leave the same lock file, caches and registry."""

import json
import shutil
from pathlib import Path

import psutil
import pytest
from mlflow import MlflowClient

pytestmark = [pytest.mark.slow, pytest.mark.e2e]
ALL = ["validate", "prepare", "train", "evaluate", "compress", "export", "register"]


def stages_that_ran(output: str) -> list[str]:
    """Read the stage lines of `ann run`: those that end with seconds."""
    return [line.split()[0] for line in output.splitlines() if line.split()[1:2] == ["done"] and line.endswith(" s")]


def client(project: Path) -> MlflowClient:
    return MlflowClient(f"sqlite:///{project / '.ann' / 'mlflow.db'}")


def runs(project: Path) -> list:
    store = client(project)
    return store.search_runs([experiment.experiment_id for experiment in store.search_experiments()])


def test_after_ann_run_dvc_repro_finds_nothing_to_do(project: Path, command) -> None:
    first = command("ann", "run", cwd=project)
    assert first.returncode == 0, first.stderr
    assert stages_that_ran(first.stdout) == ALL
    lock = (project / "dvc.lock").read_bytes()
    repro = command("dvc", "repro", cwd=project)
    assert repro.returncode == 0
    assert "Running stage" not in repro.stdout
    assert (project / "dvc.lock").read_bytes() == lock
    assert "up to date" in command("dvc", "status", cwd=project).stdout
    again = command("ann", "run", cwd=project)
    assert "nothing to do" in again.stdout
    assert len(runs(project)) == 1


def test_after_dvc_repro_ann_run_finds_nothing_to_do_and_the_lock_is_that_of_the_other_door(
    project: Path, tmp_path: Path, command
) -> None:
    other = Path(shutil.copytree(project, tmp_path / "other", symlinks=True))
    repro = command("dvc", "repro", cwd=project)
    assert repro.returncode == 0, repro.stderr
    assert "nothing to do" in command("ann", "run", cwd=project).stdout
    assert command("ann", "run", cwd=other).returncode == 0
    assert (project / "dvc.lock").read_bytes() == (other / "dvc.lock").read_bytes()


def test_a_change_of_compress_runs_compress_export_and_register_alone(built: Path, command) -> None:
    done = command(
        "ann", "run", "-S", "compress.recipes=[{name: dyn, steps: [{step: quantize, mode: dynamic}]}]", cwd=built
    )
    assert done.returncode == 0, done.stderr
    assert set(stages_that_ran(done.stdout)) <= {"compress", "export", "register"}
    assert "compress" in stages_that_ran(done.stdout)
    assert len(runs(built)) == 1


def test_a_new_data_file_runs_everything_and_changes_the_data_version_in_mlflow(
    built: Path, tmp_path: Path, table, command
) -> None:
    [before] = runs(built)
    more = tmp_path / "more.csv"
    table.sample(200, random_state=1).assign(age=lambda rows: (rows["age"] + 1).clip(upper=79)).to_csv(
        more, index=False
    )
    added = command("ann", "data", "add", more, cwd=built)
    assert added.returncode == 0, added.stderr
    done = command("ann", "run", cwd=built)
    assert done.returncode == 0, done.stderr
    assert stages_that_ran(done.stdout) == ALL
    digests = {run.inputs.dataset_inputs[0].dataset.digest for run in runs(built)}
    assert len(digests) == 2
    assert before.inputs.dataset_inputs[0].dataset.digest in digests


def test_without_the_state_root_nothing_is_computed_and_mlflow_holds_the_run_again(
    built: Path, tmp_path: Path, command
) -> None:
    lock = (built / "dvc.lock").read_bytes()
    # Moved, not removed: MLflow keeps a database that it has opened, and would answer from the removed one.
    (built / ".ann").rename(tmp_path / ".ann")
    [before] = runs(tmp_path)
    done = command("ann", "run", cwd=built)
    assert done.returncode == 0, done.stderr
    assert stages_that_ran(done.stdout) == []
    [after] = runs(built)
    assert after.data.tags["ann.adopted"] == "true"
    assert after.info.status == "FINISHED"
    assert after.data.tags["ann.key"] == before.data.tags["ann.key"]
    assert {name: value for name, value in after.data.metrics.items() if not name.startswith("model.p")} == {
        name: value for name, value in before.data.metrics.items() if not name.startswith("model.p")
    }
    history = client(built).get_metric_history(after.info.run_id, "valid_loss")
    assert [point.step for point in history] == list(range(1, len(history) + 1))
    assert int(client(built).get_model_version_by_alias("shop", "champion").version) == 1
    assert (built / "dvc.lock").read_bytes() == lock


def test_ann_run_leaves_no_process_behind(project: Path, command) -> None:
    before = set(psutil.pids())
    assert command("ann", "run", cwd=project).returncode == 0
    left = [process for process in psutil.process_iter(["cwd", "cmdline"]) if process.pid not in before]
    assert [process.info["cmdline"] for process in left if "prefect" in str(process.info["cmdline"])] == []
    assert not (project / ".ann" / "prefect" / "server.json").exists()


def test_the_flow_file_starts_the_same_run(built: Path, command) -> None:
    done = command("python", "-m", "flows.pipeline", cwd=built)
    assert done.returncode == 0, done.stderr
    assert "nothing to do" in done.stdout


def test_a_restored_checkout_runs_nothing_but_register(built: Path, tmp_path: Path, command) -> None:
    clone = tmp_path / "clone"
    assert command("git", "clone", "-q", built, clone, cwd=tmp_path).returncode == 0
    shutil.copytree(built / ".dvc" / "cache", clone / ".dvc" / "cache")
    assert command("dvc", "checkout", "-q", "data.dvc", cwd=clone).returncode == 0
    done = command("ann", "run", cwd=clone)
    assert done.returncode == 0, done.stderr
    assert stages_that_ran(done.stdout) == ["register"]
    [run] = runs(clone)
    assert run.data.tags["ann.adopted"] == "true"
    assert json.loads((clone / "build/export/latency.json").read_text())["latency_ms"].keys() == {"1", "256"}


def test_a_fault_in_the_data_ends_both_doors_with_one_message_and_code_2(project: Path, table, command) -> None:
    lock = (project / "dvc.lock").exists()
    table.assign(age=table["age"].where(table.index != 3, 900)).to_csv(project / "data" / "shop.csv", index=False)
    done = command("ann", "run", cwd=project)
    assert done.returncode == 2
    assert "be_between of column 'age'" in done.stderr
    assert "Traceback" not in done.stderr + done.stdout
    assert (project / "dvc.lock").exists() == lock
    repro = command("dvc", "repro", cwd=project)
    assert repro.returncode != 0
    assert "be_between of column 'age'" in repro.stderr
    assert "Traceback" not in repro.stderr
