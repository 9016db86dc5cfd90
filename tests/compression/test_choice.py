"""The rule by which one variant is shipped, and the Pareto front."""

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ann.compression.choice import Candidate, choose, objection, pareto_front
from ann.compression.footprint import Footprint
from ann.compression.measure import Timing
from ann.evaluation.intervals import Interval

TAKEN = Footprint(memory_mb=12.0, load_ms=5.0)


def candidate(
    name: str,
    *,
    drop: float = 0.0,
    drop_high: float = 0.0,
    ratio: float = 1.0,
    size: int = 1000,
    flops: float = 1e6,
    high: float = 0.0,
) -> Candidate:
    """Return a candidate with the same latency at batches 1 and 256, but for the bound `high` at 256."""
    timings = {1: Timing(1, 2, ratio, ratio, ratio), 256: Timing(1, 2, ratio, ratio, high or ratio)}
    return Candidate(name, Interval(0.9, 0.8, 1.0), Interval(drop, drop, drop_high), size, flops, timings, TAKEN)


FP32 = candidate("fp32", size=1000)


def chosen(*others: Candidate, max_drop: float = 0.01, objective: str = "latency") -> str:
    return choose([FP32, *others], max_drop, objective).name


def test_fp32_wins_when_nothing_passes() -> None:
    assert chosen(candidate("inexact", drop_high=0.02, ratio=0.1), candidate("slow", ratio=1.2, size=1)) == "fp32"
    assert chosen() == "fp32"


def test_the_fastest_that_passes_wins() -> None:
    assert (
        chosen(candidate("fast", ratio=0.5), candidate("faster", ratio=0.4), candidate("fine", ratio=0.9)) == "faster"
    )


def test_latency_is_the_mean_over_batch_sizes() -> None:
    timings = {1: Timing(1, 1, 0.2, 0.2, 0.2), 256: Timing(1, 1, 0.9, 0.9, 0.9)}  # mean 0.55
    uneven = Candidate("uneven", Interval(0.9, 0.8, 1.0), Interval(0, 0, 0), 10, 1e6, timings, TAKEN)
    assert chosen(uneven, candidate("even", ratio=0.6)) == "uneven"
    assert chosen(uneven, candidate("even", ratio=0.5)) == "even"


@pytest.mark.parametrize("objective", ["latency", "bytes"])
def test_the_upper_bound_of_the_drop_decides_not_its_value(objective: str) -> None:
    risky = candidate("risky", drop=-0.5, drop_high=0.0101, ratio=0.1, size=1)
    safe = candidate("safe", drop=0.005, drop_high=0.01, ratio=0.5, size=2)
    assert chosen(risky, objective=objective) == "fp32"
    assert chosen(risky, safe, objective=objective) == "safe"
    assert objection(risky, 0.01, objective) == "may lose 0.0101, over max_drop 0.01"


def test_the_upper_bound_of_the_latency_ratio_at_the_worst_batch_decides() -> None:
    unsure = candidate("unsure", ratio=0.5, high=1.01, size=1)
    assert chosen(unsure) == "fp32"
    assert chosen(candidate("sure", ratio=0.5, high=1.0)) == "sure"
    assert objection(unsure, 0.01, "latency") == "up to 1.01 x the time of fp32 at batch 256"


def test_bytes_as_objective_allow_five_percent_more_time() -> None:
    small = candidate("small", ratio=0.9, high=1.05, size=10)
    assert chosen(small, objective="bytes") == "small"
    assert chosen(small, objective="latency") == "fp32"
    assert chosen(candidate("smaller", ratio=1.0, high=1.051, size=1), objective="bytes") == "fp32"


def test_the_smallest_that_passes_wins_when_bytes_are_the_objective() -> None:
    fast, small = candidate("fast", ratio=0.1, size=20), candidate("small", ratio=0.9, size=10)
    assert chosen(fast, small, objective="bytes") == "small"
    assert chosen(fast, small, objective="latency") == "fast"


def test_the_fewest_multiply_adds_that_pass_win_when_flops_are_the_objective() -> None:
    light, small = candidate("light", ratio=1.05, flops=1e5), candidate("small", ratio=0.1, size=10)
    assert chosen(light, small, objective="flops") == "light"
    assert chosen(candidate("slow", ratio=1.0, high=1.06, flops=1), objective="flops") == "fp32"


@pytest.mark.parametrize("objective", ["latency", "bytes", "flops"])
def test_a_tie_goes_to_fp32(objective: str) -> None:
    twin = candidate("a-twin")
    assert choose([twin, FP32], 0.01, objective).name == "fp32"
    assert choose([FP32, twin], 0.01, objective).name == "fp32"


def test_fp32_wins_unless_another_is_better_by_five_percent() -> None:
    assert chosen(candidate("barely", ratio=0.96)) == "fp32"
    assert chosen(candidate("clearly", ratio=0.95)) == "clearly"
    assert chosen(candidate("barely", size=960), objective="bytes") == "fp32"
    assert chosen(candidate("clearly", size=950), objective="bytes") == "clearly"


def test_of_about_equally_fast_variants_the_smaller_wins_in_any_order() -> None:
    fast, small = candidate("fast", ratio=0.50, size=20), candidate("small", ratio=0.52, size=10)
    assert chosen(fast, small) == chosen(small, fast) == "small"
    assert chosen(fast, candidate("slower", ratio=0.53, size=10)) == "fast"


def test_fp32_may_always_be_shipped() -> None:
    slow = candidate("fp32", drop_high=9, ratio=9)
    assert objection(slow, 0.0, "latency") is None
    assert choose([slow, candidate("worse", drop_high=9)], 0.0, "latency").name == "fp32"


def test_what_is_not_a_number_does_not_pass() -> None:
    assert chosen(candidate("broken", drop=math.nan, drop_high=math.nan, ratio=0.1)) == "fp32"
    assert chosen(candidate("unmeasured", ratio=math.nan, size=1)) == "fp32"


figures = st.tuples(st.integers(0, 3), st.integers(1, 3), st.integers(1, 3))


@settings(deadline=None)
@given(st.lists(figures, min_size=1, max_size=8))
def test_the_front_is_what_no_other_dominates(drawn: list[tuple[int, int, int]]) -> None:
    """Dominated: another is nowhere worse and somewhere better."""
    expected = set()
    for i, (drop, ratio, size) in enumerate(drawn):
        dominated = False
        for other_drop, other_ratio, other_size in drawn:
            nowhere_worse = other_drop <= drop and other_ratio <= ratio and other_size <= size
            somewhere_better = other_drop < drop or other_ratio < ratio or other_size < size
            dominated = dominated or (nowhere_worse and somewhere_better)
        if not dominated:
            expected.add(f"v{i}")
    candidates = [
        candidate(f"v{i}", drop=drop, ratio=float(ratio), size=size) for i, (drop, ratio, size) in enumerate(drawn)
    ]
    assert pareto_front(candidates) == expected
