"""Champion and challenger of different kinds: what cannot be compared is a failed rule, in words, and no crash."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from ann.config.data import DataParams
from ann.config.model import read_model
from ann.config.stages import PrepareParams
from ann.data.examples import Examples
from ann.data.preparation import fit_statistics
from ann.data.schema import infer_schema
from ann.data.task import target_values
from ann.errors import AnnError
from ann.evaluation.scoring import primary_metric, score
from ann.predict import Model
from ann.project import Project
from ann.stages import register
from ann.tracking.projection import run_for_build
from ann.tracking.registry import CHAMPION, register_file, set_alias
from tests.conftest import shop_table
from tests.export.test_join import SMALL, Shipped, ship

LINEAR = read_model({"family": "forecast"})
ROWS = np.arange(8)
CONVOLUTION = read_model({"family": "cnn", "stages": [4]})


def people(rows: int = 60) -> pd.DataFrame:
    random = np.random.default_rng(0)
    table = pd.DataFrame({"age": random.integers(18, 80, rows), "weight": random.normal(70, 9, rows)})
    table["height"] = random.normal(170, 9, rows)
    table["rank"] = random.choice(["low", "mid", "high"], rows)
    return table


def waves(rows: int = 60) -> pd.DataFrame:
    return pd.DataFrame({"load": np.sin(np.arange(rows)), "heat": np.cos(np.arange(rows))})


def pictures(channels: int, rows: int = 8) -> pd.DataFrame:
    random = np.random.default_rng(0)
    shape = (8, 8) if channels == 1 else (8, 8, 3)
    cells = pd.Series([random.integers(0, 255, shape, dtype=np.uint8) for _ in range(rows)], dtype=object)
    return pd.DataFrame({"image": cells, "animal": ["cat", "dog"] * (rows // 2)})


def shipped(path: Path, table: pd.DataFrame, **data: object) -> Shipped:
    model = {"image": CONVOLUTION, "load": LINEAR}.get(str(table.columns[0]), SMALL)
    return ship(table, DataParams(**data), path, model=model)


def asked(table: pd.DataFrame, **fields: object) -> Examples:
    """Return what the gate knows of the data: rows, columns, and how media are read."""
    data = DataParams(**fields)
    schema = infer_schema(table, data)
    schema = schema.with_target(schema.target.fitted(target_values(table, schema.target)))
    statistics = fit_statistics(Examples(table, schema), ROWS, PrepareParams())
    return Examples(table, schema, channels=statistics.channels, rate=statistics.rate)


def truth_of(examples: Examples) -> np.ndarray:
    target = examples.schema.target
    stored = target.stored(target_values(examples.table, target))
    if examples.schema.windows:
        return target.truth(stored[ROWS[:, None] + examples.schema.windows.length + np.arange(target.horizon)])
    return target.truth(stored[ROWS])


def score_of(model: Model, examples: Examples) -> float:
    """Score a file on rows of the data, as the gate does."""
    metric = primary_metric(examples.schema.target)
    return register._score(model, examples, ROWS, truth_of(examples), metric)


KINDS: dict[str, tuple[pd.DataFrame, dict[str, object], pd.DataFrame, dict[str, object], str]] = {
    "another task": (
        people(),
        {"target": "weight"},
        people(),
        {"target": "rank"},
        "it makes a regression answer, the data asks for multiclass",
    ),
    "other classes": (
        people().replace("mid", "middle"),
        {"target": "rank"},
        people(),
        {"target": "rank"},
        "it answers high, low, middle, the data holds high, low, mid",
    ),
    "another number": (
        people().drop(columns="rank"),
        {"target": "height"},
        people().drop(columns="rank"),
        {"target": "weight"},
        "it predicts height, the data holds weight",
    ),
    "other quantiles": (
        people(),
        {"target": "weight", "quantiles": [0.1, 0.5, 0.9]},
        people(),
        {"target": "weight", "quantiles": [0.2, 0.5, 0.8]},
        "it gives the quantiles 0.1, 0.5, 0.9, the data holds 0.2, 0.5, 0.8",
    ),
    "a column that is gone": (
        people().assign(shoe=43),
        {"target": "weight"},
        people(),
        {"target": "weight"},
        "column 'shoe' is missing",
    ),
    "a column of texts now": (
        people(),
        {"target": "weight"},
        people().assign(age="old"),
        {"target": "weight"},
        "column 'age' holds texts, where the file reads numbers",
    ),
    "longer windows": (
        waves(),
        {"target": "load", "windows": {"length": 12, "horizon": 2}},
        waves(),
        {"target": "load", "windows": {"length": 8, "horizon": 2}},
        "it reads rows of a series 12, the data has 8",
    ),
    "more channels": (
        waves(),
        {"target": "load", "windows": {"length": 8, "horizon": 2}},
        waves().drop(columns="heat"),
        {"target": "load", "windows": {"length": 8, "horizon": 2}},
        "column 'heat' is missing",
    ),
    "fewer channels": (
        waves().drop(columns="heat"),
        {"target": "load", "windows": {"length": 8, "horizon": 2}},
        waves(),
        {"target": "load", "windows": {"length": 8, "horizon": 2}},
        "it reads channels .*'load'.*, the data has .*'load', 'heat'",
    ),
    "a longer horizon": (
        waves(),
        {"target": "load", "windows": {"length": 8, "horizon": 3}},
        waves(),
        {"target": "load", "windows": {"length": 8, "horizon": 2}},
        "predicts 3 rows ahead, the data asks for 2",
    ),
    "images of another kind": (
        pictures(3),
        {"target": "animal"},
        pictures(1),
        {"target": "animal"},
        r"it reads images of channels \[3\], the data has \[1\]",
    ),
}


@pytest.mark.parametrize("kind", KINDS)
def test_a_champion_of_another_kind_is_not_scored_and_it_is_said_why(kind: str, tmp_path: Path) -> None:
    theirs, their_data, ours, our_data, message = KINDS[kind]
    champion = shipped(tmp_path / "champion.onnx", theirs, **their_data)
    with pytest.raises(AnnError, match=message):
        score_of(champion.model, asked(ours, **our_data))


@pytest.mark.parametrize("kind", ["another task", "other quantiles", "longer windows", "images of another kind"])
def test_a_file_of_the_same_kind_is_scored_by_its_answers(kind: str, tmp_path: Path) -> None:
    _, _, table, data, _ = KINDS[kind]
    model, examples = shipped(tmp_path / "ours.onnx", table, **data).model, asked(table, **data)
    target = examples.schema.target
    answers = target.read(model.run(examples.inputs(ROWS)))
    expected = score(target, primary_metric(target), answers, truth_of(examples))
    assert score_of(model, examples) == pytest.approx(expected)


def test_a_champion_of_another_task_is_a_failed_rule_of_the_decision(built: Path, tmp_path: Path) -> None:
    project, path = Project.at(built), tmp_path / "other.onnx"
    store, run_id = run_for_build(project, project.params())
    example = shipped(path, shop_table(60), target="age").inputs(range(2))
    registered = register_file(store, run_id, "shop", path, tags={}, description="of another task", example=example)
    set_alias(store, "shop", CHAMPION, registered.version)
    register.run(project.params(), project)
    decision = json.loads(project.build.decision.read_text())
    [rule] = decision["rules"]
    assert (rule["passed"], rule["theirs"]) == (False, None)
    assert rule["ours"] > 0.5
    assert rule["why"] == ("the champion cannot be scored: it makes a regression answer, the data asks for binary")
    assert decision["alias"] == "challenger"
    assert decision["alias_after"] == {"champion": registered.version}
