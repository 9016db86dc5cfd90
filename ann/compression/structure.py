"""Take units out of a network: every tensor loses their places, so that it really shrinks."""

from collections.abc import Mapping, Sequence
from copy import deepcopy

import torch
from torch import Tensor, nn

from ann.models.chains import groups_of
from ann.models.resizing import replace_tensors
from ann.models.units import UnitGroup


def without_units(
    network: nn.Module, removed: Mapping[str, Tensor], groups: Sequence[UnitGroup] | None = None
) -> nn.Module:
    """Return a copy without the units whose (n,) numbers `removed` gives by the name of their group.

    `groups` are those of `groups_of` where the network tells none itself, but an example is needed to find them.

    Raises:
        ValueError: a group is unknown, has no such unit, none would be left, or its blocks would not stay equal.
    """
    known = {group.name: group for group in (groups_of(network) if groups is None else groups)}
    if strange := sorted(removed.keys() - known.keys()):
        raise ValueError(f"the network has no group of units {strange[0]!r}; it has {', '.join(known)}")
    state = network.state_dict()
    kept: dict[tuple[str, int], Tensor] = {}
    for name, units in removed.items():
        group = known[name]
        staying = _staying(group, units)
        for part in group.parts:
            tensor = state[part.tensor]
            mask = kept.setdefault((part.tensor, part.dim), torch.ones(tensor.shape[part.dim], dtype=torch.bool))
            mask[part.start : part.start + group.count * part.size] &= staying.repeat_interleave(part.size)
    tensors: dict[str, Tensor] = {}
    for (name, dim), mask in kept.items():
        places = mask.nonzero().squeeze(1).to(state[name].device)
        tensors[name] = tensors.get(name, state[name]).index_select(dim, places)
    smaller = deepcopy(network)
    replace_tensors(smaller, tensors)
    return smaller


def _staying(group: UnitGroup, units: Tensor) -> Tensor:
    """Return (count,) whether each unit stays."""
    units = units.cpu().long()
    if len(units) and (int(units.min()) < 0 or int(units.max()) >= group.count):
        raise ValueError(f"{group.name} has units 0 to {group.count - 1}, not {units.tolist()}")
    staying = torch.ones(group.count, dtype=torch.bool)
    staying[units] = False
    left = staying.view(group.even, -1).sum(dim=1)
    if int(left.min()) == 0 or int(left.min()) != int(left.max()):
        raise ValueError(
            f"{group.name}: {left.tolist()} units would stay of its {group.even} blocks: "
            f"leave equally many of each, one at least"
        )
    return staying
