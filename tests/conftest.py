"""Small real things that many tests share."""

import os
import shutil
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from ann.environment import prepare_environment
from ann.pipeline import Pipeline
from ann.project import Project
from ann.template import FOLDER, dvc_yaml

REPOSITORY = Path(__file__).resolve().parent.parent

PARAMS = """\
ann: 0.1.0
seed: 1
data:
  target: bought
  positive: "yes"
  missing: ["?"]
  columns:
    town: {role: slice, sensitive: true}
validate: {}
prepare: {}
model: {family: mlp, hidden: [256, 128], dropout: 0.0}
train: {epochs: 6, batch_size: 64, optimizer: {lr: 0.01}}
evaluate: {resamples: 100}
compress:
  max_drop: 0.1
  batches: [256]
  objective: bytes
  rounds: 15
  recipes:
    - {name: int8-static, steps: [{step: quantize, mode: static, calibration_rows: 64}]}
    - {name: pruned, steps: [{step: prune, ratio: 0.5, epochs: 1}]}
export: {}
register: {name: shop}
schedule: {}
"""


def shop_table(rows: int = 600, seed: int = 0) -> pd.DataFrame:
    """Return customers: two numbers, two categories, a slice, and whether they bought, which the first three decide."""
    random = np.random.default_rng(seed)
    age = random.integers(18, 80, rows)
    income = random.normal(40_000, 10_000, rows).round(2)
    colour = random.choice(["red", "green", "blue"], rows)
    town = random.choice(["north", "south"], rows)
    score = (age - 49) / 20 + (income - 40_000) / 10_000 + (colour == "red") + random.normal(0, 0.3, rows)
    table = pd.DataFrame({"age": age, "income": income, "colour": colour, "town": town})
    table["member"] = np.where(random.random(rows) < 0.1, "?", random.choice(["y", "n"], rows))
    table.loc[random.random(rows) < 0.05, "income"] = np.nan
    table["bought"] = np.where(score > 0.3, "yes", "no")
    return table


@pytest.fixture(scope="session", autouse=True)
def _environment(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Give the libraries homes of their own, and let nothing of the user's decide a test."""
    for name in ("MLFLOW_TRACKING_URI", "PREFECT_API_URL", "ANN_HOME"):
        os.environ.pop(name, None)
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # in a shell's background; children would inherit it
        signal.signal(signal.SIGINT, signal.default_int_handler)
    prepare_environment(tmp_path_factory.mktemp("home"))
    torch.set_num_threads(1)


@pytest.fixture
def table() -> pd.DataFrame:
    return shop_table()


@pytest.fixture
def params_file(tmp_path: Path) -> Path:
    """A valid params.yaml in a folder of its own."""
    path = tmp_path / "params.yaml"
    path.write_text(PARAMS, encoding="utf-8")
    return path


def run(*command: str | Path, cwd: Path, timeout: int = 240, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run a command as a user would, with the test's interpreter first on PATH."""
    env = {**os.environ, **environment}
    env["PATH"] = os.pathsep.join([str(Path(sys.executable).parent), env["PATH"]])
    return subprocess.run([*command], cwd=cwd, env=env, capture_output=True, text=True, check=False, timeout=timeout)


def make_project(root: Path, table: pd.DataFrame | None = None) -> Path:
    """Write a small project: git and DVC initialised, data tracked, a suite proposed, all committed."""
    (root / "data").mkdir(parents=True)
    (shop_table() if table is None else table).to_csv(root / "data" / "shop.csv", index=False)
    (root / "params.yaml").write_text(PARAMS, encoding="utf-8")
    (root / "dvc.yaml").write_text(dvc_yaml(None), encoding="utf-8")
    (root / ".gitignore").write_text(".ann/\nbuild/\n", encoding="utf-8")
    (root / ".dvcignore").write_text(".ann/\n", encoding="utf-8")
    shutil.copytree(FOLDER / "flows", root / "flows", ignore=shutil.ignore_patterns("__pycache__"))
    steps = (
        ["git", "init", "-q", "."],
        ["git", "config", "user.email", "test@example.org"],
        ["git", "config", "user.name", "test"],
        ["dvc", "init", "-q"],
        ["dvc", "add", "-q", "data"],
        ["ann", "suite", "propose"],
        ["git", "add", "-A"],
        ["git", "commit", "-q", "-m", "Start"],
    )
    for step in steps:
        done = run(*step, cwd=root)
        assert done.returncode == 0, (step, done.stdout, done.stderr)
    return root


@pytest.fixture(scope="session")
def project_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project that nothing was run in; copy it, never change it."""
    return make_project(tmp_path_factory.mktemp("template") / "project")


@pytest.fixture(scope="session")
def built_template(project_template: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same after every stage ran in this process; copy it, never change it."""
    root = tmp_path_factory.mktemp("built") / "project"
    shutil.copytree(project_template, root, symlinks=True)
    pipeline = Pipeline(Project.at(root))
    for name in pipeline.stages():
        pipeline.run(name)
    return root


@pytest.fixture
def project(project_template: Path, tmp_path: Path) -> Path:
    """A project of the test's own that nothing was run in."""
    return Path(shutil.copytree(project_template, tmp_path / "project", symlinks=True))


@pytest.fixture
def built(built_template: Path, tmp_path: Path) -> Path:
    """A project of the test's own in which every stage ran; its MLflow points at its own artifacts."""
    root = Path(shutil.copytree(built_template, tmp_path / "project", symlinks=True))
    with closing(sqlite3.connect(root / ".ann" / "mlflow.db")) as store, store:
        for place in ARTIFACT_COLUMNS:
            name, column = place.split(".")
            store.execute(f"UPDATE {name} SET {column} = replace({column}, ?, ?)", (str(built_template), str(root)))
    return root


ARTIFACT_COLUMNS = (
    "experiments.artifact_location",
    "runs.artifact_uri",
    "logged_models.artifact_location",
    "model_versions.storage_location",
)


@pytest.fixture
def command() -> Callable[..., subprocess.CompletedProcess[str]]:
    """Run a command as a user would: `command("ann", "run", cwd=project)`."""
    return run
