"""The registry: one version a file, aliases that earn their place, a file that answers through MLflow."""

import json
from pathlib import Path

import mlflow
import numpy as np
import pandas as pd
import pytest
from mlflow import MlflowClient

from ann.artifacts import file_sha256
from ann.errors import StageError
from ann.pipeline import Pipeline
from ann.predict import Model
from ann.project import Project
from ann.stages import register
from ann.tracking.registry import champion_of, download_model
from ann.tracking.store import connect, resolving


@pytest.fixture
def here(built: Path) -> Project:
    return Project.at(built)


def decision(project: Project) -> dict:
    return json.loads(project.build.decision.read_text())


def client(project: Project) -> MlflowClient:
    return MlflowClient(project.tracking_uri)


def rerun(project: Project, before: str, after: str) -> None:
    """Change the parameters and bring every stage up to date."""
    text = project.params_file.read_text()
    assert before in text
    project.params_file.write_text(text.replace(before, after))
    pipeline = Pipeline(project)
    for name in pipeline.stages():
        pipeline.run(name)


def test_the_first_file_becomes_champion(here: Project) -> None:
    assert decision(here)["alias"] == "champion"
    assert decision(here)["rules"] == [{"rule": "there is no champion yet", "passed": True}]
    version = client(here).get_model_version_by_alias("shop", "champion")
    assert version.tags["ann.sha256"] == file_sha256(here.build.model)
    assert version.tags["ann.key"] == decision(here)["key"]


def test_registering_the_same_file_again_changes_nothing(here: Project) -> None:
    before = here.build.decision.read_bytes()
    register.run(here.params(), here)
    assert here.build.decision.read_bytes() == before
    assert len(client(here).search_model_versions("name = 'shop'")) == 1


def test_a_worse_network_stays_challenger_and_the_numbers_say_why(here: Project) -> None:
    rerun(
        here, "epochs: 6, batch_size: 64, optimizer: {lr: 0.01}", "epochs: 1, batch_size: 64, optimizer: {lr: 0.00001}"
    )
    assert decision(here)["alias"] == "challenger"
    [rule] = decision(here)["rules"]
    assert rule["ours"] < rule["theirs"]
    assert client(here).get_model_version_by_alias("shop", "champion").version == 1
    assert client(here).get_model_version_by_alias("shop", "challenger").version == 2


def test_a_better_network_takes_the_place_of_the_champion(here: Project) -> None:
    rerun(here, "register: {name: shop}", "register: {name: other}")
    rerun(
        here, "epochs: 6, batch_size: 64, optimizer: {lr: 0.01}", "epochs: 1, batch_size: 64, optimizer: {lr: 0.00001}"
    )
    store = client(here)
    worse = decision(here)["version"]
    store.set_registered_model_alias("other", "champion", str(worse))
    rerun(
        here, "epochs: 1, batch_size: 64, optimizer: {lr: 0.00001}", "epochs: 6, batch_size: 64, optimizer: {lr: 0.01}"
    )
    assert decision(here)["alias"] == "champion"
    assert decision(here)["alias_before"] == {"champion": worse}
    assert decision(here)["alias_after"] == {"champion": decision(here)["version"]}
    assert int(store.get_model_version_by_alias("other", "champion").version) == decision(here)["version"] != worse


def test_a_champion_that_was_tampered_with_is_found_out(here: Project, tmp_path: Path) -> None:
    store = connect(here, "shop")
    version = champion_of(store, "shop")
    location = store.client.get_logged_model(version.source.split("/")[-1]).artifact_location
    file = Path(location.removeprefix("file://")) / "model.onnx"
    file.write_bytes(file.read_bytes() + b"\0")
    with pytest.raises(StageError, match="is not the file that was registered"):
        download_model(store, version, tmp_path)


def test_the_registered_model_answers_raw_columns_through_mlflow(here: Project, table: pd.DataFrame) -> None:
    with resolving(connect(here, "shop")):
        served = mlflow.pyfunc.load_model("models:/shop@champion")
    model = Model(here.build.model)
    rows = table.head(20).drop(columns=["bought", "town"])
    columns = model.inputs(rows.where(rows.notna(), None).to_dict("records"))
    found = model.run(columns)
    answer = served.predict(columns)
    assert list(answer["label"]) == list(found["label"])
    np.testing.assert_array_equal(answer["probabilities"], found["probabilities"])
    inputs = {spec.name: (spec.type, spec.shape) for spec in served.metadata.signature.inputs}
    assert inputs["age"] == (np.dtype(np.float32), (-1,))
    assert inputs["colour"] == (np.dtype(object), (-1,))


def test_the_version_carries_a_card(here: Project) -> None:
    card = client(here).get_model_version("shop", "1").description
    assert "| auc |" in card
    assert "Kept out of the network and used only to report by group: town" in card
    assert decision(here)["key"] in card
