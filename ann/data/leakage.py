"""Signs that a test score will be too good: what stands on both sides of a split, or gives the target away.

Only names of columns and counts are told, never a value. N rows, K classes, labels or numbers.
"""

from collections.abc import Iterator
from dataclasses import asdict, dataclass

import numpy as np
import pandas as pd

from ann.data.splits import row_groups
from ann.data.target import Task
from ann.data.task import category_text
from ann.seeding import generator

MEDIA = ("image", "audio")
AT_RANDOM = ("auto", "random", "stratified")
SAMPLE = 10_000
"""Training rows, and as many held-out rows, that the rule `alone` looks at."""
BINS = 1024
ROWS_A_BIN = 5
TOO_GOOD = 0.99
"""AUC, or share of the variance of ranks, that no honest single column reaches."""
FEWEST = 10
"""A class with fewer held-out rows among the sampled is not judged."""
MANY_THINGS = 50
"""A column of so few values holds kinds of things, not things."""
SAME_THING = 0.5
"""Share of the target's variance that the value must explain, beyond chance, to be the name of a thing."""
NEARLY_ALL = 0.95
NUMBERED = 1000
"""So many whole numbers that are all different are names, wherever they lie; quantities would coincide."""


@dataclass(frozen=True)
class Finding:
    """One sign of leakage."""

    rule: str
    column: str
    """Empty for a finding about whole rows."""
    observed: str
    advice: str

    def to_json(self) -> dict[str, str]:
        """Return the fields by name."""
        return asdict(self)

    def line(self) -> str:
        """Return one readable line."""
        where = f"column {self.column!r}: " if self.column else ""
        return f"leakage ({self.rule}): {where}{self.observed}; {self.advice}"


def find_leakage(
    table: pd.DataFrame,
    target: np.ndarray,
    *,
    task: Task,
    parts: dict[str, np.ndarray],
    features: tuple[tuple[str, str], ...],
    split_name: str,
    group: str | None = None,
    time: str | None = None,
    fingerprints: np.ndarray | None = None,
) -> list[Finding]:
    """Return what the rules find, in their order: duplicates, group, alone, time, identifier.

    `target` is (N,) classes, (N, L) labels or (N, M) numbers; `parts` row numbers by name; `features` names and types;
    `group` and `time` name the columns with these roles. Cells of media may be texts that equal ones share, or come
    with `fingerprints`, (N,) whole numbers that rows with equal media share: else rows are not compared. A forecast
    has its target among what it reads and is split by time: nothing is looked for.
    """
    if task == "forecast":
        return []
    types = {name: kind for name, kind in features if name in table.columns}
    truth = _truth(target, task)
    return [
        *_duplicates(table, target, parts, types, fingerprints),
        *_groups(table, truth, parts, types, split_name, group),
        *_alone(table, truth, task, parts, types),
        *_times(table, types, split_name, time),
        *_identifiers(table, types),
    ]


def explain(findings: list[Finding]) -> str:
    """Return one line a finding for the terminal."""
    return "\n".join(finding.line() for finding in findings) or "leakage: no sign of it"


def _truth(target: np.ndarray, task: Task) -> np.ndarray:
    """Return classes (N,), labels (N, L), or ranks of numbers (N, M): a few large values must not decide."""
    if task != "regression":
        return target
    return pd.DataFrame(target.reshape(len(target), -1)).rank().to_numpy()


def _duplicates(
    table: pd.DataFrame,
    target: np.ndarray,
    parts: dict[str, np.ndarray],
    types: dict[str, str],
    fingerprints: np.ndarray | None,
) -> Iterator[Finding]:
    """Find held-out rows that equal a training row in every feature."""
    cells = [table[name] for name, kind in types.items() if kind not in MEDIA or _holds_texts(table[name])]
    if len(cells) < len(types):
        if fingerprints is None:
            return
        cells.append(pd.Series(fingerprints))
    alike = row_groups(pd.DataFrame(dict(enumerate(cells))))
    held = _held(parts)
    copies = alike[held][np.isin(alike[held], alike[parts["train"]])]
    if not len(copies):
        return
    answers = row_groups(pd.DataFrame(target.reshape(len(target), -1)))
    different = np.bincount(_pairs(alike, answers)[0])
    yield Finding(
        "duplicates",
        "",
        f"{len(copies):,} of {len(held):,} held-out rows ({len(copies) / len(held):.1%}) equal a training row in every "
        f"feature; of {(different[copies] > 1).sum():,} such rows the equal rows have different targets",
        "remove copies; if they are other things that look alike, features are lacking that tell them apart",
    )


