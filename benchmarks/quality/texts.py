"""A row of sentences: a network over words, beside tf-idf and logistic regression on the same rows."""

from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression

from benchmarks.data import table_folder
from benchmarks.quality.kept import Figures, kept
from benchmarks.quality.ours import Answers, figures
from benchmarks.quality.saving import LONGEST, save_row
from benchmarks.quality.settings import SST2
from benchmarks.rows import measured, save

GRID = [{"n": n, "C": strength} for n in (1, 2, 3) for strength in (0.3, 1.0, 3.0, 10.0, 30.0)]
"""Words in a row at most, and the inverse of the penalty; the best of these on dev.tsv is what is compared with."""
RESAMPLES = 10_000


def sst2(seeds: list[int]) -> None:
    """Stanford's sentiment sentences with their official parts, no network trained before."""
    folder = table_folder("sst2")
    ours = [kept("sst2", "text", seed, SST2, partial(figures, SST2, folder, _score)) for seed in seeds]
    linear = kept("sst2", "logistic regression", 0, GRID, partial(_reference, folder))
    unit, rows = "test accuracy, mean", "1,821 official test sentences"
    save_row("sst2, text", ours, "accuracy", unit, seeds, f"{rows}; the aim is 0.83")
    save_row("sst2, seconds of training", ours, "seconds", "s, mean", seeds, "", LONGEST)
    save_row(
        "sst2, tf-idf and logistic regression",
        [linear],
        "accuracy",
        unit,
        [],
        f"{rows}; 1 to {linear['n']} words in a row, C {linear['C']:g}, the best of {len(GRID)} on validation rows",
    )
    _save_difference(ours, linear, seeds)


def _save_difference(ours: list[Figures], linear: Figures, seeds: list[int]) -> None:
    """Save the mean over seeds and rows of (ours right - reference right), with its 95 % interval over rows."""
    rows = linear["rows"]
    gain = np.mean([_right(figure["wrong"], rows) for figure in ours], axis=0) - _right(linear["wrong"], rows)
    random = np.random.default_rng(0)
    means = [gain[random.integers(rows, size=rows)].mean() for _ in range(RESAMPLES)]
    low, high = np.quantile(means, [0.025, 0.975])
    note = f"range: 95 % interval of the mean over seeds, test rows drawn anew {RESAMPLES:,} times in pairs"
    save(
        "quality",
        measured(
            [low, high],
            row="sst2, text less logistic regression",
            unit="difference of test accuracy, mean",
            bar="lower end > -0.01",
            met=lambda _: bool(low > -0.01),
            seeds=seeds,
            note=note,
            middle=lambda _: gain.mean(),
        ),
    )


def _right(wrong: list[int], rows: int) -> np.ndarray:
    """Return (N,) 1.0 where an answer is right."""
    right = np.ones(rows)
    right[wrong] = 0
    return right


def _score(part: Answers) -> Figures:
    """`wrong` are places among the part's rows, in the order of its file."""
    return _accuracy(part.answers.argmax(axis=1), part.truth)


def _accuracy(answers: Any, truth: Any) -> Figures:
    right = np.asarray(answers) == np.asarray(truth)
    return {"accuracy": float(right.mean()), "wrong": np.flatnonzero(~right).tolist(), "rows": len(right)}


def _reference(folder: Path, seed: int) -> Figures:
    """Nothing is drawn, so any seed gives the same."""
    del seed
    parts = {name: pd.read_csv(folder / f"{name}.tsv", sep="\t", quoting=3) for name in ("train", "dev", "test")}
    tried = []
    for setting in GRID:
        words = TfidfVectorizer(ngram_range=(1, setting["n"]))
        seen = words.fit_transform(parts["train"]["sentence"])
        model = LogisticRegression(C=setting["C"], max_iter=2000).fit(seen, parts["train"]["sentiment"])
        valid = model.score(words.transform(parts["dev"]["sentence"]), parts["dev"]["sentiment"])
        answers = model.predict(words.transform(parts["test"]["sentence"]))
        tried.append((valid, -len(tried), answers, setting))  # the first of equals
    valid, _, answers, setting = max(tried, key=lambda entry: entry[:2])
    return {**_accuracy(answers, parts["test"]["sentiment"]), "valid_accuracy": float(valid), **setting}
