"""Which nodes stay in float: the worst ones, as few as the budget allows."""

from collections.abc import Set

import onnx
import pytest
from onnx import helper

from ann.compression.sensitivity import MOST_RANKED, float_layers

COSTS = {"a": 0.01, "b": 0.5, "c": 0.0, "d": 0.2}
"""What quantizing each node loses; they add up."""


class Bench:
    """Graphs that remember which nodes are quantized."""

    def __init__(self, costs: dict[str, float]) -> None:
        self.costs = costs
        self.made: list[frozenset[str]] = []

    def quantize(self, exclude: Set[str]) -> onnx.ModelProto:
        self.made.append(frozenset(exclude))
        kept = sorted(set(self.costs) - set(exclude))
        return helper.make_model(helper.make_graph([], "+".join(kept), [], []))

    def drop(self, model: onnx.ModelProto) -> float:
        return sum(self.costs[name] for name in model.graph.name.split("+"))


@pytest.mark.parametrize(
    ("budget", "excluded"), [(1.0, ()), (0.3, ("b",)), (0.22, ("b",)), (0.05, ("b", "d")), (0.0, ("a", "b", "d"))]
)
def test_the_worst_go_back_to_float_until_the_budget_holds(budget: float, excluded: tuple[str, ...]) -> None:
    bench = Bench(COSTS)
    model, found = float_layers(bench.quantize, list(COSTS), bench.drop, budget)
    assert found == excluded
    assert bench.drop(model) <= budget
    assert set(model.graph.name.split("+")) == set(COSTS) - set(excluded)


def test_nothing_is_ranked_where_the_budget_holds_at_once() -> None:
    bench = Bench(COSTS)
    float_layers(bench.quantize, list(COSTS), bench.drop, 1.0)
    assert bench.made == [frozenset()]


def test_a_budget_that_cannot_be_held_gives_the_whole_graph_in_few_bits() -> None:
    bench = Bench({"a": 0.5, "b": 0.5})
    model, found = float_layers(bench.quantize, ["a", "b"], bench.drop, 0.1)
    assert (model.graph.name, found) == ("a+b", ())
    assert frozenset({"a", "b"}) not in bench.made


def test_one_node_alone_cannot_go_back() -> None:
    bench = Bench({"a": 0.5})
    assert float_layers(bench.quantize, ["a"], bench.drop, 0.1)[1] == ()


def test_errors_decide_the_order_where_they_are_given() -> None:
    bench = Bench({"a": 0.3, "b": 0.3, "c": 0.3})
    errors = {"a": 1.0, "b": 3.0, "c": 2.0}
    _, found = float_layers(
        bench.quantize, list("abc"), bench.drop, 0.3, lambda model: errors.get(model.graph.name, 9.0)
    )
    assert found == ("b", "c")


def test_equal_nodes_go_in_their_order_and_a_nan_holds_no_budget() -> None:
    bench = Bench({"a": 0.3, "b": 0.3, "c": 0.3})
    assert float_layers(bench.quantize, list("abc"), bench.drop, 0.6)[1] == ("a",)
    assert float_layers(bench.quantize, list("abc"), lambda model: float("nan"), 0.6)[1] == ()


def test_a_long_network_is_ranked_by_runs_of_neighbours() -> None:
    names = [f"n{number:03}" for number in range(2 * MOST_RANKED)]
    bench = Bench({name: float(name in ("n006", "n007")) for name in names})
    _, found = float_layers(bench.quantize, names, bench.drop, 0.5)
    assert found == ("n006", "n007")
    assert len(bench.made) == 1 + MOST_RANKED + 1
