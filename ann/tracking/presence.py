"""Ask whether MLflow holds a run and a version, quickly: without importing MLflow where the store is SQLite."""

import sqlite3
from contextlib import closing
from pathlib import Path

from ann.project import Project

QUESTIONS = (
    "SELECT 1 FROM tags JOIN runs USING (run_uuid) "
    "WHERE tags.key = 'ann.key' AND tags.value = :key AND runs.lifecycle_stage = 'active' AND runs.status = 'FINISHED'",
    "SELECT 1 FROM model_version_tags WHERE name = :name AND key = 'ann.sha256' AND value = :sha256",
)


def holds(project: Project, *, key: str, name: str, sha256: str) -> bool:
    """Return whether the store has a finished run with this key and a version of the model `name` with this file."""
    uri = project.tracking_uri
    if uri.startswith("sqlite:///"):
        return _sqlite_holds(Path(uri.removeprefix("sqlite:///")), {"key": key, "name": name, "sha256": sha256})
    from mlflow import MlflowClient

    client = MlflowClient(uri)
    experiment = client.get_experiment_by_name(name)
    if experiment is None:
        return False
    runs = client.search_runs(
        [experiment.experiment_id], f"tags.`ann.key` = '{key}' and status = 'FINISHED'", max_results=1
    )
    versions = client.search_model_versions(f"name = '{name}' and tags.`ann.sha256` = '{sha256}'", max_results=1)
    return bool(runs) and bool(versions)


def _sqlite_holds(database: Path, values: dict[str, str]) -> bool:
    if not database.exists():
        return False
    with closing(sqlite3.connect(f"file:{database}?mode=ro", uri=True)) as connection:
        try:
            return all(connection.execute(question, values).fetchone() for question in QUESTIONS)
        except sqlite3.OperationalError:  # tables are not there yet
            return False
