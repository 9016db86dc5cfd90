"""The MLflow runs of a study: an experiment of its own, a run for each training, each ended as its training ended."""

from collections.abc import Iterator
from contextlib import contextmanager

from filelock import FileLock, Timeout
from mlflow.entities import Param

import ann
from ann.errors import BusyError
from ann.project import Project
from ann.tracking.runs import HOME_TAG, ending, home, source_tags
from ann.tracking.store import Store, connect

STUDY_TAG = "ann.study"


@contextmanager
def study_experiment(project: Project, study: str, name: str) -> Iterator[Store]:
    """Open the experiment `<name>-<study>` for this process alone; the operating system frees it when it dies.

    Runs that a dead process of this state root left RUNNING are ended as KILLED.

    Raises:
        BusyError: another process is at the same study.
    """
    project.state.mkdir(parents=True, exist_ok=True, mode=0o700)
    lock = FileLock(project.state / f"study-{study}.lock", blocking=False)
    try:
        lock.acquire()
    except Timeout:
        raise BusyError(f"the study {study} runs in {project.root} already: wait for it, or stop it") from None
    try:
        store = connect(project, f"{name}-{study}")
        left = f"attributes.status = 'RUNNING' and tags.`{HOME_TAG}` = '{home(project)}'"
        for run in store.client.search_runs([store.experiment_id], left):
            store.client.set_terminated(run.info.run_id, "KILLED")
        yield store
    finally:
        lock.release()


@contextmanager
def study_run(store: Store, project: Project, study: str, run_name: str, params: dict[str, object]) -> Iterator[str]:
    """Open a run for the duration of one training; it ends FINISHED, FAILED, or KILLED on an interrupt."""
    tags = source_tags(project) | {STUDY_TAG: study, "ann.version": ann.__version__, HOME_TAG: home(project)}
    run_id = str(store.client.create_run(store.experiment_id, run_name=run_name, tags=tags).info.run_id)
    with ending(store, run_id):
        store.client.log_batch(run_id, params=[Param(name, str(value)) for name, value in params.items()])
        yield run_id
