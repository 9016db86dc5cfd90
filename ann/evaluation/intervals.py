"""Bootstrap confidence intervals: Efron & Tibshirani, An Introduction to the Bootstrap, 1993, percentile method.

Rows are drawn with replacement; where they have classes within each class (stratified), so that a resample has the
class shares of the data. Windows of a series overlap, so whole blocks of them are drawn (Kuensch 1989).
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from ann.data.target import Target
from ann.evaluation.scoring import gain_sign, metrics_of, score
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

    def scaled(self, factor: float) -> "Interval":
        """Return the interval times a positive factor."""
        return Interval(self.value * factor, self.low * factor, self.high * factor)

    def negated(self) -> "Interval":
        """Return the interval of the negative."""
        return Interval(0.0 - self.value, 0.0 - self.high, 0.0 - self.low)


def rounded(value: float) -> float:
    """Return ten significant digits: matrix products differ in the sixteenth from one process to the next."""
    return float(f"{value:.10g}")


def metric_intervals(
    target: Target,
    names: list[str],
    answers: np.ndarray,
    truth: np.ndarray,
    *,
    resamples: int,
    confidence: float,
    seed: int,
) -> dict[str, Interval]:
    """Return each metric with its interval; all metrics see the same resamples."""
    metrics = metrics_of(target)
    draws: dict[str, list[np.ndarray]] = {name: [] for name in names}
    for weights in resample_weights(target, truth, resamples, seed):
        for name in names:
            draws[name].append(metrics[name](answers, truth, weights))
    values = {name: score(target, name, answers, truth) for name in names}
    return {name: Interval(values[name], *bounds(np.concatenate(draws[name]), confidence)) for name in names}


def paired_gain(
    target: Target,
    name: str,
    ours: np.ndarray,
    theirs: np.ndarray,
    truth: np.ndarray,
    *,
    resamples: int,
    confidence: float,
    seed: int,
) -> Interval:
    """Return by how much `ours` is better than `theirs` in one metric, both on the same rows and resamples.

    Positive is better, whichever way the metric points.
    """
    metric, sign = metrics_of(target)[name], gain_sign(name)
    draws = [
        sign * (metric(ours, truth, weights) - metric(theirs, truth, weights))
        for weights in resample_weights(target, truth, resamples, seed)
    ]
    value = sign * (score(target, name, ours, truth) - score(target, name, theirs, truth))
    return Interval(value, *bounds(np.concatenate(draws), confidence))


def bounds(draws: np.ndarray, confidence: float) -> tuple[float, float]:
    """Return the percentile bounds of (B,) draws."""
    tail = (1 - confidence) / 2
    low, high = np.quantile(draws, [tail, 1 - tail])
    return float(low), float(high)


def resample_weights(target: Target, truth: np.ndarray, resamples: int, seed: int) -> Iterator[np.ndarray]:
    """Yield (b, N) float64 counts, `resamples` rows in all: how often each row was drawn."""
    random = generator(seed, "bootstrap")
    at_once = max(1, CELLS_AT_ONCE // len(truth))
    for start in range(0, resamples, at_once):
        count = min(at_once, resamples - start)
        if target.task == "forecast":
            yield _blocks(random, len(truth), min(len(truth), target.horizon), count)
        else:
            yield _strata(random, truth if target.has_classes else np.zeros(len(truth), np.int64), count)


def _strata(random: np.random.Generator, strata: np.ndarray, count: int) -> np.ndarray:
    """Return (count, N): within each stratum as many rows as it has."""
    weights = np.empty((count, len(strata)))
    for label in np.unique(strata):
        rows = np.flatnonzero(strata == label)
        drawn = random.integers(len(rows), size=(count, len(rows)))
        flat = (drawn + np.arange(count)[:, None] * len(rows)).ravel()
        weights[:, rows] = np.bincount(flat, minlength=count * len(rows)).reshape(count, len(rows))
    return weights


def _blocks(random: np.random.Generator, rows: int, length: int, count: int) -> np.ndarray:
    """Return (count, rows): blocks of `length` rows in a ring, so that every row is as likely as another."""
    starts = random.integers(rows, size=(count, -(-rows // length)))
    changes = np.zeros((count, rows + length + 1))
    np.add.at(changes, (np.arange(count)[:, None], starts), 1)
    np.add.at(changes, (np.arange(count)[:, None], starts + length), -1)
    counts = changes.cumsum(axis=1)
    weights: np.ndarray = counts[:, :rows]
    weights[:, :length] += counts[:, rows : rows + length]
    return weights
