"""A row of forecasts: a transformer's loads and oil temperature, beside DLinear on the same windows."""

from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd

from benchmarks.data import table_folder
from benchmarks.quality import dlinear
from benchmarks.quality.kept import Figures, kept
from benchmarks.quality.ours import Answers, figures
from benchmarks.quality.saving import LONGEST, save_row
from benchmarks.quality.settings import ETTH1

ENDS = (8640, 11_520, 14_400)
"""Hours at which 12 months of 30 days for training, 4 for validation and 4 for the test end."""
HORIZON, DAY = 96, 24


def etth1(seeds: list[int]) -> None:
    """ETTh1, seven channels, four days ahead: errors of channels scaled by the training rows."""
    folder = table_folder("etth1")
    ours = [kept("etth1", "forecast", seed, ETTH1, partial(figures, ETTH1, folder, _score)) for seed in seeds]
    published = {name: getattr(dlinear, name) for name in ("EPOCHS", "PATIENCE", "BATCH", "LR", "KERNEL", "LOOKBACKS")}
    reference = [kept("etth1", "DLinear", seed, published, partial(_dlinear, folder)) for seed in seeds]
    naive = [kept("etth1", "last day", 0, {}, partial(_last_day, folder))]
    ratios = [{"ratio": mine["mse"] / theirs["mse"]} for mine, theirs in zip(ours, reference, strict=True)]
    unit, rows = "test MSE, mean", "2,785 test windows, 96 hours of 7 channels"
    lookbacks = ", ".join(sorted({f"{figure['lookback']:.0f}" for figure in reference}))
    save_row("etth1, forecast beside DLinear", ratios, "ratio", "of its test MSE, mean", seeds, rows, "<= 0.98")
    save_row("etth1, forecast", ours, "mse", unit, seeds, rows)
    save_row("etth1, seconds of training", ours, "seconds", "s, mean", seeds, "", LONGEST)
    save_row(
        "etth1, DLinear",
        reference,
        "mse",
        unit,
        seeds,
        f"{rows}; published settings, hours read by validation rows: {lookbacks}",
    )
    save_row("etth1, the last day again", naive, "mse", unit, [], rows)


def _score(part: Answers) -> Figures:
    """Answers are (N, H C, 1), the truth (N, H C), both scaled."""
    return _errors(part.answers[:, :, 0], part.truth)


def _errors(answers: np.ndarray, truth: np.ndarray) -> Figures:
    return {"mse": float(np.mean((answers - truth) ** 2)), "mae": float(np.mean(np.abs(answers - truth)))}


def _dlinear(folder: Path, seed: int) -> Figures:
    return dlinear.dlinear(_scaled(folder), ENDS, HORIZON, seed)


def _last_day(folder: Path, seed: int) -> Figures:
    """Nothing is drawn, so any seed gives the same."""
    del seed
    past, ahead = dlinear.windows(_scaled(folder), ENDS[1], ENDS[2], DAY, HORIZON)
    return _errors(past.repeat(1, HORIZON // DAY, 1).numpy(), ahead.numpy())


def _scaled(folder: Path) -> np.ndarray:
    """Return (T, C): mean 0 and variance 1 over the training rows."""
    series = pd.read_csv(folder / "ETTh1.csv").drop(columns="date").to_numpy(np.float64)
    known = series[: ENDS[0]]
    return (series - known.mean(axis=0)) / known.std(axis=0)
