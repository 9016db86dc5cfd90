"""The committed project through the whole pipeline, as `make demo` runs it."""

import json

import numpy as np
from sklearn.metrics import roc_auc_score

from ann.artifacts import load_json
from ann.project import Project
from benchmarks.clone import clone, run
from benchmarks.quality.references import default_classifier
from benchmarks.rows import measured, save


def adult_demo(seeds: list[int]) -> None:
    """Adult with params.yaml: the seed moves split, weights, order and dropout together."""
    found: dict[str, list[float]] = {"shipped file": [], "torch network": [], "gradient boosting": []}
    with clone() as root:
        for seed in seeds:
            run(root, "ann", "run", "-S", f"seed={seed}")
            project = Project.at(root)
            found["shipped file"].append(load_json(project.build.model_metrics)["test"]["auc"]["value"])
            found["torch network"].append(load_json(project.build.metrics)["test"]["auc"]["value"])
            probabilities, truth = default_classifier(project)
            found["gradient boosting"].append(float(roc_auc_score(truth, probabilities[:, 1])))
            print(json.dumps({name: values[-1] for name, values in found.items()}))
    for name, values in found.items():
        reference = name == "gradient boosting"
        save(
            "quality",
            measured(
                values,
                row=f"adult-demo, {name}",
                unit="test AUC, mean",
                bar="" if reference else ">= 0.912",
                met=None if reference else lambda mean: mean >= 0.912,
                seeds=seeds,
                note="scikit-learn defaults, same columns and rows"
                if reference
                else "params.yaml as committed; 20 % test rows",
                middle=np.mean,
            ),
        )
