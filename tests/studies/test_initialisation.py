"""The initialisation study: what it trains, tells and refuses, and that its runs end as its trainings ended."""

import json
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from filelock import FileLock
from mlflow import MlflowClient
from mlflow.entities import Run
from PIL import Image

from ann.cli import main
from ann.data.batches import TensorData
from ann.data.target import classification
from ann.errors import BusyError, ConfigError, DataError, StageError
from ann.project import Project
from ann.stages import prepare
from ann.studies import initialisation
from ann.studies.initialisation import PUBLISHED, StudyRows, prepared_rows, run_study, study_project
from ann.studies.runs import study_experiment
from ann.tracking.store import connect
from tests.conftest import PARAMS, shop_table

CPU = torch.device("cpu")
NAME = "shop-initialisation"


def new_project(root: Path, table: pd.DataFrame, params: str = PARAMS) -> Project:
    """Write a project of params.yaml and rows, and prepare these."""
    (root / "data").mkdir(parents=True)
    table.to_csv(root / "data" / "rows.csv", index=False)
    (root / "params.yaml").write_text(params, encoding="utf-8")
    project = Project.at(root)
    prepare.run(project.params(), project)
    return project


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A prepared project with an empty store of runs, which takes seconds to make; copy it, never change it."""
    project = new_project(tmp_path_factory.mktemp("template") / "project", shop_table(400))
    connect(project, NAME)
    return project.root


@pytest.fixture(scope="module")
def studied(template: Path, tmp_path_factory: pytest.TempPathFactory) -> Project:
    """A project whose study ran with two seeds; only to be read."""
    project = Project.at(shutil.copytree(template, tmp_path_factory.mktemp("study") / "project"))
    study_project(project, epochs=8, seeds=2, lr=0.1, told=lambda _: None)
    return project


@pytest.fixture
def project(template: Path, tmp_path: Path) -> Project:
    """A project of the test's own that nothing was studied in."""
    return Project.at(shutil.copytree(template, tmp_path / "project"))


@pytest.fixture
def rows() -> StudyRows:
    """Two clouds of points, seven in ten of the first class."""
    random = np.random.default_rng(0)

    def part(count: int) -> TensorData:
        target = (np.arange(count) % 10 >= 7).astype(np.int64)
        points = random.normal(0, 0.3, (count, 4)) + target[:, None]
        return TensorData({"numeric": torch.tensor(points, dtype=torch.float32)}, torch.tensor(target))

    return StudyRows(part(200), part(100), classification(2))


def study(rows: StudyRows, project: Project, **changes: object) -> initialisation.Outcome:
    settings = {"seeds": [1], "epochs": 3, "lr": 0.1, "told": lambda _: None}
    return run_study(rows, project, "shop", **{**settings, **changes})


def runs(project: Project) -> list[Run]:
    client = MlflowClient(project.tracking_uri)
    found = client.get_experiment_by_name(NAME)
    return list(client.search_runs([found.experiment_id])) if found else []


def statuses(project: Project) -> list[str]:
    return sorted(run.info.status for run in runs(project))


def numbers(project: Project) -> dict:
    return json.loads((project.build.folder("study") / "initialisation.json").read_text())


def majority(project: Project) -> float:
    """The share of validation rows in the class that training rows have most of."""
    train, valid = (np.load(project.build.folder("prepare") / part / "target.npy") for part in ("train", "valid"))
    return float((valid == np.bincount(train).argmax()).mean())


def test_there_is_a_finished_run_for_each_strategy_and_seed(studied: Project) -> None:
    told = {(run.data.params["strategy"], run.data.params["seed"]) for run in runs(studied)}
    assert told == {(strategy, seed) for strategy in PUBLISHED for seed in ("1", "2")}
    assert statuses(studied) == ["FINISHED"] * 8
    assert {run.data.tags["ann.study"] for run in runs(studied)} == {"initialisation"}


def test_a_run_holds_every_epoch_once_and_the_settings(studied: Project) -> None:
    client = MlflowClient(studied.tracking_uri)
    for run in runs(studied):
        params = run.data.params
        history = client.get_metric_history(run.info.run_id, "valid_accuracy")
        assert [entry.step for entry in history] == list(range(1, 9))
        assert (params["lr"], params["batch_size"], params["hidden"]) == ("0.1", "64", "128-64")
        written = numbers(studied)["strategies"][params["strategy"]]["accuracy_by_epoch"][int(params["seed"]) - 1]
        assert [entry.value for entry in history] == written


