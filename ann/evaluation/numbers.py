"""Metrics of predicted numbers, computed for many weightings of the same rows at once.

Every metric takes answers (N, M, Q), truth (N, M), both float64, and weights (B, N), how often each row counts, and
returns (B,), as those of `ann.evaluation.metrics` do. M is the targets of a row, in a forecast its times x channels;
Q is the quantiles in rising order, or 1. The middle one is the point prediction, of which errors are taken.
"""

from functools import partial

import numpy as np
import pandas as pd

from ann.errors import DataError
from ann.evaluation.metrics import Metric
from ann.seeding import generator

LOWER_IS_BETTER = frozenset({"mae", "mase", "median_ae", "pinball", "rmse"})
LOST_DIGITS = 1e-6
"""A sum of squares this small beside the terms it is the difference of has too few digits left."""


def number_metrics(*, quantiles: tuple[float, ...] = (), naive: np.ndarray | None = None) -> dict[str, Metric]:
    """Return the metrics of a task by name, the most important first.

    Args:
        quantiles: what the Q answers are, for `pinball` and, with at least two, `coverage`.
        naive: (M,) mean absolute error of the naive forecast on training rows, for `mase`.

    Raises:
        DataError: a naive error is 0.
    """
    metrics = dict(NUMBER_METRICS)
    if quantiles:
        metrics["pinball"] = partial(pinball, quantiles=np.array(quantiles))
    if len(quantiles) > 1:
        metrics["coverage"] = coverage
    if naive is not None:
        _check_naive(naive)
        metrics["mase"] = partial(mase, naive=naive)
    return metrics


def per_target(answers: np.ndarray, truth: np.ndarray) -> list[dict[str, float]]:
    """Return rmse, mae and r2 of each of the M targets alone, in their order."""
    once = np.ones((1, len(truth)))
    return [
        {metric.__name__: float(metric(answers[:, [m]], truth[:, [m]], once)[0]) for metric in (rmse, mae, r2)}
        for m in range(truth.shape[1])
    ]


def prediction_points(answers: np.ndarray, truth: np.ndarray, *, seed: int, limit: int = 2000) -> pd.DataFrame:
    """Return columns target, predicted: all N M values row by row, or a sample of `limit` of them in that order."""
    chosen = np.arange(truth.size)
    if truth.size > limit:
        chosen = np.sort(generator(seed, "prediction points").choice(truth.size, size=limit, replace=False))
    return pd.DataFrame({"target": truth.ravel()[chosen], "predicted": _point(answers).ravel()[chosen]})


def rmse(answers: np.ndarray, truth: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Root of the mean squared error of all values."""
    return np.sqrt(_mean(weights, _errors(answers, truth) ** 2))


def mae(answers: np.ndarray, truth: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Mean absolute error of all values."""
    return _mean(weights, np.abs(_errors(answers, truth)))


def r2(answers: np.ndarray, truth: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Mean over targets of 1 - SS_res / SS_tot; a target that is constant counts 1 if it is met exactly, else 0."""
    missed = weights @ _errors(answers, truth) ** 2
    total = _squares_about_mean(truth, weights)
    share = np.divide(missed, total, out=(missed > 0).astype(float), where=total > 0)
    return (1 - share).mean(axis=1)


def median_ae(answers: np.ndarray, truth: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Median of the absolute errors of all values; between the two middle ones it is their mean."""
    return _median(np.abs(_errors(answers, truth)), weights)


def pinball(answers: np.ndarray, truth: np.ndarray, weights: np.ndarray, *, quantiles: np.ndarray) -> np.ndarray:
    """Mean over values and (Q,) quantiles of the pinball loss (Koenker & Bassett 1978)."""
    above = truth[:, :, None] - answers
    return _mean(weights, np.maximum(quantiles * above, (quantiles - 1) * above).mean(axis=2))


def coverage(answers: np.ndarray, truth: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Share of values between the lowest and the highest quantile; best where it equals their distance."""
    return _mean(weights, (answers[..., 0] <= truth) & (truth <= answers[..., -1]))


def mase(answers: np.ndarray, truth: np.ndarray, weights: np.ndarray, *, naive: np.ndarray) -> np.ndarray:
    """Mean over targets of the absolute error over the (M,) naive one (Hyndman & Koehler 2006)."""
    return _mean(weights, np.abs(_errors(answers, truth)) / naive)


def _check_naive(naive: np.ndarray) -> None:
    exact = np.flatnonzero(~(naive > 0))
    if len(exact):
        raise DataError(
            f"mase divides by the naive forecast's error, which must be above 0, but number {exact[0]} of {len(naive)} "
            f"has {naive[exact[0]]:g}: it never changes in the training rows, so take it out of the target"
        )


def _point(answers: np.ndarray) -> np.ndarray:
    """(N, M, Q) -> (N, M)."""
    return answers[..., answers.shape[2] // 2]


def _errors(answers: np.ndarray, truth: np.ndarray) -> np.ndarray:
    return _point(answers) - truth


def _mean(weights: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Return the (B,) means of (N, M) values."""
    return weights @ values.mean(axis=1) / weights.sum(axis=1)


def _squares_about_mean(truth: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Return the (B, M) sums of squares about the mean of each target under each weighting; exactly 0 if constant."""
    centred = truth - np.median(truth, axis=0)  # unlike the mean, exactly 0 if constant, and near most rows
    squares = weights @ centred**2
    total = squares - (weights @ centred) ** 2 / weights.sum(axis=1, keepdims=True)
    for b, m in np.argwhere((squares > 0) & (total < LOST_DIGITS * squares)):
        rows = weights[b] > 0
        values, counts = centred[rows, m], weights[b, rows]
        from_mean = values - np.average(values, weights=counts)
        total[b, m] = counts @ from_mean**2 if np.ptp(values) > 0 else 0
    return total


def _median(values: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Return the (B,) weighted medians of (N, M) values.

    Sorted values are cut into M blocks of N. The block of a median is found first, then its place in the block, so
    that no array is larger than the weights or the values; sorting B N M weights would take gigabytes.
    """
    rows, targets = values.shape
    order = values.ravel().argsort(kind="stable").reshape(targets, rows)
    counts = np.zeros((rows, targets))
    np.add.at(counts, (order // targets, np.arange(targets)[:, None]), 1)
    ends = np.pad((weights @ counts).cumsum(axis=1), ((0, 0), (1, 0)))
    half = ends[:, -1:] / 2
    middle = []
    for is_before in (np.less, np.less_equal):
        block = is_before(ends[:, 1:], half).sum(axis=1)
        start = np.take_along_axis(ends, block[:, None], axis=1)
        inside = start + np.take_along_axis(weights, order[block] // targets, axis=1).cumsum(axis=1)
        place = np.minimum(is_before(inside, half).sum(axis=1), rows - 1)  # the sums may differ in the last digit
        middle.append(values.ravel()[order[block, place]])
    return np.mean(middle, axis=0)


NUMBER_METRICS: dict[str, Metric] = {"rmse": rmse, "mae": mae, "r2": r2, "median_ae": median_ae}
"""Those of every task with numbers."""
