"""Two sides measured in turn, so that what slows the machine for a while slows both, and the ratio of their times."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

RESAMPLES = 10_000


@dataclass(frozen=True)
class Ratio:
    """Median of the pairs' ratios, with the 95 % interval of its bootstrap."""

    median: float
    low: float
    high: float


def interleave(a: Callable[[], float], b: Callable[[], float], pairs: int) -> list[tuple[float, float]]:
    """Call in the order A B B A A B B A ..., each returning its seconds; return them by pair, A first."""
    times = []
    for pair in range(pairs):
        if pair % 2 == 0:
            first = a()
            times.append((first, b()))
        else:
            first = b()
            times.append((a(), first))
    return times


def ratio(times: list[tuple[float, float]], seed: int = 0) -> Ratio:
    """Return how many times as long B took as A."""
    ratios = np.array([b / a for a, b in times])
    generator = np.random.default_rng(seed)
    medians = np.median(generator.choice(ratios, size=(RESAMPLES, len(ratios))), axis=1)
    low, high = np.quantile(medians, [0.025, 0.975])
    return Ratio(float(np.median(ratios)), float(low), float(high))
