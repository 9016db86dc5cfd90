"""Metrics by group: the same network on the rows of one value of a column."""

import numpy as np

from ann.data.target import Target
from ann.evaluation.intervals import metric_intervals

MIN_ROWS = 50
"""Smaller groups are listed without metrics: their intervals would say nothing."""


def slice_metrics(
    target: Target,
    column: str,
    values: np.ndarray,
    names: list[str],
    answers: np.ndarray,
    truth: np.ndarray,
    *,
    resamples: int,
    confidence: float,
    seed: int,
) -> list[dict[str, object]]:
    """Return one entry a value of `values` (N,) text: column, value, rows, and metrics with intervals."""
    entries: list[dict[str, object]] = []
    for value in np.unique(values):
        rows = values == value
        entry: dict[str, object] = {"column": column, "value": str(value), "rows": int(rows.sum())}
        if rows.sum() >= MIN_ROWS and (not target.has_classes or len(np.unique(truth[rows])) == len(target.classes)):
            intervals = metric_intervals(
                target, names, answers[rows], truth[rows], resamples=resamples, confidence=confidence, seed=seed
            )
            entry["metrics"] = {name: interval.to_json() for name, interval in intervals.items()}
        entries.append(entry)
    return entries
