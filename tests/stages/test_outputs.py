"""The files between stages, as other programs may read them."""

import csv
import json
from pathlib import Path

import numpy as np
import onnxruntime as ort
import pytest

from ann.artifacts import file_sha256, load_arrays, load_inputs
from ann.compression.shipped import shipped_latency
from ann.compression.table import measured_table
from ann.lineage import lineage_of
from ann.pipeline import Pipeline
from ann.predict import Model
from ann.project import Project
from ann.tracking.projection import recorded_lineage


@pytest.fixture(scope="module")
def project(built_template: Path) -> Project:
    return Project.at(built_template)


def read(path: Path) -> dict:
    return json.loads(path.read_text())


def test_every_json_file_states_its_format(project: Project) -> None:
    files = sorted(project.build.root.rglob("*.json"))
    assert len(files) >= 12
    assert {read(path)["format"] for path in files} == {1}


def test_the_report_holds_every_expectation_with_its_verdict(project: Project) -> None:
    report = read(project.build.validation_report)
    suite = read(project.root / "suite.json")["expectations"]
    assert [entry["expectation"] for entry in report["expectations"]] == [entry["type"] for entry in suite]
    assert report["passed"] is True
    assert report["rows"] == 600
    masked = [
        entry for entry in report["expectations"] if entry["column"] == "town" and "in_set" in entry["expectation"]
    ]
    assert [entry["expected"] for entry in masked] == ["***"]


def test_parts_hold_every_source_row_once(project: Project) -> None:
    rows = [load_arrays(project.build.folder("prepare") / part)["rows"] for part in ("train", "valid", "test")]
    assert sorted(np.concatenate(rows)) == list(range(600))


def test_the_schema_says_what_is_predicted_and_what_a_network_reads(project: Project) -> None:
    schema = read(project.build.schema)
    target = schema["target"]
    assert (target["task"], target["names"], target["classes"]) == ("binary", ["bought"], ["no", "yes"])
    assert "names" in target["reason"]
    assert set(schema["groups"]) == {"numeric", "categorical"}
    assert schema["media"] == {"channels": None, "rate": None}
    train = load_arrays(project.build.folder("prepare") / "train")
    assert set(train) == {"numeric", "categorical", "target", "rows", "slice_0"}
    assert train["numeric"].shape[1] == schema["groups"]["numeric"]["width"]


def test_what_may_leak_is_told(project: Project) -> None:
    assert isinstance(read(project.build.leakage)["findings"], list)


def test_pictures_and_tables_of_the_evaluation_lie_in_one_folder(project: Project) -> None:
    names = {path.name for path in (project.build.folder("evaluate") / "plots").iterdir()}
    assert names >= {"roc.csv", "precision_recall.csv", "calibration.csv", "confusion.csv"}
    assert any(name.endswith(".png") for name in names)


def test_example_rows_are_those_of_the_raw_inputs_beside_them(project: Project) -> None:
    rows, inputs = read(project.build.example)["rows"], load_inputs(project.build.example_inputs)
    model = Model(project.build.model)
    sent = model.inputs(rows)
    assert (len(rows), set(inputs)) == (5, set(model.types))
    for name, values in inputs.items():
        np.testing.assert_array_equal(sent[name], values)
    probabilities = model.run(inputs)["probabilities"]
    np.testing.assert_allclose(probabilities.sum(axis=1), 1, atol=1e-5)


def test_history_has_a_row_an_epoch_and_the_summary_names_the_best(project: Project) -> None:
    with project.build.history.open() as file:
        history = list(csv.DictReader(file))
    summary = read(project.build.train_summary)
    losses = [float(row["valid_loss"]) for row in history]
    assert [int(row["epoch"]) for row in history] == list(range(1, len(history) + 1))
    assert summary["best_epoch"] == 1 + int(np.argmin(losses))
    assert summary["best_valid_loss"] == min(losses)


def test_metrics_are_values_between_their_bounds(project: Project) -> None:
    for path, parts in ((project.build.metrics, ("test", "valid")), (project.build.model_metrics, ("test",))):
        for part in parts:
            for name in ("auc", "accuracy", "log_loss"):
                interval = read(path)[part][name]
                assert interval["low"] <= interval["value"] <= interval["high"]


def test_the_file_labels_every_test_row_and_every_edge_row_as_torch_does(project: Project) -> None:
    parity = read(project.build.parity)["parity"]
    tests = len(load_arrays(project.build.folder("prepare") / "test")["rows"])
    assert set(parity) == {"fp32", read(project.build.choice)["chosen"]}
    assert parity["fp32"]["real"]["rows"] == tests
    assert set(parity["fp32"]) == {"real", "one", "odd", "missing", "unseen", "huge"}
    for kinds in parity.values():
        assert {kind: found["flips"] for kind, found in kinds.items()} == dict.fromkeys(kinds, 0)
        assert max(found["max_difference"] for found in kinds.values()) <= 1e-4


def test_candidates_hold_quality_latency_bytes_and_one_choice(project: Project) -> None:
    candidates = read(project.build.candidates)["candidates"]
    assert [candidate["name"] for candidate in candidates] == ["fp32", "int8-static", "pruned"]
    assert [candidate["name"] for candidate in candidates if candidate["chosen"]] == [
        read(project.build.choice)["chosen"]
    ]
    for candidate in candidates:
        assert candidate["bytes"] == (project.build.variants / f"{candidate['name']}.onnx").stat().st_size
        assert set(candidate["latency_ms"]) == {"256"}
        assert candidate["latency_ms"]["256"]["p50"] <= candidate["latency_ms"]["256"]["p95"]
        assert candidate["why"]


def test_the_file_carries_its_lineage(project: Project) -> None:
    metadata = ort.InferenceSession(project.build.model).get_modelmeta().custom_metadata_map
    exported = lineage_of("export", project.params(), project)
    assert metadata["ann.key"] == recorded_lineage(project.build).key
    assert metadata["ann.data_md5"] == exported.data_md5
    assert metadata["ann.params_sha256"] == exported.params_sha256
    assert metadata["ann.code_sha256"] == exported.code_sha256


def test_the_decision_names_the_very_file(project: Project) -> None:
    decision = read(project.build.decision)
    assert decision["sha256"] == file_sha256(project.build.model)
    assert decision["alias_after"] == {"champion": decision["version"]}


def test_what_was_measured_is_no_output_of_dvc(project: Project) -> None:
    tracked = (project.root / "dvc.lock").read_text()
    assert "choice.json" in tracked
    for name in ("candidates.json", "latency.json", "front.csv"):
        assert name not in tracked


def test_a_missing_measurement_is_taken_again_and_dvc_sees_nothing(built: Path) -> None:
    project = Project.at(built)
    project.build.candidates.unlink()
    project.build.latency.unlink()
    pipeline = Pipeline(project)
    pipeline.adopt()
    assert pipeline.stale() == []
    assert measured_table(project.build, project.params().compress)["candidates"][0]["name"] == "fp32"
    assert set(shipped_latency(project.build, (1, 256))["latency_ms"]) == {"1", "256"}