def test_zeros_stay_at_the_most_frequent_class_and_he_learns(rows: StudyRows, project: Project) -> None:
    outcome = study(rows, project, seeds=[1, 2], epochs=5)
    np.testing.assert_allclose(outcome.epochs["zeros"], np.full((2, 5), 0.7))
    assert outcome.majority == pytest.approx(0.7)
    assert outcome.final["he_normal"].min() > 0.95


def test_from_zeros_every_row_gets_the_same_class_also_where_there_are_categories(studied: Project) -> None:
    strategies, share = numbers(studied)["strategies"], majority(studied)
    for accuracy in np.unique(strategies["zeros"]["accuracy_by_epoch"]):
        assert accuracy in (pytest.approx(share), pytest.approx(1 - share))
    assert min(strategies["he_normal"]["accuracy"]) > 0.8
    assert numbers(studied)["most_frequent_class"] == pytest.approx(share)


def test_the_file_holds_the_published_figures_and_all_seeds(studied: Project) -> None:
    content = numbers(studied)
    published = {name: entry["published_on_mnist"] for name, entry in content["strategies"].items()}
    assert published == {"zeros": 0.85, "normal": 0.92, "xavier_normal": 0.96, "he_normal": 0.97}
    assert content["seeds"] == [1, 2]
    assert (studied.build.folder("study") / "initialisation.png").stat().st_size > 5_000


def test_the_command_prints_a_table_and_takes_another_folder_of_rows(
    project: Project, capsys: pytest.CaptureFixture[str]
) -> None:
    elsewhere = project.root / "elsewhere"
    project.build.folder("prepare").rename(elsewhere)
    command = ["-C", str(project.root), "study", "initialisation", "--epochs", "1", "--seeds", "1"]
    assert main(command) == 2
    assert "schema.json does not exist: run the stage that writes it" in capsys.readouterr().err
    assert main([*command, "--data", str(elsewhere)]) == 0
    shown = capsys.readouterr().out
    for line in ("published on MNIST", "he_normal, seed 1: accuracy", "Always the most frequent class: "):
        assert line in shown


@pytest.mark.parametrize(
    ("option", "value", "message"),
    [
        ("--epochs", "0", "--epochs must be at least 1, got 0"),
        ("--seeds", "0", "--seeds must be at least 1, got 0"),
        ("--lr", "0", "--lr must be above 0 and at most 100, got 0"),
        ("--lr", "nan", "--lr must be above 0 and at most 100, got nan"),
    ],
)
def test_an_option_out_of_range_is_told(option: str, value: str, message: str, capsys) -> None:
    assert main(["study", "initialisation", option, value]) == 2
    assert message in capsys.readouterr().err


def test_the_same_seed_gives_the_same_numbers_and_another_seed_others(rows: StudyRows, project: Project) -> None:
    first, again = (study(rows, project, seeds=[1, 2]) for _ in range(2))
    for strategy in PUBLISHED:
        np.testing.assert_array_equal(first.epochs[strategy], again.epochs[strategy])
    losses = [run.data.metrics["valid_loss"] for run in runs(project) if run.data.params["strategy"] == "he_normal"]
    assert len(losses) == 4
    assert len(set(losses)) == 2


def test_the_end_is_measured_on_test_rows_where_there_are_any(rows: StudyRows, project: Project) -> None:
    test = rows.valid.rows(torch.arange(7, 100))  # of 93 rows 63 are of the first class
    assert study(rows, project).final["zeros"] == pytest.approx([0.7])
    outcome = study(StudyRows(rows.train, rows.valid, rows.target, test=test), project)
    assert outcome.final["zeros"] == pytest.approx([63 / 93])
    assert outcome.majority == pytest.approx(63 / 93)
    assert outcome.epochs["zeros"][0] == pytest.approx([0.7] * 3)


