"""Metrics of label probabilities, computed for many weightings of the same rows at once.

Every metric takes probabilities (N, L), truth (N, L) of 0 and 1, and weights (B, N), how often each row counts, and
returns (B,), as those of `ann.evaluation.metrics` do. A label is predicted where its probability is above 0.5.
"""

import numpy as np

from ann.evaluation.metrics import SMALLEST, Metric, auc, average_precision

THRESHOLD = 0.5
LOWER_IS_BETTER = frozenset({"brier", "hamming", "log_loss"})


def ap_macro(probabilities: np.ndarray, truth: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Mean over labels of the average precision; see `_macro` for labels that all rows or none have."""
    return _macro(average_precision, probabilities, truth, weights)


def auc_macro(probabilities: np.ndarray, truth: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Mean over labels of the area under the ROC curve; see `_macro` for labels that all rows or none have."""
    return _macro(auc, probabilities, truth, weights)


def f1_micro(probabilities: np.ndarray, truth: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """F1 of all (row, label) pairs taken together; 0 without any true or predicted label."""
    hits, either = _f1_parts(probabilities, truth, weights)
    return _share(hits.sum(axis=1), either.sum(axis=1))


def f1_macro(probabilities: np.ndarray, truth: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Mean over labels of F1; a label that is neither true nor predicted counts 0."""
    return _share(*_f1_parts(probabilities, truth, weights)).mean(axis=1)


def subset_accuracy(probabilities: np.ndarray, truth: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Share of rows whose labels are all right."""
    return _mean(weights, (_predicted(probabilities) == (truth == 1)).all(axis=1, keepdims=True))


def hamming(probabilities: np.ndarray, truth: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Share of wrong labels."""
    return _mean(weights, _predicted(probabilities) != (truth == 1))


def log_loss(probabilities: np.ndarray, truth: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Mean over labels of -log(probability of what is true) in nats."""
    true = np.where(truth == 1, probabilities, 1 - probabilities)
    return _mean(weights, -np.log(np.clip(true, SMALLEST, 1)))


def brier(probabilities: np.ndarray, truth: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Mean over labels of the squared error of the probability."""
    return _mean(weights, (probabilities - truth) ** 2)


def _macro(metric: Metric, probabilities: np.ndarray, truth: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Return the mean of a ranking metric over the labels that some of the weighted rows have and some have not.

    A rare label is absent from many resamples; a value there, of nothing to rank, would shift the interval.
    Where every label is like that, the mean is over all, an AUC being 0.5 and an average precision 1 if all rows have
    the label, else 0.
    """
    values = np.stack(
        [
            metric(np.column_stack([1 - probabilities[:, k], probabilities[:, k]]), truth[:, k] == 1, weights)
            for k in range(truth.shape[1])
        ],
        axis=1,
    )
    ranked = (weights @ (truth == 1) > 0) & (weights @ (truth != 1) > 0)
    ranked |= ~ranked.any(axis=1, keepdims=True)
    return values.mean(axis=1, where=ranked)


def _f1_parts(probabilities: np.ndarray, truth: np.ndarray, weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return twice the (B, L) hits, and the true and the predicted added up."""
    predicted, true = _predicted(probabilities), truth == 1
    return 2.0 * (weights @ (predicted & true)), weights @ (predicted.astype(float) + true)


def _share(part: np.ndarray, whole: np.ndarray) -> np.ndarray:
    return np.divide(part, whole, out=np.zeros_like(part), where=whole > 0)


def _predicted(probabilities: np.ndarray) -> np.ndarray:
    return probabilities > THRESHOLD


def _mean(weights: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Return the (B,) means of (N, L) values."""
    return weights @ values.mean(axis=1) / weights.sum(axis=1)


LABEL_METRICS: dict[str, Metric] = {
    "ap_macro": ap_macro,
    "auc_macro": auc_macro,
    "f1_micro": f1_micro,
    "f1_macro": f1_macro,
    "subset_accuracy": subset_accuracy,
    "hamming": hamming,
    "log_loss": log_loss,
    "brier": brier,
}
"""The most important first."""
