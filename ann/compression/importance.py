"""How much a network needs each of its units."""

from collections.abc import Sequence
from copy import deepcopy
from typing import Literal, TypeAlias

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from ann.data.batches import TensorData
from ann.models.units import Part, UnitGroup
from ann.seeding import generator
from ann.training.losses import Loss

Importance: TypeAlias = Literal["norm", "taylor"]
SAMPLE, BATCH = 1024, 64
"""Training rows of which gradients are taken, and how many at once."""


def importance(
    network: nn.Module,
    groups: Sequence[UnitGroup],
    *,
    how: Importance = "norm",
    data: TensorData | None = None,
    loss: Loss | None = None,
    seed: int = 0,
) -> dict[str, Tensor]:
    """Return (count,) float64 numbers for each group, on the CPU; only within a group can they be compared.

    `data` holds training rows and `loss` is what they were trained by; a norm needs neither.

    Raises:
        ValueError: taylor is asked for without rows or without a loss.
    """
    if how == "norm":
        return {group.name: weight_norm(network, group) for group in groups}
    if data is None or loss is None:
        raise ValueError("importance: taylor takes gradients of training rows: give data and loss")
    return taylor(network, groups, data, loss, seed)


@torch.no_grad()
def weight_norm(network: nn.Module, group: UnitGroup) -> Tensor:
    """Return the norm of each unit's incoming weights times that of its outgoing ones: how much it can move what reads.

    BatchNorm's scale counts to the layer in front of it (Li et al. 2017, arXiv:1608.08710, extended to both sides).
    """
    state = network.state_dict()
    incoming: dict[str, Tensor] = {}  # squares by layer, in the order of the forward pass
    outgoing = torch.zeros(group.count, dtype=torch.float64)
    for part in group.parts:
        layer, _, kind = part.tensor.rpartition(".")
        module = network.get_submodule(layer)
        tensor = state[part.tensor].double()
        if part.outgoing:
            outgoing += _of_units(tensor.square(), part, group.count)
        elif tensor.ndim > 1:
            squares = _of_units(tensor.square(), part, group.count)
            incoming[layer] = incoming[layer] + squares if layer in incoming else squares
        elif kind == "weight" and incoming and isinstance(module, _BatchNorm) and module.running_var is not None:
            variance = module.running_var.double() + module.eps
            last = next(reversed(incoming))
            incoming[last] = incoming[last] * _of_units(tensor.square() / variance, part, group.count) / part.size
    total = torch.stack([*incoming.values()]).sum(dim=0) if incoming else torch.ones_like(outgoing)
    return (total.sqrt() * outgoing.sqrt()).cpu()


def taylor(
    network: nn.Module, groups: Sequence[UnitGroup], data: TensorData, loss: Loss, seed: int
) -> dict[str, Tensor]:
    """Return the square of what the loss changes when a unit is silenced, to first order, as a mean over batches.

    That is the sum of weight * gradient over all weights that read the unit, which is the loss's derivative by a
    factor before its value (Molchanov et al. 2019, arXiv:1906.10771, gates). Rows are a seeded sample, and the network
    is as in evaluation, without dropout.
    """
    judged = deepcopy(network).eval()
    read = {part.tensor for group in groups for part in group.parts if part.outgoing}
    weights = {name: tensor for name, tensor in judged.named_parameters() if name in read}
    for parameter in judged.parameters():
        parameter.requires_grad_(False)
    for weight in weights.values():
        weight.requires_grad_(True)
    total = {group.name: torch.zeros(group.count, dtype=torch.float64) for group in groups}
    batches = list(sample(data, seed).batches(BATCH))
    for batch in batches:
        with torch.backends.cudnn.flags(enabled=False):  # its recurrent layers have gradients in training mode alone
            value = loss(judged(batch.inputs), batch.target)
        slopes = torch.autograd.grad(value, list(weights.values()), allow_unused=True)
        changes = {
            name: (weight.detach() * slope).double().cpu()
            for (name, weight), slope in zip(weights.items(), slopes, strict=True)
            if slope is not None
        }
        for group in groups:
            parts = [part for part in group.parts if part.outgoing and part.tensor in changes]
            change = sum((_of_units(changes[part.tensor], part, group.count) for part in parts), start=torch.zeros(()))
            total[group.name] += change**2
    return {name: squares / len(batches) for name, squares in total.items()}


def sample(data: TensorData, seed: int) -> TensorData:
    """Return at most SAMPLE rows, drawn by the seed."""
    count = min(SAMPLE, len(data))
    rows = generator(seed, "importance").choice(len(data), size=count, replace=False)
    return data.rows(torch.from_numpy(rows).to(data.target.device))


def _of_units(tensor: Tensor, part: Part, count: int) -> Tensor:
    """Return the (count,) sums of a tensor over the places of each unit, on the CPU."""
    others = [dim for dim in range(tensor.ndim) if dim != part.dim]
    sums = tensor.sum(dim=others) if others else tensor
    return sums[part.start : part.start + count * part.size].view(count, part.size).sum(dim=1).cpu()