def test_an_interrupt_leaves_its_run_killed_and_those_before_finished(
    rows: StudyRows, project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    fit, calls = initialisation.fit, []

    def interrupted(*arguments: object, **keywords: object) -> object:
        calls.append(1)
        if len(calls) == 3:
            raise KeyboardInterrupt
        return fit(*arguments, **keywords)

    monkeypatch.setattr(initialisation, "fit", interrupted)
    with pytest.raises(KeyboardInterrupt):
        study(rows, project)
    assert statuses(project) == ["FINISHED", "FINISHED", "KILLED"]


def test_a_training_that_diverges_leaves_its_run_failed(rows: StudyRows, project: Project) -> None:
    rows.train.inputs["numeric"][:] = 1e30
    with pytest.raises(StageError, match="diverged"):
        study(rows, project, lr=100.0)
    assert "FAILED" in statuses(project)
    assert "RUNNING" not in statuses(project)


def test_a_learning_rate_at_which_a_project_diverges_is_told(project: Project) -> None:
    values = np.load(path := project.build.folder("prepare") / "train" / "numeric.npy")
    np.save(path, values * 1e30)
    with pytest.raises(ConfigError, match=r"--lr: a training diverged at 100, .*: lower it"):
        study_project(project, epochs=2, seeds=1, lr=100.0, told=lambda _: None)


def test_runs_that_a_dead_process_left_are_ended_as_killed_but_not_those_of_another_machine(
    rows: StudyRows, project: Project
) -> None:
    study(rows, project)
    client = MlflowClient(project.tracking_uri)
    here, there = (run.info.run_id for run in runs(project)[:2])
    for run_id in (here, there):
        client.update_run(run_id, status="RUNNING")
    client.set_tag(there, "ann.home", "elsewhere:/state")
    with study_experiment(project, "initialisation", "shop"):
        assert client.get_run(here).info.status == "KILLED"
        assert client.get_run(there).info.status == "RUNNING"


def test_a_second_study_at_once_is_refused(rows: StudyRows, project: Project) -> None:
    with (
        FileLock(project.state / "study-initialisation.lock"),
        pytest.raises(BusyError, match=r"the study initialisation runs in .* already: wait for it"),
    ):
        study(rows, project)
    assert runs(project) == []


def test_a_forecast_is_refused(tmp_path: Path) -> None:
    series = pd.DataFrame({"load": np.sin(np.arange(120.0)), "heat": np.cos(np.arange(120.0))})
    data = "data: {target: [load], windows: {length: 8, horizon: 2, season: 4}}\n"
    params = f"ann: 0.1.0\nseed: 1\n{data}{PARAMS[PARAMS.index('validate:') :]}"
    project = new_project(tmp_path / "project", series, params)
    with pytest.raises(DataError, match=r"counts right classes, but the task .* is forecast: take a project"):
        study_project(project, epochs=1, seeds=1, lr=0.1, told=lambda _: None)
    assert not (project.state / "mlflow.db").exists()


def test_columns_of_text_are_refused(tmp_path: Path) -> None:
    table = shop_table(200).assign(note=[f"they bought {i} things of many kinds" for i in range(200)])
    params = PARAMS.replace("  columns:\n", "  columns:\n    note: {type: text}\n")
    project = new_project(tmp_path / "project", table, params)
    with pytest.raises(DataError, match=r"numeric and categorical columns, or images alone, but .* and text"):
        prepared_rows(project.build.folder("prepare"), CPU)


def test_images_are_read_as_flat_rows(tmp_path: Path, project: Project) -> None:
    random, folder = np.random.default_rng(0), tmp_path / "pictures"
    for number in range(60):
        pixels = random.integers(0, 128, (6, 5), dtype=np.uint8) + 127 * (number % 2)
        path = folder / "data" / ("dark", "light")[number % 2] / f"{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels.astype(np.uint8)).save(path)
    stages = PARAMS[PARAMS.index("validate:") :]
    (folder / "params.yaml").write_text(f"ann: 0.1.0\nseed: 1\ndata: {{target: shade}}\n{stages}")
    pictures = Project.at(folder)
    prepare.run(pictures.params(), pictures)
    rows = prepared_rows(pictures.build.folder("prepare"), CPU)
    stored = np.load(pictures.build.folder("prepare") / "train" / "image.npy")
    np.testing.assert_array_equal(rows.train.inputs["numeric"].numpy(), stored.reshape(len(stored), 30))
    assert study(rows, project, epochs=5).final["he_normal"][0] > 0.9
