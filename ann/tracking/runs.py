"""One MLflow run per trained network, found by its lineage key; every stage after training logs into it."""

import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from time import time
from types import TracebackType
from typing import Self

from mlflow.entities import Metric, Param, Run, RunTag

import ann
from ann.config import Params
from ann.lineage import Lineage
from ann.project import Project
from ann.tracking.store import Store, connect
from ann.training.checkpoints import Checkpoints
from ann.training.state import EpochRecord

BATCH = 1000
"""Metrics that MLflow takes at once."""
EPOCHS_AT_ONCE = 5
HOME_TAG = "ann.home"


class EpochLogger:
    """A training callback: epochs go to MLflow in batches, each once, also when they are told again.

    What waits at the end of the block is sent, also when training fails.
    """

    def __init__(self, store: Store, run_id: str) -> None:
        self._store, self._run_id = store, run_id
        self._waiting: list[Metric] = []
        self._logged = logged_steps(store, run_id)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is None:
            self.flush()
        else:
            with suppress(Exception):  # the reason why training ended is worth more than its last numbers
                self.flush()

    def __call__(self, record: EpochRecord) -> None:
        """Take an epoch; several go to MLflow together."""
        self._waiting += [metric for metric in epoch_metrics(record) if (metric.key, metric.step) not in self._logged]
        if record.epoch % EPOCHS_AT_ONCE == 0:
            self.flush()

    def flush(self) -> None:
        """Send what waits."""
        log_metrics(self._store, self._run_id, self._waiting)
        self._waiting = []


@contextmanager
def training_run(
    project: Project, params: Params, lineage: Lineage, checkpoints: Checkpoints
) -> Iterator[tuple[Store, str]]:
    """Open a run for the duration of training; it ends FINISHED, FAILED, or KILLED on an interrupt.

    A training that goes on from a checkpoint goes on in the run that it began in.

    Raises:
        StageError: there is a checkpoint, and it is damaged or of another training.
    """
    store = connect(project, params.register_.name)
    run_id = _begun_run(store, project, lineage.key, checkpoints)
    if run_id is None:
        run_id = create_run(store, project, params, lineage)
    else:
        store.client.update_run(run_id, status="RUNNING")
    checkpoints.run_id = run_id
    with ending(store, run_id):
        yield store, run_id


@contextmanager
def ending(store: Store, run_id: str) -> Iterator[None]:
    """End a run as its block ends: FINISHED, FAILED on an error, KILLED on an interrupt."""
    try:
        yield
    except Exception:
        store.client.set_terminated(run_id, "FAILED")
        raise
    except BaseException:
        store.client.set_terminated(run_id, "KILLED")
        raise
    store.client.set_terminated(run_id, "FINISHED")


def _begun_run(store: Store, project: Project, key: str, checkpoints: Checkpoints) -> str | None:
    """Return the run to go on in: the checkpoint's, else one that died before it had a number to tell.

    Other runs of the key that a process of this state root left RUNNING are ended as KILLED: this process holds the
    training's lock, so theirs is dead.
    """
    facts = checkpoints.facts()
    runs = {str(run.info.run_id): run for run in runs_of(store, key)}
    begun = facts["run_id"] if facts and facts["run_id"] in runs else None
    for run_id, run in runs.items():
        if run.info.status != "RUNNING" or run.data.tags.get(HOME_TAG) != home(project) or run_id == begun:
            continue
        if facts is None and begun is None and not run.data.metrics:
            begun = run_id
        else:
            store.client.set_terminated(run_id, "KILLED")
    return begun


def create_run(
    store: Store, project: Project, params: Params, lineage: Lineage, tags: dict[str, str] | None = None
) -> str:
    """Create a run with its parameters and tags, RUNNING, and return its id."""
    run = store.client.create_run(
        store.experiment_id,
        run_name=lineage.key,
        tags=lineage.tags()
        | source_tags(project)
        | {"ann.version": ann.__version__, HOME_TAG: home(project)}
        | (tags or {}),
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
    return [Metric(name, float(value), now, record.epoch) for name, value in record.row().items() if name != "epoch"]


def log_metrics(store: Store, run_id: str, metrics: list[Metric]) -> None:
    """Log any number of metrics in as few calls as MLflow allows."""
    for start in range(0, len(metrics), BATCH):
        store.client.log_batch(run_id, metrics=metrics[start : start + BATCH])


def log_missing(store: Store, run_id: str, metrics: list[Metric]) -> None:
    """Log those metrics that the run does not hold at their step."""
    logged = logged_steps(store, run_id)
    log_metrics(store, run_id, [metric for metric in metrics if (metric.key, metric.step) not in logged])


def logged_steps(store: Store, run_id: str) -> set[tuple[str, int]]:
    """Return (name, step) of every metric that a run holds."""
    names = store.client.get_run(run_id).data.metrics
    return {(name, metric.step) for name in names for metric in store.client.get_metric_history(run_id, name)}


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


def home(project: Project) -> str:
    """Name the state root of this machine, whose locks and checkpoints this process sees."""
    return f"{socket.gethostname()}:{project.state}"
