"""Rows of tables: our default architecture beside scikit-learn's gradient boosting.

The seed moves weights, order and dropout, and where a row holds out shares, the split too: the same for both sides.
"""

from collections.abc import Callable
from functools import partial
from typing import Any

from sklearn.metrics import accuracy_score, roc_auc_score

from ann.project import Project
from benchmarks.data import table_folder
from benchmarks.quality import references
from benchmarks.quality.kept import Figures, kept
from benchmarks.quality.ours import Answers, figures, project_of
from benchmarks.quality.references import rmse
from benchmarks.quality.saving import LONGEST, save_row
from benchmarks.quality.settings import ADULT, ADULT_PLAIN, COVERTYPE, HOUSING

Reference = Callable[[Project], tuple[Any, Any]]


def adult(seeds: list[int]) -> None:
    """Adult with its official test file."""
    ours = _ours("adult", "tabular", ADULT, seeds)
    plain = _ours("adult", "plain MLP", ADULT_PLAIN, seeds)
    boosting = _reference("adult", "gradient boosting", ADULT, references.default_classifier, seeds)
    unit, official = "test AUC, mean", "16,281 official test rows"
    save_row("adult, tabular", ours, "auc", unit, seeds, f"{official}; the aim is 0.9285", ">= 0.922")
    save_row("adult, seconds of training", ours, "seconds", "s, mean", seeds, "", "<= 60")
    save_row("adult, plain MLP", plain, "auc", unit, seeds, f"{official}; family mlp with its defaults")
    save_row(
        "adult, gradient boosting", boosting, "auc", unit, seeds, f"{official}; scikit-learn defaults, same columns"
    )


def housing(seeds: list[int]) -> None:
    """California housing: how our error compares with that of gradient boosting, tuned and as it comes."""
    ours = _ours("housing", "tabular", HOUSING, seeds)
    tuned = _reference("housing", "gradient boosting, tuned", HOUSING, references.tuned_regressor, seeds)
    default = _reference("housing", "gradient boosting", HOUSING, references.default_regressor, seeds)
    ratios = [{"ratio": a["rmse"] / b["rmse"]} for a, b in zip(ours, tuned, strict=True)]
    unit, rows = "dollars test RMSE, mean", "20 % test rows, 15 % validation rows"
    grid = "2,000 trees at most, learning rate 0.05, the best of 8 settings on validation rows"
    save_row(
        "housing, tabular beside tuned gradient boosting",
        ratios,
        "ratio",
        "of its test RMSE, mean",
        seeds,
        "the aim is 0.98",
        "<= 1.0",
    )
    save_row("housing, tabular", ours, "rmse", unit, seeds, rows)
    save_row("housing, seconds of training", ours, "seconds", "s, mean", seeds, "", LONGEST)
    save_row("housing, gradient boosting, tuned", tuned, "rmse", unit, seeds, f"{rows}; {grid}")
    save_row("housing, gradient boosting", default, "rmse", unit, seeds, f"{rows}; scikit-learn defaults")


def covertype(seeds: list[int]) -> None:
    """Forest cover types, all 581,012 rows."""
    ours = _ours("covertype", "tabular", COVERTYPE, seeds)
    boosting = _reference("covertype", "gradient boosting", COVERTYPE, references.default_classifier, seeds)
    unit, rows = "test accuracy, mean", "10 % test rows"
    save_row("covertype, tabular", ours, "accuracy", unit, seeds, f"{rows}; the aim is 0.97", ">= 0.95")
    save_row("covertype, seconds of training", ours, "seconds", "s, mean", seeds, "", LONGEST)
    save_row("covertype, memory", ours, "peak_gb", "GB, mean", seeds, "peak of reading, preparing and training", "<= 3")
    save_row("covertype, gradient boosting", boosting, "accuracy", unit, seeds, f"{rows}; scikit-learn defaults")


def _ours(row: str, side: str, settings: dict[str, Any], seeds: list[int]) -> list[Figures]:
    table_folder(row)  # ends here, not in another process, where the rows are not there
    return [kept(row, side, seed, settings, partial(_train, row, settings)) for seed in seeds]


def _reference(row: str, side: str, settings: dict[str, Any], reference: Reference, seeds: list[int]) -> list[Figures]:
    """Measure on the split of `settings`, of which the network's part does not matter."""
    shared = {name: settings[name] for name in ("data", "prepare")}
    key = {**shared, "grid": [references.TUNED, references.GRID]}
    return [kept(row, side, seed, key, partial(_fit, row, shared, reference)) for seed in seeds]


def _train(row: str, settings: dict[str, Any], seed: int) -> Figures:
    return figures(settings, table_folder(row), partial(_score, row), seed)


def _fit(row: str, settings: dict[str, Any], reference: Reference, seed: int) -> Figures:
    with project_of(settings, table_folder(row), seed) as project:
        return SCORES[row](*reference(project))


def _score(row: str, part: Answers) -> Figures:
    """Answers about numbers are (N, 1, 1), the truth (N, 1)."""
    numbers = part.answers.ndim == 3
    return SCORES[row](part.answers[:, 0, 0], part.truth[:, 0]) if numbers else SCORES[row](part.answers, part.truth)


SCORES: dict[str, Callable[[Any, Any], Figures]] = {
    "adult": lambda answers, truth: {"auc": float(roc_auc_score(truth, answers[:, 1]))},
    "covertype": lambda answers, truth: {"accuracy": float(accuracy_score(truth, answers.argmax(axis=1)))},
    "housing": lambda answers, truth: {"rmse": rmse(answers, truth)},
}
