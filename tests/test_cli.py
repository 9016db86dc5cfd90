"""The command as a user meets it: help, exit codes, one message for a mistake."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import ann
from ann.cli import main

HEAVY = ("torch", "mlflow", "prefect", "great_expectations", "pandas", "dvc", "onnx", "sklearn", "pydantic", "numpy")


def test_help_imports_nothing_heavy() -> None:
    script = f"""
import sys
from ann.cli import main
try:
    main(["--help"])
except SystemExit:
    pass
print([name for name in {HEAVY} if name in sys.modules], file=sys.stderr)
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stderr.strip() == "[]"
    assert "exit codes" in done.stdout


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["--version"])
    assert ended.value.code == 0
    assert capsys.readouterr().out == f"ann {ann.__version__}\n"


def test_a_folder_that_is_no_project_is_told_and_nothing_is_written(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["-C", str(tmp_path), "run"]) == 2
    assert "is not a project" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_a_model_that_is_not_there_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["-C", str(tmp_path), "predict", "rows.csv", "-o", "out.csv"]) == 2
    assert "run `ann run` first" in capsys.readouterr().err


def test_a_suite_that_may_have_been_reviewed_is_not_replaced(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = (project / "suite.json").read_bytes()
    assert main(["-C", str(project), "suite", "propose"]) == 2
    assert "--force" in capsys.readouterr().err
    assert (project / "suite.json").read_bytes() == before
    (project / "suite.json").write_text("{}")
    assert main(["-C", str(project), "suite", "propose", "--force"]) == 0
    assert (project / "suite.json").read_bytes() == before


def test_schema_is_json(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["schema"]) == 0
    assert json.loads(capsys.readouterr().out)["title"] == "Params"


def test_deploy_without_a_server_names_the_variable(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["-C", str(project), "deploy"]) == 2
    assert "PREFECT_API_URL" in capsys.readouterr().err


def test_predict_scores_the_rows_of_a_built_project(built: Path, capsys: pytest.CaptureFixture[str]) -> None:
    output = built / "scores.csv"
    assert main(["-C", str(built), "predict", str(built / "data" / "shop.csv"), "-o", str(output)]) == 0
    assert "600 rows scored" in capsys.readouterr().out
    lines = output.read_text().splitlines()
    assert lines[0] == "label,probability_no,probability_yes"
    assert len(lines) == 601


def test_a_run_with_a_wrong_override_touches_nothing(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = (project / "params.yaml").read_bytes()
    assert main(["-C", str(project), "run", "-S", "train.epochz=3"]) == 2
    assert "did you mean 'epochs'" in capsys.readouterr().err
    assert (project / "params.yaml").read_bytes() == before
    assert not (project / "build").exists()


def test_the_project_may_be_named_before_the_command_and_behind_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for arguments in (["-C", str(tmp_path), "run"], ["run", "-C", str(tmp_path)]):
        assert main(arguments) == 2
        assert f"{tmp_path} is not a project" in capsys.readouterr().err


def test_what_is_named_behind_the_command_counts(project: Path, tmp_path: Path) -> None:
    assert main(["-C", str(tmp_path / "elsewhere"), "data", "schema", "-C", str(project)]) == 0


def test_columns_are_shown_and_nothing_is_written(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = (project / "params.yaml").read_bytes()
    assert main(["-C", str(project), "data", "schema"]) == 0
    out = capsys.readouterr().out
    lines = {line.split()[0]: line.split() for line in out.splitlines() if line.startswith(("age", "town", "bought"))}
    assert lines["age"][1:3] == ["feature", "number"]
    assert lines["town"][1:3] == ["slice", "category"]
    assert lines["town"][-1] == "***"
    assert lines["bought"][1] == "target"
    assert "north" not in out
    assert "binary: no, yes" in out
    assert (project / "params.yaml").read_bytes() == before


def test_columns_are_written_where_they_can_be_corrected(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = project / "params.yaml"
    path.write_text(path.read_text().replace("  columns:", "  # what we know better\n  columns:"))
    assert main(["data", "schema", "--write", "-C", str(project)]) == 0
    assert f"written to {path}" in capsys.readouterr().out
    text = path.read_text()
    assert "  # what we know better\n  columns:\n" in text
    assert "    town: {role: slice, sensitive: true, type: category}\n" in text
    assert "    member: {role: feature, type: category}\n" in text
    assert "bought: {" not in text
    assert main(["data", "schema", "--write", "-C", str(project)]) == 0
    assert path.read_text() == text


def test_columns_of_data_that_is_not_there_are_told(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shutil.rmtree(project / "data")
    assert main(["-C", str(project), "data", "schema"]) == 2
    assert "run `dvc pull data.dvc`" in capsys.readouterr().err
