"""What a variant is worth: its metric on validation rows, and what it loses there against the uncompressed network."""

from dataclasses import dataclass

import numpy as np
import onnx

from ann.data.target import Target
from ann.evaluation.intervals import Interval, metric_intervals, paired_gain
from ann.evaluation.scoring import score
from ann.export.network import run_network

LEAST = 1e-12
"""A drop is a share of at least this, so that beside a network without error any error is too much."""


@dataclass(frozen=True, eq=False)
class Judge:
    """Validation rows, and what the uncompressed network answers about them."""

    target: Target
    metric: str
    inputs: dict[str, np.ndarray]
    """Prepared rows by group."""
    truth: np.ndarray
    plain: np.ndarray
    """Answers of the uncompressed network."""
    resamples: int
    confidence: float
    seed: int

    def answers(self, graph: onnx.ModelProto) -> np.ndarray:
        """Return what a network's graph answers about the rows."""
        return self.target.answers(run_network(graph, self.inputs))

    def quality(self, answers: np.ndarray) -> Interval:
        """Return the metric of some answers."""
        found = metric_intervals(
            self.target,
            [self.metric],
            answers,
            self.truth,
            resamples=self.resamples,
            confidence=self.confidence,
            seed=self.seed,
        )
        return found[self.metric]

    def drop(self, answers: np.ndarray) -> Interval:
        """Return by how much some answers are worse than the uncompressed network's on the same rows.

        Positive is worse. Where numbers are predicted it is a share of the uncompressed network's metric.
        """
        gain = paired_gain(
            self.target,
            self.metric,
            answers,
            self.plain,
            self.truth,
            resamples=self.resamples,
            confidence=self.confidence,
            seed=self.seed,
        )
        if self.target.has_numbers:
            gain = gain.scaled(1 / max(LEAST, abs(score(self.target, self.metric, self.plain, self.truth))))
        return gain.negated()

    def worst_drop(self, graph: onnx.ModelProto) -> float:
        """Return the upper bound of the drop of a graph."""
        return self.drop(self.answers(graph)).high

    def error(self, graph: onnx.ModelProto) -> float:
        """Return how far the answers of a graph are from those of the uncompressed network, on average."""
        return float(np.abs(self.answers(graph) - self.plain).mean())


def judge(
    graph: onnx.ModelProto,
    *,
    target: Target,
    metric: str,
    rows: dict[str, np.ndarray],
    resamples: int,
    confidence: float,
    seed: int,
) -> Judge:
    """Return the judge beside an uncompressed `graph`; `rows` are prepared ones by group, and their stored target."""
    inputs = {put.name: rows[put.name] for put in graph.graph.input}
    plain, truth = target.answers(run_network(graph, inputs)), target.truth(rows["target"])
    return Judge(target, metric, inputs, truth, plain, resamples, confidence, seed)