def _groups(
    table: pd.DataFrame,
    truth: np.ndarray,
    parts: dict[str, np.ndarray],
    types: dict[str, str],
    split_name: str,
    group: str | None,
) -> Iterator[Finding]:
    """Find names of things (persons, machines) whose rows stand on both sides.

    Of a column that is not said to be one, the values must predict the target; and numbers better than their
    neighbours do, else they are quantities. The same things later are what a split by time asks for.
    """
    held = _held(parts)
    for name in table.columns:
        guessed = name != group
        if guessed and (split_name == "time" or not _may_name_things(table[name], types.get(name))):
            continue
        values = pd.factorize(table[name], sort=guessed and pd.api.types.is_integer_dtype(table[name].dtype))[0]
        crossing = np.isin(values[held], values[parts["train"]]) & (values[held] >= 0)
        if not crossing.any() or (guessed and not _predicts(values, truth, table[name])):
            continue
        how = "looks like the name of a thing, whose rows share the target" if guessed else "has the role group"
        yield Finding(
            "group",
            name,
            f"{how}, but {crossing.sum():,} of {len(held):,} held-out rows ({crossing.mean():.1%}) have a value that "
            f"training rows have",
            f"write prepare.split: {{name: group, column: {name}}}",
        )


def _alone(
    table: pd.DataFrame, truth: np.ndarray, task: Task, parts: dict[str, np.ndarray], types: dict[str, str]
) -> Iterator[Finding]:
    """Find features that tell the target of held-out rows by the mean target of training rows with such a value."""
    random = generator(0, "leakage/alone")
    rows = [np.sort(random.permutation(part)[:SAMPLE]) for part in (parts["train"], _held(parts))]
    seen, asked = (_columns_of(truth[part], task, int(truth.max()) + 1) for part in rows)
    for name, kind in types.items():
        if kind in ("text", *MEDIA):
            continue
        levels = _levels(table[name].iloc[np.concatenate(rows)], kind, len(seen))
        quality = _quality(_mean_of_level(levels[: len(seen)], seen, levels[len(seen) :]), asked, task)
        if quality > TOO_GOOD:
            measure = "explained variance of ranks" if task == "regression" else "AUC"
            yield Finding(
                "alone",
                name,
                f"it predicts the target of held-out rows without any other column ({measure} {quality:.4f})",
                "if it is known only after the target, give it the role drop",
            )


def _times(table: pd.DataFrame, types: dict[str, str], split_name: str, time: str | None) -> Iterator[Finding]:
    """Find times in rows that were split as if there were none."""
    if split_name not in AT_RANDOM:
        return
    for name in table.columns:
        dated = types.get(name) == "date" or pd.api.types.is_datetime64_any_dtype(table[name].dtype)
        if name == time or dated:
            yield Finding(
                "time",
                name,
                f"{'has the role time' if name == time else 'holds dates'}, but rows are split at random, so later "
                f"rows train and earlier ones test",
                f"if later rows will be predicted, write prepare.split: {{name: time, column: {name}}}",
            )


def _identifiers(table: pd.DataFrame, types: dict[str, str]) -> Iterator[Finding]:
    """Find features that differ in nearly all rows, so that nothing can be learned of them but the rows themselves."""
    for name, kind in types.items():
        known = table[name].dropna() if kind in ("number", "category", "text") else table[name].iloc[:0]
        if len(known) >= MANY_THINGS and _differs_by_row(known, kind):
            yield Finding(
                "identifier",
                name,
                f"{known.nunique():,} different values in {len(known):,} rows",
                "it can only be memorised: give it the role drop",
            )


def _differs_by_row(known: pd.Series, kind: str) -> bool:
    distinct = known.nunique()
    if kind == "number":
        if not pd.api.types.is_integer_dtype(known.dtype):
            return False
        dense = int(known.max()) - int(known.min()) < 2 * len(known)
        return (dense and distinct > NEARLY_ALL * len(known)) or distinct == len(known) >= NUMBERED
    if distinct <= NEARLY_ALL * len(known):
        return False
    sentences = known.astype(str).str.contains(r"\s").mean() if kind == "text" else 0.0
    return bool(sentences < 1 - NEARLY_ALL)


def _may_name_things(column: pd.Series, kind: str | None) -> bool:
    if kind in ("text", "date", *MEDIA):
        return False
    if not (_holds_texts(column) or pd.api.types.is_integer_dtype(column.dtype)):
        return False
    return MANY_THINGS < column.nunique() <= column.count() / 2


def _holds_texts(column: pd.Series) -> bool:
    return all(isinstance(cell, str) for cell in column.dropna().iloc[:1])


