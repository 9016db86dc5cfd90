"""The Pareto front of quality, latency and bytes, and the rule by which one variant is shipped.

A variant may be shipped only if both hold with confidence, not just on average:
the upper bound of its drop of the metric against fp32, on the same rows, is at most `max_drop`;
the upper bound of its latency ratio to fp32 is at most 1 at every batch size (1.05 where bytes or flops are the
objective).
fp32 always may, so it is shipped when nothing else passes, or nothing else is clearly better.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from ann.compression.footprint import Footprint
from ann.compression.measure import Timing
from ann.evaluation.intervals import Interval

FP32 = "fp32"
LATENCY_BOUND = {"latency": 1.0, "bytes": 1.05, "flops": 1.05}
TIE = 0.05
"""Share by which the objective of two variants must differ to count as different."""


@dataclass(frozen=True)
class Candidate:
    """One variant with all that was measured of it."""

    name: str
    quality: Interval
    """The metric on validation rows."""
    drop: Interval
    """By how much the metric is worse than fp32's on the same rows; positive is worse."""
    bytes: int
    flops: float
    """Multiply-adds of a row."""
    timings: dict[int, Timing]
    """By batch size; ratios are to fp32."""
    footprint: Footprint
    """Told, but without a say in the choice."""

    @property
    def mean_ratio(self) -> float:
        """Mean latency ratio over the batch sizes: the figure that the objective `latency` minimises."""
        return sum(timing.ratio for timing in self.timings.values()) / len(self.timings)

    def cost(self, objective: str) -> float:
        """Return what the objective minimises."""
        return {"latency": self.mean_ratio, "bytes": float(self.bytes), "flops": self.flops}[objective]


def objection(candidate: Candidate, max_drop: float, objective: str) -> str | None:
    """Return why the variant may not be shipped, or None; what is not a number never passes."""
    if candidate.name == FP32:
        return None
    if not candidate.drop.high <= max_drop:
        return f"may lose {candidate.drop.high:.4f}, over max_drop {max_drop:g}"
    bound = LATENCY_BOUND[objective]
    for batch, timing in sorted(candidate.timings.items(), key=lambda item: -item[1].ratio_high):
        if not timing.ratio_high <= bound:
            return f"up to {timing.ratio_high:.2f} x the time of fp32 at batch {batch}"
    return None


def choose(candidates: Sequence[Candidate], max_drop: float, objective: str) -> Candidate:
    """Return the variant to ship; fp32 must be among the candidates.

    Costs within TIE of the best are equal: a machine's noise should not decide. Of equals fp32 wins, then fewer bytes.
    """
    allowed = [candidate for candidate in candidates if objection(candidate, max_drop, objective) is None]
    best = min(candidate.cost(objective) for candidate in allowed)
    equals = [candidate for candidate in allowed if candidate.cost(objective) <= best * (1 + TIE)]
    return min(equals, key=lambda candidate: (candidate.name != FP32, candidate.bytes, candidate.name))


def pareto_front(candidates: Sequence[Candidate]) -> set[str]:
    """Return the names that no other candidate beats or equals in drop, latency and bytes together."""

    def figures(candidate: Candidate) -> tuple[float, float, int]:
        return (candidate.drop.value, candidate.mean_ratio, candidate.bytes)

    return {
        a.name
        for a in candidates
        if not any(
            all(x <= y for x, y in zip(figures(b), figures(a), strict=True)) and figures(b) != figures(a)
            for b in candidates
        )
    }
