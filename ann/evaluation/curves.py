"""The points of ROC, precision-recall and calibration curves, as tables for pictures and DVC plots."""

import numpy as np
import pandas as pd

CURVE_POINTS = 200
CALIBRATION_BINS = 15


def roc_points(probabilities: np.ndarray, target: np.ndarray) -> pd.DataFrame:
    """Return columns class, fpr, tpr: class 1 alone with two classes, else each class against the rest."""
    rows = []
    for k in _classes(probabilities):
        hits, alarms = _counts(probabilities[:, k], target == k)
        fpr, tpr = np.r_[0.0, _share(alarms)], np.r_[0.0, _share(hits)]
        rows.append(_thinned(pd.DataFrame({"class": k, "fpr": fpr, "tpr": tpr})))
    return pd.concat(rows, ignore_index=True)


def precision_recall_points(probabilities: np.ndarray, target: np.ndarray) -> pd.DataFrame:
    """Return columns class, recall, precision, as in `roc_points`; it starts at recall 0 with precision 1."""
    rows = []
    for k in _classes(probabilities):
        hits, alarms = _counts(probabilities[:, k], target == k)
        recall, precision = np.r_[0.0, _share(hits)], np.r_[1.0, hits / (hits + alarms)]
        rows.append(_thinned(pd.DataFrame({"class": k, "recall": recall, "precision": precision})))
    return pd.concat(rows, ignore_index=True)


def calibration_points(probabilities: np.ndarray, target: np.ndarray) -> pd.DataFrame:
    """Return columns predicted, observed, rows per bin: of class 1 with two classes, else of the likeliest class."""
    if probabilities.shape[1] == 2:
        predicted, observed = probabilities[:, 1], target == 1
    else:
        predicted, observed = probabilities.max(axis=1), probabilities.argmax(axis=1) == target
    bins = np.minimum((predicted * CALIBRATION_BINS).astype(int), CALIBRATION_BINS - 1)
    table = pd.DataFrame({"bin": bins, "predicted": predicted, "observed": observed})
    grouped = table.groupby("bin")
    return grouped.mean().assign(rows=grouped.size()).reset_index(drop=True)


def confusion(probabilities: np.ndarray, target: np.ndarray) -> np.ndarray:
    """Return (K, K) counts: rows are true classes, columns predicted ones."""
    classes = probabilities.shape[1]
    return np.bincount(target * classes + probabilities.argmax(axis=1), minlength=classes**2).reshape(classes, classes)


def _counts(scores: np.ndarray, positive: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return how many positives and negatives score at least each distinct score, from the highest on."""
    order = np.argsort(-scores, kind="stable")
    last = np.flatnonzero(np.r_[np.diff(scores[order]) != 0, True])
    hits = np.cumsum(positive[order])[last]
    return hits, last + 1 - hits


def _share(counts: np.ndarray) -> np.ndarray:
    return counts / max(1, counts[-1])


def _classes(probabilities: np.ndarray) -> list[int]:
    return [1] if probabilities.shape[1] == 2 else list(range(probabilities.shape[1]))


def _thinned(points: pd.DataFrame) -> pd.DataFrame:
    """Keep at most CURVE_POINTS rows, both ends among them."""
    keep = np.unique(np.linspace(0, len(points) - 1, CURVE_POINTS).round().astype(int))
    return points.iloc[keep]
