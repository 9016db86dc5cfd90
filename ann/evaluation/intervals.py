"""Bootstrap confidence intervals: Efron & Tibshirani, An Introduction to the Bootstrap, 1993, percentile method.

Rows are drawn with replacement within each class (stratified), so that a resample has the class shares of the data.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from ann.evaluation.metrics import METRICS, gain_sign, score
from ann.seeding import generator

CELLS_AT_ONCE = 1_000_000
"""Bound on B x N weights held in memory at once (8 MB)."""


@dataclass(frozen=True)
class Interval:
    """A value and the bounds between which it lies with the stated confidence."""

    value: float
    low: float
    high: float

    def to_json(self) -> dict[str, float]:
        """Return the three numbers by name, rounded."""
        return {"value": rounded(self.value), "low": rounded(self.low), "high": rounded(self.high)}

    def negated(self) -> "Interval":
        """Return the interval of the negative."""
        return Interval(0.0 - self.value, 0.0 - self.high, 0.0 - self.low)


def rounded(value: float) -> float:
    """Return ten significant digits: matrix products differ in the sixteenth from one process to the next."""
    return float(f"{value:.10g}")


def metric_intervals(
    names: list[str], probabilities: np.ndarray, target: np.ndarray, *, resamples: int, confidence: float, seed: int
) -> dict[str, Interval]:
    """Return each metric of (N, K) probabilities with its interval; all metrics see the same resamples."""
    draws: dict[str, list[np.ndarray]] = {name: [] for name in names}
    for weights in resample_weights(target, resamples, seed):
        for name in names:
            draws[name].append(METRICS[name](probabilities, target, weights))
    values = {name: score(name, probabilities, target) for name in names}
    return {name: Interval(values[name], *bounds(np.concatenate(draws[name]), confidence)) for name in names}


def paired_gain(
    name: str,
    ours: np.ndarray,
    theirs: np.ndarray,
    target: np.ndarray,
    *,
    resamples: int,
    confidence: float,
    seed: int,
) -> Interval:
    """Return by how much `ours` is better than `theirs` in one metric, both (N, K) on the same rows and resamples.

    Positive is better, whichever way the metric points.
    """
    metric, sign = METRICS[name], gain_sign(name)
    draws = [
        sign * (metric(ours, target, weights) - metric(theirs, target, weights))
        for weights in resample_weights(target, resamples, seed)
    ]
    value = sign * (score(name, ours, target) - score(name, theirs, target))
    return Interval(value, *bounds(np.concatenate(draws), confidence))


def bounds(draws: np.ndarray, confidence: float) -> tuple[float, float]:
    """Return the percentile bounds of (B,) draws."""
    tail = (1 - confidence) / 2
    low, high = np.quantile(draws, [tail, 1 - tail])
    return float(low), float(high)


def resample_weights(target: np.ndarray, resamples: int, seed: int) -> Iterator[np.ndarray]:
    """Yield (b, N) float64 counts, `resamples` rows in all: how often each row was drawn."""
    random = generator(seed, "bootstrap")
    strata = [np.flatnonzero(target == label) for label in np.unique(target)]
    at_once = max(1, CELLS_AT_ONCE // len(target))
    for start in range(0, resamples, at_once):
        count = min(at_once, resamples - start)
        weights = np.empty((count, len(target)))
        for rows in strata:
            drawn = random.integers(len(rows), size=(count, len(rows)))
            flat = (drawn + np.arange(count)[:, None] * len(rows)).ravel()
            weights[:, rows] = np.bincount(flat, minlength=count * len(rows)).reshape(count, len(rows))
        yield weights
