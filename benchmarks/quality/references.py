"""scikit-learn's gradient boosting on the columns and rows of a prepared project."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor

from ann.artifacts import load_arrays, load_json
from ann.data.schema import Schema
from ann.data.sources import read_table
from ann.project import Project

TUNED: dict[str, Any] = {"max_iter": 2000, "learning_rate": 0.05, "early_stopping": True, "n_iter_no_change": 50}
GRID = [{"max_leaf_nodes": leaves, "max_features": share} for leaves in (15, 31, 63, 127) for share in (0.5, 1.0)]
"""Beside TUNED; the best of these on validation rows is what is compared with."""


@dataclass(frozen=True, eq=False)
class Part:
    """Rows as gradient boosting reads them: columns, categories among them, and the truth (N,)."""

    columns: pd.DataFrame
    truth: np.ndarray


def parts_of(project: Project) -> dict[str, Part]:
    """Return train, valid and test as `prepare` split them, columns as they stand in the file."""
    schema = Schema.from_json(load_json(project.build.schema))
    table = read_table(project.params().data, project)
    columns = pd.DataFrame(
        {
            feature.name: table[feature.name].astype("category" if feature.type == "category" else np.float64)
            for feature in schema.features
        }
    )
    parts = {}
    for name in ("train", "valid", "test"):
        arrays = load_arrays(project.build.folder("prepare") / name)
        truth = schema.target.truth(arrays["target"])
        parts[name] = Part(columns.iloc[arrays["rows"]], truth if truth.ndim == 1 else truth[:, 0])
    return parts


def default_classifier(project: Project) -> tuple[np.ndarray, np.ndarray]:
    """Return probabilities (N, K) and truth (N,) of the test rows; it stops early by a tenth of the others."""
    parts = parts_of(project)
    model = HistGradientBoostingClassifier(categorical_features="from_dtype", random_state=project.params().seed)
    model.fit(*_both(parts))
    return model.predict_proba(parts["test"].columns), parts["test"].truth


def default_regressor(project: Project) -> tuple[np.ndarray, np.ndarray]:
    """Return answers (N,) and truth (N,) of the test rows; it stops early by a tenth of the others."""
    parts = parts_of(project)
    model = HistGradientBoostingRegressor(categorical_features="from_dtype", random_state=project.params().seed)
    model.fit(*_both(parts))
    return model.predict(parts["test"].columns), parts["test"].truth


def tuned_regressor(project: Project) -> tuple[np.ndarray, np.ndarray]:
    """Return answers (N,) and truth (N,) of the test rows from the setting of GRID that is best on validation rows.

    Each stops early by the validation rows, as our networks do.
    """
    parts = parts_of(project)
    train, valid, test = parts["train"], parts["valid"], parts["test"]
    tried: list[tuple[float, int, HistGradientBoostingRegressor]] = []
    for setting in GRID:
        model = HistGradientBoostingRegressor(
            **TUNED, **setting, categorical_features="from_dtype", random_state=project.params().seed
        )
        model.fit(train.columns, train.truth, X_val=valid.columns, y_val=valid.truth)
        tried.append((rmse(model.predict(valid.columns), valid.truth), len(tried), model))
    return min(tried)[2].predict(test.columns), test.truth


def rmse(answers: np.ndarray, truth: np.ndarray) -> float:
    """Return the root of the mean squared error."""
    return float(np.sqrt(np.mean((answers - truth) ** 2)))


def _both(parts: dict[str, Part]) -> tuple[pd.DataFrame, np.ndarray]:
    both = parts["train"], parts["valid"]
    return pd.concat([part.columns for part in both]), np.concatenate([part.truth for part in both])
