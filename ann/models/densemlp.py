"""A multilayer perceptron whose hidden layers see all that came before them (Huang et al. 2017, arXiv:1608.06993)."""

from itertools import accumulate
from typing import Any

import torch
from torch import Tensor, nn

from ann.models.blocks import hidden_block
from ann.models.columns import ColumnNetwork
from ann.models.wiring import Values, Wiring


class DenseMLP(ColumnNetwork):
    """Each hidden layer's output is put beside its input, and the head sees everything."""

    def __init__(
        self,
        *,
        width: int,
        sizes: list[int],
        outputs: int,
        hidden: list[int],
        activation: str = "relu",
        norm: str = "layer",
        embedding: int = 16,
        pixels: int = 0,
        initialisation: str = "auto",
        **style: Any,
    ) -> None:
        """`hidden` holds the units that each layer adds; `style` is what else `hidden_block` takes."""
        super().__init__(width=width, sizes=sizes, outputs=outputs, embedding=embedding, pixels=pixels)
        widths = list(accumulate([self.features, *hidden]))
        self.blocks = nn.ModuleList(
            Beside(hidden_block(before, after, activation=activation, norm=norm, **style))
            for before, after in zip(widths[:-1], hidden, strict=True)
        )
        self.finish(widths[-1], initialisation, activation)


class Beside(nn.Module):
    """x and f(x) side by side."""

    def __init__(self, block: nn.Module) -> None:
        """`block` maps (B, before) to (B, after)."""
        super().__init__()
        self.block = block

    def forward(self, x: Tensor) -> Tensor:
        """(B, before) -> (B, before + after)."""
        return torch.cat([x, self.block(x)], dim=1)

    def wire(self, wiring: Wiring, x: Values, name: str) -> Values:
        """What entered stays in front."""
        return wiring.beside(x, wiring.through(x, f"{name}.block", self.block))
