"""Small real things that many tests share."""

import os
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from ann.environment import prepare_environment

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
model: {family: mlp, hidden: [32, 16], dropout: 0.0}
train: {epochs: 6, batch_size: 64, optimizer: {lr: 0.01}}
evaluate: {resamples: 100}
compress:
  max_drop: 0.1
  rounds: 5
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
