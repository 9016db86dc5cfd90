"""A multilayer perceptron whose hidden layers add to what enters them."""

from typing import Any

from torch import nn

from ann.models.blocks import Residual, hidden_block
from ann.models.columns import ColumnNetwork


class ResMLP(ColumnNetwork):
    """Residual blocks of two hidden layers each; a shortcut past a change of width is a matrix."""

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
        """`hidden` holds the units of each block; `style` is what else `hidden_block` takes."""
        super().__init__(width=width, sizes=sizes, outputs=outputs, embedding=embedding, pixels=pixels)
        settings = {"activation": activation, "norm": norm, **style}
        self.blocks = nn.ModuleList(
            Residual(
                before,
                after,
                nn.Sequential(hidden_block(before, after, **settings), hidden_block(after, after, **settings)),
            )
            for before, after in zip([self.features, *hidden[:-1]], hidden, strict=True)
        )
        self.finish(hidden[-1], initialisation, activation)
