"""The built wheel, outside the checkout: bare it scores a file, and holds what a project starts from."""

import subprocess
import sys
import venv
import zipfile
from pathlib import Path

import pytest

pytestmark = [pytest.mark.slow, pytest.mark.e2e]
REPOSITORY = Path(__file__).resolve().parent.parent.parent


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    build = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", folder, REPOSITORY]
    subprocess.run(build, check=True, capture_output=True)
    [path] = folder.glob("*.whl")
    return path


def test_the_wheel_holds_the_template_and_no_top_level_flows(wheel: Path) -> None:
    names = zipfile.ZipFile(wheel).namelist()
    assert {"ann/template/dvc.yaml", "ann/template/flows/pipeline.py", "ann/py.typed"} <= set(names)
    assert {name.split("/")[0] for name in names if ".dist-info" not in name} == {"ann"}


def test_a_bare_install_scores_a_file_with_numpy_and_onnxruntime_alone(
    wheel: Path, built: Path, tmp_path: Path, command
) -> None:
    venv.create(tmp_path / "bare", with_pip=True)
    python = tmp_path / "bare" / "bin" / "python"
    install = [python, "-m", "pip", "install", "-q", "-c", REPOSITORY / "constraints.txt", wheel]
    installed = command(*install, cwd=tmp_path, timeout=600)
    assert installed.returncode == 0, installed.stderr
    output = tmp_path / "scores.csv"
    model, rows = built / "build" / "export" / "model.onnx", built / "data" / "shop.csv"
    score = [python.with_name("ann"), "predict", rows, "-o", output, "--model", model]
    done = command(*score, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert len(output.read_text().splitlines()) == 601
    listed = command(python, "-m", "pip", "list", "--format", "freeze", cwd=tmp_path).stdout.lower()
    assert "torch" not in listed
    assert "pandas" not in listed
    needs_more = command(python.with_name("ann"), "-C", built, "run", cwd=tmp_path)
    assert needs_more.returncode == 2
    assert "pip install 'ann-pipeline[pipeline]'" in needs_more.stderr
    assert "Traceback" not in needs_more.stderr
