"""Does the file answer what the network answers? On real rows and on rows at the edge."""

from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass

import numpy as np

from ann.data.examples import Examples
from ann.data.schema import Feature, Schema
from ann.export.answer import THRESHOLD
from ann.export.network import difference
from ann.names import LENGTHS
from ann.predict import Model

UNSEEN = "a category that training never showed"
SOME = 64
Inputs = dict[str, np.ndarray]
"""Raw inputs by name."""
Reference = Callable[[Inputs], np.ndarray]
"""Raw inputs -> answers of `Target.answers`, by the way that the file is compared with."""


@dataclass(frozen=True)
class Parity:
    """How far the file is from its reference on one kind of row."""

    rows: int
    max_difference: float
    """Greatest difference of a probability, or of a prediction as a share of it where that is above 1."""
    flips: int
    """Rows whose label differs."""

    def to_json(self) -> dict[str, float]:
        """Return the fields by name; three digits of a difference say enough."""
        return {**asdict(self), "max_difference": float(f"{self.max_difference:.3g}")}

    def __add__(self, other: "Parity") -> "Parity":
        """Return what holds for the rows of both."""
        worst = max(self.max_difference, other.max_difference, key=lambda value: (np.isnan(value), value))
        return Parity(self.rows + other.rows, worst, self.flips + other.flips)


def check_parity(
    model: Model, reference: Reference, examples: Examples, rows: np.ndarray, size: int
) -> dict[str, Parity]:
    """Compare the file with `reference` on each kind of row made from some examples, at most `size` rows at once."""
    schema = examples.schema
    chunks = [_compare(model, reference, examples.inputs(part), schema) for part in examples.chunks(rows, size)]
    found = {"real": sum(chunks[1:], start=chunks[0])}
    some = examples.inputs(next(examples.chunks(rows[:SOME], SOME)))
    return found | {kind: _compare(model, reference, inputs, schema) for kind, inputs in edge_rows(some, schema)}


def edge_rows(some: Inputs, schema: Schema) -> Iterator[tuple[str, Inputs]]:
    """Yield one row alone, an odd number, and rows whose values are changed, each with the kind's name."""
    count = len(next(iter(some.values())))
    yield "one", {name: values[:1] for name, values in some.items()}
    yield "odd", {name: values[: min(7, count)] for name, values in some.items()}
    for kind, changes in EDGES.items():
        changed = dict(some)
        for feature in schema.features:
            if feature.type in changes:
                changed |= changes[feature.type](feature, some)
        if any(changed[name] is not some[name] for name in some):
            yield kind, changed


def _numbers(value: float) -> Callable[[Feature, Inputs], Inputs]:
    return lambda feature, some: {name: np.full_like(some[name], value) for name in feature.sources if name in some}


def _whole(value: float) -> Callable[[Feature, Inputs], Inputs]:
    return lambda feature, some: {feature.name: np.full_like(some[feature.name], value)}


def _words(value: str) -> Callable[[Feature, Inputs], Inputs]:
    return lambda feature, some: {feature.name: np.full(len(some[feature.name]), value, dtype=object)}


def _larger(feature: Feature, some: Inputs) -> Inputs:
    return {feature.name: some[feature.name].repeat(2, axis=1).repeat(2, axis=2)}


def _padded(feature: Feature, some: Inputs) -> Inputs:
    """Add noise after the end of each clip, where nothing may be heard."""
    samples = some[feature.name]
    noise = np.random.default_rng(0).standard_normal((len(samples), samples.shape[1] // 2 + 1)).astype(np.float32)
    return {feature.name: np.concatenate([samples, noise], axis=1)}


def _silent(feature: Feature, some: Inputs) -> Inputs:
    lengths = np.ones_like(some[f"{feature.name}{LENGTHS}"])
    return {feature.name: np.zeros_like(some[feature.name]), f"{feature.name}{LENGTHS}": lengths}


def _compare(model: Model, reference: Reference, inputs: Inputs, schema: Schema) -> Parity:
    target = schema.target
    found = model.run(inputs)
    ours, theirs = target.read(found), reference(inputs)
    flips = 0
    if target.has_classes:
        flips = int((found["label"] != np.array(target.classes, dtype=object)[theirs.argmax(axis=1)]).sum())
    elif target.task == "multilabel":
        flips = int((found["labels"] != (theirs > THRESHOLD)).any(axis=1).sum())
    if target.in_own_unit:  # as they are stored: a share of a large unit would hide much
        ours, theirs = ((values - target.shift[0]) / target.scale[0] for values in (ours, theirs))
    return Parity(len(theirs), difference(ours, theirs), flips)


EDGES: dict[str, dict[str, Callable[[Feature, Inputs], Inputs]]] = {
    "missing": {
        "number": _numbers(np.nan),
        "date": _numbers(np.nan),
        "category": _words(""),
        "text": _words(""),
        "image": _whole(0),
        "audio": _silent,
        "series": _whole(np.nan),
    },
    "unseen": {"category": _words(UNSEEN), "text": _words(f"{UNSEEN} \u00c9\u4e2d! \t " * 200)},
    "huge": {"number": _numbers(1e6), "date": _numbers(4e9), "image": _whole(255), "series": _whole(1e6)},
    "other size": {"image": _larger, "audio": _padded},
}
"""Kinds of changed rows: by type of column, what stands in each row."""
