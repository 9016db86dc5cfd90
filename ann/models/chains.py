"""The groups of units of any network: those that it tells itself, or those between the layers of its nn.Sequentials."""

from collections import Counter
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn

from ann.errors import ConfigError
from ann.models.units import UnitGroup
from ann.models.wiring import Values, Wiring


def groups_of(network: nn.Module, example: dict[str, Tensor] | None = None) -> list[UnitGroup]:
    """Return the groups of units that can be removed; `example` are inputs of a few rows, as in `chain_groups`.

    Raises:
        ConfigError: there are none.
    """
    if groups := told_or_found(network, example):
        return groups
    if _tells(network):
        raise ConfigError(
            f"compress.recipes: this {type(network).__name__} has no hidden units to remove: leave prune out"
        )
    raise ConfigError(
        f"compress.recipes: {type(network).__name__} has no hidden layers inside an nn.Sequential of plain layers: "
        f"give it a method unit_groups that tells which units can be removed, or leave prune out"
    )


def told_or_found(network: nn.Module, example: dict[str, Tensor] | None = None) -> list[UnitGroup]:
    """Return the groups that the network's method `unit_groups` tells, without it those of `chain_groups`."""
    if _tells(network):
        told: Any = network
        return list(told.unit_groups())
    return chain_groups(network, example)


def _tells(network: nn.Module) -> bool:
    return callable(getattr(network, "unit_groups", None))


def chain_groups(network: nn.Module, example: dict[str, Tensor] | None = None) -> list[UnitGroup]:
    """Return the units between the layers of plain nn.Sequentials: Linear, Conv, norms, activations, pooling, Flatten.

    With inputs as `example` only those are taken that the network calls as a whole: the values inside the others may
    go elsewhere. Without, all are, which is right where the network is only to take the shapes of saved weights.
    """
    calls = None if example is None else _calls(network, example)
    tied = _tied(network)
    wiring = Wiring()
    for name, chain in _outermost(network):
        _follow(wiring, name, chain, calls)
    return [group for group in wiring.groups() if not any(part.tensor in tied for part in group.parts)]


def _follow(wiring: Wiring, name: str, chain: nn.Module, calls: Counter[nn.Module] | None) -> None:
    if calls is None or _whole(chain, calls):
        wiring.seal(wiring.through(Values(), name, chain))
        return
    for child, module in chain.named_children():
        if _plain(module):
            _follow(wiring, f"{name}.{child}", module, calls)


def _outermost(network: nn.Module) -> Iterator[tuple[str, nn.Module]]:
    """Yield the plain nn.Sequentials that stand in no other, with their paths."""
    inside = {child for module in network.modules() if _plain(module) for child in module.children()}
    yield from ((name, module) for name, module in network.named_modules() if _plain(module) and module not in inside)


def _plain(module: nn.Module) -> bool:
    return type(module).forward is nn.Sequential.forward


def _whole(chain: nn.Module, calls: Counter[nn.Module]) -> bool:
    """Say whether every layer was called by its nn.Sequential alone."""
    return calls[chain] > 0 and all(
        calls[child] == calls[chain] and (not _plain(child) or _whole(child, calls)) for child in chain.children()
    )


def _calls(network: nn.Module, example: dict[str, Tensor]) -> Counter[nn.Module]:
    """Return how often a forward pass calls each module."""
    calls: Counter[nn.Module] = Counter()
    hooks = [module.register_forward_pre_hook(lambda module, _: calls.update([module])) for module in network.modules()]
    training = network.training
    try:
        with torch.no_grad():
            network.eval()(example)
    finally:
        network.train(training)
        for hook in hooks:
            hook.remove()
    return calls


def _tied(network: nn.Module) -> set[str]:
    """Return the names of parameters that have several."""
    named = list(network.named_parameters(remove_duplicate=False))
    uses = Counter(id(parameter) for _, parameter in named)
    return {name for name, parameter in named if uses[id(parameter)] > 1}
