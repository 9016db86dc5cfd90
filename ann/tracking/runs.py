"""One MLflow run per trained network, found by its lineage key; every stage after training logs into it."""

import os
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from time import time

from filelock import FileLock, Timeout
from mlflow.entities import Metric, Param, Run, RunTag

import ann
from ann.config import Params
from ann.errors import BusyError
from ann.lineage import Lineage
from ann.project import Project
from ann.tracking.store import Store, connect
from ann.training.fit import EpochRecord

BATCH = 1000
"""Metrics that MLflow takes at once."""
EPOCHS_AT_ONCE = 5


class EpochLogger:
    """A training callback: epochs go to MLflow in batches; `flush` sends the rest."""

    def __init__(self, store: Store, run_id: str) -> None:
        self._store, self._run_id = store, run_id
        self._waiting: list[Metric] = []

    def __call__(self, record: EpochRecord) -> None:
        """Take an epoch; several go to MLflow together."""
        self._waiting += epoch_metrics(record)
        if record.epoch % EPOCHS_AT_ONCE == 0:
            self.flush()

    def flush(self) -> None:
        """Send what waits."""
        log_metrics(self._store, self._run_id, self._waiting)
        self._waiting = []


@contextmanager
def training_run(project: Project, params: Params, lineage: Lineage) -> Iterator[tuple[Store, str]]:
    """Open a run for the duration of training; it ends FINISHED, FAILED, or KILLED on an interrupt.

    A run of the same key that a killed process left RUNNING is ended as KILLED first.

    Raises:
        BusyError: another process trains the same network into the same state root.
    """
    store = connect(project, params.register_.name)
    with _training_lock(project, lineage.key):
        for run in runs_of(store, lineage.key):
            if run.info.status == "RUNNING":
                store.client.set_terminated(run.info.run_id, "KILLED")
        run_id = create_run(store, project, params, lineage)
        try:
            yield store, run_id
        except Exception:
            store.client.set_terminated(run_id, "FAILED")
            raise
        except BaseException:
            store.client.set_terminated(run_id, "KILLED")
            raise
        store.client.set_terminated(run_id, "FINISHED")


def create_run(
    store: Store, project: Project, params: Params, lineage: Lineage, tags: dict[str, str] | None = None
) -> str:
    """Create a run with its parameters and tags, RUNNING, and return its id."""
    run = store.client.create_run(
        store.experiment_id,
        run_name=lineage.key,
        tags=lineage.tags() | source_tags(project) | {"ann.version": ann.__version__} | (tags or {}),
    )
    flat = flatten({name: params.section(name) for name in ("seed", "data", "prepare", "model", "train")})
    logged = [Param(name, value[:6000]) for name, value in flat.items()]
    store.client.log_batch(run.info.run_id, params=logged)
    return str(run.info.run_id)


def runs_of(store: Store, key: str) -> list[Run]:
    """Return the runs with a lineage key, newest first."""
    return list(
        store.client.search_runs([store.experiment_id], f"tags.`ann.key` = '{key}'", order_by=["start_time DESC"])
    )


def finished_run(store: Store, key: str) -> str | None:
    """Return the newest finished run with a lineage key, if there is one."""
    return next((str(run.info.run_id) for run in runs_of(store, key) if run.info.status == "FINISHED"), None)


def epoch_metrics(record: EpochRecord) -> list[Metric]:
    """Return one epoch's numbers as MLflow metrics with the epoch as step."""
    now = int(time() * 1000)
    return [Metric(name, float(value), now, record.epoch) for name, value in asdict(record).items() if name != "epoch"]


def log_metrics(store: Store, run_id: str, metrics: list[Metric]) -> None:
    """Log any number of metrics in as few calls as MLflow allows."""
    for start in range(0, len(metrics), BATCH):
        store.client.log_batch(run_id, metrics=metrics[start : start + BATCH])


def set_tags(store: Store, run_id: str, tags: dict[str, str]) -> None:
    """Set several tags at once."""
    store.client.log_batch(run_id, tags=[RunTag(name, value) for name, value in tags.items()])


def source_tags(project: Project) -> dict[str, str]:
    """Return the git commit and whether tracked files differ from it; dvc.lock is a result, so it does not count."""
    commit = _git(project, "rev-parse", "HEAD")
    if commit is None:
        return {}
    changes = _git(project, "status", "--porcelain", "--untracked-files=no", "--", ".", ":(exclude)dvc.lock")
    return {"mlflow.source.git.commit": commit, "ann.git_dirty": str(bool(changes)).lower()}


def flatten(tree: object, prefix: str = "") -> dict[str, str]:
    """Return nested values as {"a.b": "text"}."""
    if isinstance(tree, dict) and tree:
        return {key: text for name, value in tree.items() for key, text in flatten(value, f"{prefix}{name}.").items()}
    return {prefix.removesuffix("."): str(tree)}


def _git(project: Project, *arguments: str) -> str | None:
    try:
        done = subprocess.run(["git", *arguments], cwd=project.root, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        return None
    return done.stdout.strip() if done.returncode == 0 else None


@contextmanager
def _training_lock(project: Project, key: str) -> Iterator[None]:
    """Hold the key for this process; the operating system frees it when the process dies."""
    path = project.state / "locks" / f"{key}.lock"
    path.parent.mkdir(parents=True, exist_ok=True)
    owner = path.with_suffix(".owner")
    try:
        with FileLock(path, blocking=False):
            owner.write_text(f"{os.getpid()} on {socket.gethostname()}", encoding="utf-8")
            yield
    except Timeout:
        holder = owner.read_text(encoding="utf-8") if owner.exists() else "unknown"
        raise BusyError(f"network {key} is being trained by process {holder}; wait for it, or stop it") from None
