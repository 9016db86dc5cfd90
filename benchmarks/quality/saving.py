"""Figures of all seeds as a row of the page, beside its bar."""

from functools import partial

import numpy as np

from benchmarks.quality.kept import Figures
from benchmarks.rows import measured, save

LONGEST = "<= 1200"
"""Bar of a training's seconds."""


def save_row(
    row: str, figures: list[Figures], name: str, unit: str, seeds: list[int], note: str, bar: str = ""
) -> None:
    """Save the mean of one figure; `bar` is `>= number` or `<= number`."""
    values = [figure[name] for figure in figures]
    met = None
    if bar:
        sign, limit = bar.split()
        met = partial(_holds, sign, float(limit))
    save("quality", measured(values, row=row, unit=unit, bar=bar, met=met, seeds=seeds, note=note, middle=np.mean))


def _holds(sign: str, limit: float, value: float) -> bool:
    return value >= limit if sign == ">=" else value <= limit
