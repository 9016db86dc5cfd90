"""Which metrics a task has, and one of them for given answers."""

import numpy as np

from ann.data.target import Target
from ann.errors import ConfigError, did_you_mean
from ann.evaluation import labels, metrics, numbers
from ann.evaluation.metrics import Metric

BINARY = ("auc", "ap", "accuracy", "f1", "log_loss", "brier", "ece")
MULTICLASS = ("accuracy", "f1", "auc", "log_loss", "brier", "ece")
MANY_CLASSES = 10
"""More classes than this have top5, too."""


def metrics_of(target: Target) -> dict[str, Metric]:
    """Return the metrics of a task by name, the most important first."""
    if target.task == "multilabel":
        return labels.LABEL_METRICS
    if target.has_numbers:
        naive = np.tile(target.naive, target.horizon) if target.naive else None
        return numbers.number_metrics(quantiles=target.quantiles, naive=naive)
    names = BINARY if target.task == "binary" else MULTICLASS
    many = ("top5",) if len(target.classes) > MANY_CLASSES else ()
    return {name: metrics.METRICS[name] for name in (*names, *many)}


def primary_metric(target: Target, wanted: str | None = None) -> str:
    """Return `wanted` if it exists, else the default of the task.

    Raises:
        ConfigError: there is no such metric for this task.
    """
    names = list(metrics_of(target))
    if wanted is not None and wanted not in names:
        raise ConfigError(f"metric {wanted!r} does not exist for a {target.task} task{did_you_mean(wanted, names)}")
    return wanted or names[0]


def score(target: Target, name: str, answers: np.ndarray, truth: np.ndarray) -> float:
    """Return one plain metric."""
    return float(metrics_of(target)[name](answers, truth, np.ones((1, len(truth))))[0])


def gain_sign(name: str) -> int:
    """Return 1 where more is better, -1 where less is."""
    return -1 if name in LOWER_IS_BETTER else 1


LOWER_IS_BETTER = metrics.LOWER_IS_BETTER | labels.LOWER_IS_BETTER | numbers.LOWER_IS_BETTER