def _predicts(values: np.ndarray, truth: np.ndarray, column: pd.Series) -> bool:
    known = values >= 0
    values, truth = values[known], truth[known]
    if _is_target(values, truth):
        return False
    by_value = _explained(values, truth)
    if by_value <= SAME_THING:
        return False
    return not pd.api.types.is_integer_dtype(column.dtype) or _explained(values // 10, truth) < by_value / 2


def _is_target(values: np.ndarray, truth: np.ndarray) -> bool:
    """Return whether values and some target say the same: the target's own column, or another name of it."""
    for answers in truth.reshape(len(truth), -1).T:
        codes = pd.factorize(answers)[0]
        if len(np.unique(codes)) == len(np.unique(values)) == len(_pairs(values, codes)[0]):
            return True
    return False


def _explained(values: np.ndarray, truth: np.ndarray) -> float:
    """Return the share of variance between values, less what chance gives (adjusted R2 of a one-way analysis).

    Of classes it is the variance of their indicators, all together; of several targets the best explained counts.
    """
    sizes = np.bincount(values)
    free = len(values) - (sizes > 0).sum()
    columns = [truth] if truth.ndim == 1 else truth.T
    best = 0.0
    for answers in columns:
        codes = pd.factorize(answers)[0]
        if truth.ndim == 1:
            groups, counts = _pairs(values, codes)
            within = len(values) - (counts**2 / sizes[groups]).sum()
            total = len(values) - (np.bincount(codes) ** 2).sum() / len(values)
        else:
            centred = answers - answers.mean()
            total = (centred**2).sum()
            sums = np.bincount(values, weights=centred)
            within = total - (sums[sizes > 0] ** 2 / sizes[sizes > 0]).sum()
        if total > 0 and free > 0:
            best = max(best, 1 - (within / free) / (total / (len(values) - 1)))
    return float(best)


def _pairs(values: np.ndarray, codes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the value of each pair of value and code that occurs, and how often it does."""
    width = int(codes.max()) + 1
    pairs, counts = np.unique(values * width + codes, return_counts=True)
    return pairs // width, counts


def _columns_of(truth: np.ndarray, task: Task, num_classes: int) -> np.ndarray:
    """Return (n, K) numbers: indicators of classes (of two the second), labels, or ranks."""
    if task == "binary":
        return truth[:, None].astype(float)
    if task == "multiclass":
        return np.eye(num_classes)[truth]
    return truth.astype(float)


def _levels(column: pd.Series, kind: str, seen: int) -> np.ndarray:
    """Return (n,) numbers of levels; the first `seen` rows decide which there are, 0 is a level they lack."""
    if kind == "date" and not pd.api.types.is_datetime64_any_dtype(column.dtype):
        column = pd.to_datetime(column, format="ISO8601", utc=True, errors="coerce")
    if kind == "category" or not (kind == "date" or pd.api.types.is_numeric_dtype(column.dtype)):
        text = pd.Index(category_text(column))
        return text[:seen].unique().get_indexer(text) + 1
    numbers = column.astype("int64") if kind == "date" else column
    values = np.where(column.isna(), np.nan, numbers.to_numpy(dtype=np.float64, na_value=np.nan))
    known = values[:seen][~np.isnan(values[:seen])]
    if not len(known):
        return np.zeros(len(values), dtype=np.int64)
    bins = min(BINS, max(2, len(known) // ROWS_A_BIN))
    edges = np.unique(np.quantile(known, np.linspace(0, 1, bins + 1), method="inverted_cdf"))
    return np.where(np.isnan(values), len(edges) + 1, np.searchsorted(edges, values, side="right"))


def _mean_of_level(seen_levels: np.ndarray, seen: np.ndarray, levels: np.ndarray) -> np.ndarray:
    """Return the (n, K) mean of (rows, K) seen targets in each row's level; the mean of all where none was seen."""
    size = int(max(seen_levels.max(), levels.max())) + 1
    counts = np.bincount(seen_levels, minlength=size)
    sums = np.stack([np.bincount(seen_levels, weights=column, minlength=size) for column in seen.T], axis=1)
    means = np.where(counts[:, None] > 0, sums / np.maximum(counts, 1)[:, None], seen.mean(axis=0))
    found: np.ndarray = means[levels]
    return found


def _quality(scores: np.ndarray, asked: np.ndarray, task: Task) -> float:
    """Return the AUC of (n, K) scores (mean over classes, best of labels), or the best R2 of numbers; 0 if too few."""
    if task == "regression":
        missed, spread = ((asked - scores) ** 2).sum(axis=0), ((asked - asked.mean(axis=0)) ** 2).sum(axis=0)
        return float(np.max(1 - missed[spread > 0] / spread[spread > 0], initial=0.0))
    positives, negatives = asked.sum(axis=0), (1 - asked).sum(axis=0)
    judged = (positives >= FEWEST) & (negatives >= FEWEST)
    if not judged.any():
        return 0.0
    ranks = pd.DataFrame(scores).rank().to_numpy()
    wins = (ranks * asked).sum(axis=0) - positives * (positives + 1) / 2
    areas = wins[judged] / (positives * negatives)[judged]
    return float(areas.max() if task == "multilabel" else areas.mean())


def _held(parts: dict[str, np.ndarray]) -> np.ndarray:
    return np.concatenate([parts["valid"], parts["test"]])
