"""Where MLflow keeps things: SQLite under the state root, or the server that MLFLOW_TRACKING_URI names."""

import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

import mlflow
from filelock import FileLock
from mlflow import MlflowClient
from mlflow.exceptions import MlflowException

from ann.errors import AnnError
from ann.project import Project


@dataclass(frozen=True)
class Store:
    """A client and the experiment of one project."""

    client: MlflowClient
    experiment_id: str
    uri: str


def connect(project: Project, experiment: str) -> Store:
    """Open the store, creating database and experiment where they are missing.

    Raises:
        AnnError: the tracking server does not answer.
    """
    uri = project.tracking_uri
    if not uri.startswith("sqlite:"):
        return Store(client := MlflowClient(uri), _experiment(client, experiment, None, uri), uri)
    database = Path(uri.removeprefix("sqlite:///"))
    database.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(f"{database}.lock"):  # several first users at once would each create the tables
        fresh = not database.exists()
        client = MlflowClient(uri)
        experiment_id = _experiment(client, experiment, (database.parent / "artifacts").as_uri(), uri)
        if fresh:
            with closing(sqlite3.connect(database)) as connection:
                connection.execute("PRAGMA journal_mode=WAL")  # readers do not wait for a writer
    return Store(client, experiment_id, uri)


@contextmanager
def resolving(store: Store) -> Iterator[None]:
    """Let MLflow resolve `models:/` in this store: it asks a global address, and writes that into the environment."""
    before = os.environ.get("MLFLOW_TRACKING_URI")
    mlflow.set_tracking_uri(store.uri)
    try:
        yield
    finally:
        mlflow.set_tracking_uri(before)
        if before is None:
            os.environ.pop("MLFLOW_TRACKING_URI", None)


def _experiment(client: MlflowClient, name: str, artifacts: str | None, uri: str) -> str:
    try:
        found = client.get_experiment_by_name(name)
        if found is not None:
            return str(found.experiment_id)
        return str(client.create_experiment(name, artifact_location=artifacts))
    except MlflowException as error:
        again = client.get_experiment_by_name(name) if error.error_code == "RESOURCE_ALREADY_EXISTS" else None
        if again is not None:
            return str(again.experiment_id)
        raise AnnError(
            f"MLflow at {uri} does not answer: {error.message.splitlines()[0]}; start it, or unset MLFLOW_TRACKING_URI"
        ) from None
