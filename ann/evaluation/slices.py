"""Metrics by group: the same network on the rows of one value of a column."""

import numpy as np

from ann.evaluation.intervals import metric_intervals

MIN_ROWS = 50
"""Smaller groups are listed without metrics: their intervals would say nothing."""


def slice_metrics(
    column: str,
    values: np.ndarray,
    names: list[str],
    probabilities: np.ndarray,
    target: np.ndarray,
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
        if rows.sum() >= MIN_ROWS and len(np.unique(target[rows])) == probabilities.shape[1]:
            intervals = metric_intervals(
                names, probabilities[rows], target[rows], resamples=resamples, confidence=confidence, seed=seed
            )
            entry["metrics"] = {name: interval.to_json() for name, interval in intervals.items()}
        entries.append(entry)
    return entries
