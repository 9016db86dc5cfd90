"""Structured pruning: whole units go, the least important ones, so tensors really shrink."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import cache
from operator import mul
from typing import Any, Literal, TypeAlias

import torch
from torch import Tensor, nn

from ann.compression.structure import without_units
from ann.errors import ConfigError
from ann.models.units import UnitGroup

Scope: TypeAlias = Literal["layer", "global"]
Plan: TypeAlias = tuple[int, ...]
"""How many sets of each rank go."""


def prune(
    network: nn.Module,
    ratio: float,
    *,
    groups: Sequence[UnitGroup],
    strengths: Mapping[str, Tensor],
    scope: Scope = "layer",
    of: str = "units",
    cost: Callable[[nn.Module], float] | None = None,
) -> nn.Module:
    """Return a smaller copy of `network` without the least important of its units.

    `strengths` are what `importance` returns. The scope `layer` takes the same share of every group; `global` takes the
    units that are weakest beside the mean of their group. For `of` units the ratio is a share of their number; for
    anything else so many go that cost(copy) / cost(network) is as near to 1 - ratio as can be. One unit of each group
    stays, and one of each block that must stay equal; two where a norm is over them.

    Raises:
        ConfigError: the cost does not fall that far even where no more units can go.
        ValueError: there is no `cost` for an `of` that needs one.
    """
    ranks = [Rank.of(group, strengths[group.name]) for group in groups]
    if of == "units":
        return _applied(network, ranks, _share_of_units(ranks, ratio, scope))
    if cost is None:
        raise ValueError(f"prune: a ratio of {of} needs a cost")
    plans = PLANS[scope](ranks)
    chosen = _share_of_cost(ratio, len(plans), cache(lambda number: cost(_applied(network, ranks, plans[number]))), of)
    return _applied(network, ranks, plans[chosen])


@dataclass(frozen=True)
class Rank:
    """The units of a group from the weakest on, as far as they can go; of each block one goes at a time."""

    group: UnitGroup
    sets: Tensor
    """(steps, even) numbers of the units that go together."""
    strengths: list[float]
    """Mean importance of each set beside the mean of the group."""

    @classmethod
    def of(cls, group: UnitGroup, strengths: Tensor) -> "Rank":
        """Order the units of each block; of equally strong ones the first stays."""
        blocks = strengths.double().view(group.even, -1)
        order = blocks.argsort(dim=1, descending=True, stable=True).flip(1)
        relative = blocks.gather(1, order).mean(dim=0) / blocks.mean().clamp(min=torch.finfo(torch.float64).tiny)
        firsts = torch.arange(group.even).unsqueeze(1) * blocks.shape[1]
        steps = group.removable // group.even
        return cls(group, (order + firsts).T[:steps], relative[:steps].tolist())

    @property
    def length(self) -> int:
        """Units of a block, which is as many sets as there would be if all could go."""
        return self.group.count // self.group.even


def _share_of_units(ranks: Sequence[Rank], ratio: float, scope: Scope) -> Plan:
    """Return the plan that comes nearest to a share of each group's units, or of all units."""
    if scope == "layer":
        return tuple(min(len(rank.sets), rank.length - max(1, round(rank.length * (1 - ratio)))) for rank in ranks)
    wanted = ratio * sum(rank.group.count for rank in ranks)
    evens = [rank.group.even for rank in ranks]
    return min(_weakest_first(ranks), key=lambda plan: abs(sum(map(mul, plan, evens)) - wanted))


def _share_of_cost(ratio: float, plans: int, cost: Callable[[int], float], of: str) -> int:
    """Return the number of the plan whose cost is nearest to the share 1 - ratio; it falls from plan to plan."""
    low, high = 0, plans - 1
    wanted = (1 - ratio) * cost(low)
    if cost(high) > wanted:
        greatest = math.floor(1000 * max(0.0, 1 - cost(high) / cost(low))) / 1000
        raise ConfigError(
            f"compress.recipes: prune cannot remove {ratio:.1%} of the {of}, since units of every layer must stay: "
            f"write a ratio of at most {greatest:g}"
        )
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if cost(middle) > wanted else (low, middle)
    return low if cost(low) - wanted < wanted - cost(high) else high


def _same_share(ranks: Sequence[Rank]) -> list[Plan]:
    """Return plans in which every group loses the same share, as nearly as whole sets allow.

    A group of n has lost j + 1 sets from the share (j + 1/2) / n on, where rounding turns.
    """
    return _growing(ranks, lambda rank, step: Fraction(2 * step + 1, 2 * rank.length))


def _weakest_first(ranks: Sequence[Rank]) -> list[Plan]:
    """Return plans that take the weakest sets of all groups."""
    return _growing(ranks, lambda rank, step: rank.strengths[step])


def _growing(ranks: Sequence[Rank], key: Callable[[Rank, int], Any]) -> list[Plan]:
    """Return plans, from no set on, each with one set more than the one before: that of the least key."""
    order = sorted((key(rank, step), number) for number, rank in enumerate(ranks) for step in range(len(rank.sets)))
    steps = [0] * len(ranks)
    plans = [tuple(steps)]
    for _, number in order:
        steps[number] += 1
        plans.append(tuple(steps))
    return plans


def _applied(network: nn.Module, ranks: Sequence[Rank], plan: Plan) -> nn.Module:
    chosen = [(rank, steps) for rank, steps in zip(ranks, plan, strict=True) if steps]
    removed = {rank.group.name: rank.sets[:steps].flatten() for rank, steps in chosen}
    return without_units(network, removed, [rank.group for rank in ranks])


PLANS: dict[Scope, Callable[[Sequence[Rank]], list[Plan]]] = {"layer": _same_share, "global": _weakest_first}
