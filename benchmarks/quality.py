"""Test quality of the pipeline as it stands, beside references on the same rows: `python -m benchmarks.quality`.

Settings come from params.yaml and were chosen on validation rows; test rows are only scored.
"""

import argparse
import json
from pathlib import Path

import numpy as np
import pandas as pd
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.metrics import roc_auc_score

from ann.artifacts import load_arrays, load_json
from ann.data.sources import read_table
from ann.project import Project
from benchmarks.clone import clone, run
from benchmarks.rows import Row, commit, machine, save, today

SEEDS = [1, 2, 3]


def adult_demo(seeds: list[int]) -> None:
    """Adult through the whole pipeline: the seed moves split, weights, order and dropout together."""
    found: dict[str, list[float]] = {"shipped file": [], "torch network": [], "gradient boosting": []}
    with clone() as root:
        for seed in seeds:
            run(root, "ann", "run", "-S", f"seed={seed}")
            project = Project.at(root)
            found["shipped file"].append(load_json(project.build.model_metrics)["test"]["auc"]["value"])
            found["torch network"].append(load_json(project.build.metrics)["test"]["auc"]["value"])
            found["gradient boosting"].append(_boosting(project))
            print(json.dumps({name: values[-1] for name, values in found.items()}))
    for name, values in found.items():
        save("quality", _mean_row(name, values, seeds))


def _mean_row(name: str, values: list[float], seeds: list[int]) -> Row:
    reference = name == "gradient boosting"
    mean = float(np.mean(values))
    return Row(
        row=f"adult-demo, {name}",
        value=mean,
        low=min(values),
        high=max(values),
        unit="test AUC, mean",
        bar="" if reference else ">= 0.912",
        met=None if reference else mean >= 0.912,
        seeds=seeds,
        note="scikit-learn defaults, same columns and rows"
        if reference
        else "params.yaml as committed; 20 % test rows",
        machine=machine(),
        commit=commit(),
        date=today(),
    )


def _boosting(project: Project) -> float:
    """Return the test AUC of gradient boosting on the same columns and rows."""
    params = project.params()
    table = read_table(params.data, project)
    schema = load_json(project.build.schema)
    names = [feature["name"] for feature in schema["features"]]
    columns = table[names].apply(
        lambda column: column if pd.api.types.is_numeric_dtype(column) else column.astype("category")
    )
    parts = {part: load_arrays(Path(project.build.folder("prepare")) / part) for part in ("train", "valid", "test")}
    rows = np.concatenate([parts["train"]["rows"], parts["valid"]["rows"]])
    target = np.concatenate([parts["train"]["target"], parts["valid"]["target"]])
    model = HistGradientBoostingClassifier(categorical_features="from_dtype", random_state=params.seed)
    model.fit(columns.iloc[rows], target)
    scores = model.predict_proba(columns.iloc[parts["test"]["rows"]])[:, 1]
    return float(roc_auc_score(parts["test"]["target"], scores))


ROWS = {"adult-demo": adult_demo}

if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", choices=ROWS, help="measure this row alone")
    parser.add_argument("--quick", action="store_true", help="one seed")
    arguments = parser.parse_args()
    for name in [arguments.only] if arguments.only else ROWS:
        ROWS[name](SEEDS[:1] if arguments.quick else SEEDS)
