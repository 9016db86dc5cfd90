"""The model registry: one version a file, found by its sha256; aliases champion and challenger."""

from dataclasses import dataclass
from pathlib import Path

import mlflow
import numpy as np
from mlflow.entities.model_registry import ModelVersion
from mlflow.exceptions import MlflowException

from ann.artifacts import file_sha256
from ann.errors import StageError
from ann.tracking.models import log_onnx
from ann.tracking.store import Store, resolving

CHAMPION, CHALLENGER = "champion", "challenger"
SHA_TAG = "ann.sha256"


@dataclass(frozen=True)
class Registered:
    """A version of the registered model, and the file that it serves."""

    version: int
    sha256: str


def register_file(
    store: Store,
    run_id: str,
    name: str,
    path: Path,
    *,
    tags: dict[str, str],
    description: str,
    example: dict[str, np.ndarray],
) -> Registered:
    """Return the version that holds this file, registering it if there is none."""
    sha256 = file_sha256(path)
    _create_registered_model(store, name)
    found = store.client.search_model_versions(f"name = '{name}' and tags.`{SHA_TAG}` = '{sha256}'")
    ready = [version for version in found if version.status == "READY"]
    if ready:
        return Registered(min(int(version.version) for version in ready), sha256)
    model_id = log_onnx(store, run_id, path, name="model", params={"variant": "shipped"}, tags=tags, example=example)
    with resolving(store):
        version = store.client.create_model_version(
            name,
            source=f"models:/{model_id}",
            run_id=run_id,
            tags={**tags, SHA_TAG: sha256},
            description=description,
            model_id=model_id,
        )
    return Registered(int(version.version), sha256)


def champion_of(store: Store, name: str) -> ModelVersion | None:
    """Return the version that the alias `champion` names, if there is one."""
    return _version_by_alias(store, name, CHAMPION)


def download_model(store: Store, version: ModelVersion, folder: Path) -> Path:
    """Fetch a version's file and check it against its recorded sha256.

    Raises:
        StageError: the file is not the one that was registered.
    """
    model_id = version.source.split("/")[-1]  # the SQL store answers model_id None
    location = store.client.get_logged_model(model_id).artifact_location
    source = f"{location}/model.onnx"
    path = Path(mlflow.artifacts.download_artifacts(source, dst_path=str(folder), tracking_uri=store.uri))
    recorded = version.tags.get(SHA_TAG)
    if recorded is None or file_sha256(path) != recorded:
        raise StageError(
            f"version {version.version} of {version.name} is not the file that was registered: "
            f"move the alias to another version"
        )
    return path


def set_alias(store: Store, name: str, alias: str, version: int) -> None:
    """Point an alias at a version; where it pointed before no longer carries it."""
    store.client.set_registered_model_alias(name, alias, str(version))


def clear_alias(store: Store, name: str, alias: str, version: int) -> None:
    """Take an alias away from a version, if it points there."""
    found = _version_by_alias(store, name, alias)
    if found is not None and int(found.version) == version:
        store.client.delete_registered_model_alias(name, alias)


def _version_by_alias(store: Store, name: str, alias: str) -> ModelVersion | None:
    """Return the version an alias names, or None where there is none; a registry that fails is not an empty one."""
    try:
        return store.client.get_model_version_by_alias(name, alias)
    except MlflowException as error:
        if error.error_code in ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"):
            return None
        raise


def _create_registered_model(store: Store, name: str) -> None:
    try:
        store.client.create_registered_model(name)
    except MlflowException as error:
        if error.error_code != "RESOURCE_ALREADY_EXISTS":
            raise
