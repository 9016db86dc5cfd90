"""Metrics of class probabilities, computed for many weightings of the same rows at once.

Every metric takes probabilities (N, K), target (N,) int64 and weights (B, N), how often each row counts, and returns
(B,). One row of ones gives the plain metric; rows of counts give bootstrap resamples (see `bootstrap`).
With two classes, class 1 is the positive one.
"""

from collections.abc import Callable

import numpy as np

Metric = Callable[[np.ndarray, np.ndarray, np.ndarray], np.ndarray]
ECE_BINS = 15
SMALLEST = 1e-15
"""Probabilities are clipped to this before the logarithm."""


def accuracy(probabilities: np.ndarray, target: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Share of rows whose most probable class is right."""
    return _mean(weights, probabilities.argmax(axis=1) == target)


def top5(probabilities: np.ndarray, target: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Share of rows whose class is among the five most probable; equal ones share the places that are left."""
    own = probabilities[np.arange(len(target)), target][:, None]
    above, equal = (probabilities > own).sum(axis=1), (probabilities == own).sum(axis=1)
    return _mean(weights, np.clip((5 - above) / equal, 0, 1))


def f1(probabilities: np.ndarray, target: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """F1 of the positive class; with more than two classes the unweighted mean over classes (macro)."""
    label = probabilities.argmax(axis=1)
    classes = [1] if probabilities.shape[1] == 2 else range(probabilities.shape[1])
    values = []
    for k in classes:
        hit = weights @ ((label == k) & (target == k)).astype(float)
        either = weights @ ((label == k).astype(float) + (target == k))
        values.append(np.divide(2 * hit, either, out=np.zeros_like(hit), where=either > 0))
    return np.mean(values, axis=0)


def auc(probabilities: np.ndarray, target: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Area under the ROC curve, ties counted half; with more than two classes the mean of one-against-rest."""
    classes = [1] if probabilities.shape[1] == 2 else range(probabilities.shape[1])
    return np.mean([_auc_of(probabilities[:, k], target == k, weights) for k in classes], axis=0)


def average_precision(probabilities: np.ndarray, target: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Average precision of the positive class: sum of (R_n - R_{n-1}) P_n over thresholds."""
    positive, negative = _by_score(-probabilities[:, 1], target == 1, weights)
    hits, alarms = positive.cumsum(axis=1), (positive + negative).cumsum(axis=1)
    precision = np.divide(hits, alarms, out=np.zeros_like(hits), where=alarms > 0)
    return (positive * precision).sum(axis=1) / _at_least_one(hits[:, -1])


def log_loss(probabilities: np.ndarray, target: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Mean of -log(probability of the true class) in nats."""
    true = probabilities[np.arange(len(target)), target]
    return _mean(weights, -np.log(np.clip(true, SMALLEST, 1)))


def brier(probabilities: np.ndarray, target: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Brier score: squared error of the positive class's probability; with more classes summed over classes."""
    if probabilities.shape[1] == 2:
        return _mean(weights, (probabilities[:, 1] - target) ** 2)
    truth = np.eye(probabilities.shape[1])[target]
    return _mean(weights, ((probabilities - truth) ** 2).sum(axis=1))


def ece(probabilities: np.ndarray, target: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Expected calibration error of the likeliest class, 15 equal-width bins (Guo et al. 2017, arXiv:1706.04599)."""
    confidence = probabilities.max(axis=1)
    gap = (probabilities.argmax(axis=1) == target) - confidence
    bins = np.minimum((confidence * ECE_BINS).astype(int), ECE_BINS - 1)
    per_bin = np.zeros((len(target), ECE_BINS))
    per_bin[np.arange(len(target)), bins] = gap
    return np.abs(weights @ per_bin).sum(axis=1) / weights.sum(axis=1)


def _mean(weights: np.ndarray, values: np.ndarray) -> np.ndarray:
    return weights @ values.astype(float) / weights.sum(axis=1)


def _auc_of(scores: np.ndarray, positive: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Mann-Whitney's U over the product of the class weights."""
    hits, misses = _by_score(scores, positive, weights)
    below = misses.cumsum(axis=1) - misses / 2
    pairs = hits.sum(axis=1) * misses.sum(axis=1)
    return np.divide((hits * below).sum(axis=1), pairs, out=np.full(len(pairs), 0.5), where=pairs > 0)


def _by_score(scores: np.ndarray, positive: np.ndarray, weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the (B, U) weights of positives and of negatives at each distinct score, ascending."""
    order = np.argsort(scores, kind="stable")
    starts = np.flatnonzero(np.r_[True, np.diff(scores[order]) > 0])
    ordered = weights[:, order]
    hits = np.add.reduceat(ordered * positive[order], starts, axis=1)
    return hits, np.add.reduceat(ordered, starts, axis=1) - hits


def _at_least_one(values: np.ndarray) -> np.ndarray:
    return np.maximum(values, 1)


METRICS: dict[str, Metric] = {
    "accuracy": accuracy,
    "ap": average_precision,
    "auc": auc,
    "brier": brier,
    "ece": ece,
    "f1": f1,
    "log_loss": log_loss,
    "top5": top5,
}
LOWER_IS_BETTER = frozenset({"brier", "ece", "log_loss"})
