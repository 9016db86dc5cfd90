"""Where a project's files and its state lie."""

from pathlib import Path

import pytest

from ann.errors import ConfigError
from ann.project import Project


@pytest.fixture
def project(params_file):
    return Project.at(params_file.parent)


def test_a_folder_without_params_is_no_project(tmp_path):
    with pytest.raises(ConfigError, match=r"is not a project: it has no params\.yaml; .* name it with -C DIR"):
        Project.at(tmp_path)


def test_paths_are_absolute_wherever_the_project_is_named_from(params_file, monkeypatch):
    monkeypatch.chdir(params_file.parent)
    project = Project.at(".")
    assert project.root == params_file.parent.resolve()
    for path in (project.params_file, project.data_file, project.flow_file, project.build.root, project.run_lock):
        assert path.is_relative_to(project.root)
        assert path.is_absolute()


def test_params_are_those_of_the_file(project):
    assert project.params().data.target == "bought"


def test_state_lies_in_the_project_by_default(project, monkeypatch):
    monkeypatch.delenv("ANN_HOME", raising=False)
    assert project.state == project.root / ".ann"


@pytest.mark.parametrize("value", ["elsewhere/state", "./elsewhere/../elsewhere/state"])
def test_state_lies_where_the_environment_says_as_an_absolute_path(project, tmp_path, monkeypatch, value):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("ANN_HOME", value)
    assert project.state == (tmp_path / "elsewhere" / "state").resolve()


def test_an_empty_variable_is_as_none(project, monkeypatch):
    monkeypatch.setenv("ANN_HOME", "")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "")
    assert project.state == project.root / ".ann"
    assert project.tracking_uri == f"sqlite:///{project.root}/.ann/mlflow.db"


def test_the_tracking_database_lies_under_the_state_root(project, tmp_path, monkeypatch):
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.setenv("ANN_HOME", str(tmp_path / "shared"))
    database = Path(project.tracking_uri.removeprefix("sqlite:///"))
    assert database == (tmp_path / "shared" / "mlflow.db").resolve()


def test_a_tracking_server_of_the_users_is_taken(project, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://tracking:5000")
    assert project.tracking_uri == "http://tracking:5000"
