"""All weights in one buffer, all gradients in another.

Clipping, the optimizer, averaging and the exchange between processes then are one pass each, where a list of tensors
needs one a tensor. The network's parameters become views into the buffers and keep their names and shapes.
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from ann.errors import StageError

ALIGNMENT = 16
"""Floats: each tensor starts on 64 bytes, which matrix products like."""


@dataclass(frozen=True)
class FlatParameters:
    """The trainable parameters of a network: matrices first, which decay, then biases, norms and other vectors."""

    weights: Tensor
    gradients: Tensor
    decaying: int
    """Length of the first part."""
    names: tuple[str, ...]
    parameters: tuple[nn.Parameter, ...]

    @classmethod
    def of(cls, network: nn.Module) -> "FlatParameters":
        """Move the parameters that need gradients into new buffers; the network's values do not change.

        Raises:
            StageError: nothing is trainable, or the parameters differ in type or device.
        """
        named = [(name, parameter) for name, parameter in network.named_parameters() if parameter.requires_grad]
        kinds = {(parameter.dtype, parameter.device) for _, parameter in named}
        if len(kinds) != 1:
            found = ", ".join(f"{dtype} on {device}" for dtype, device in sorted(kinds, key=str)) or "none"
            raise StageError(
                f"trainable parameters must be of one type on one device, found {found}: convert them before fitting"
            )
        ordered = sorted(named, key=lambda pair: pair[1].ndim < 2)  # stable: the network's order within each part
        starts, total, decaying = [], 0, 0
        for _, parameter in ordered:
            starts.append(total)
            total += -(-parameter.numel() // ALIGNMENT) * ALIGNMENT
            decaying = total if parameter.ndim >= 2 else decaying
        first = ordered[0][1]
        weights = torch.zeros(total, dtype=first.dtype, device=first.device)
        gradients = torch.zeros_like(weights)
        for start, (_, parameter) in zip(starts, ordered, strict=True):
            view = weights[start : start + parameter.numel()].view(parameter.shape)
            view.copy_(parameter.detach())
            parameter.data = view
            parameter.grad = gradients[start : start + parameter.numel()].view(parameter.shape)
        return cls(weights, gradients, decaying, *map(tuple, zip(*ordered, strict=True)))

    def release(self) -> None:
        """Give each parameter memory of its own again, and drop the gradients."""
        for parameter in self.parameters:
            parameter.data = parameter.data.clone()
            parameter.grad = None
