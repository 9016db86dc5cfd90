"""A multilayer perceptron over numeric columns and embedded categories."""

from typing import Any

from torch import nn

from ann.models.blocks import hidden_block
from ann.models.columns import ColumnNetwork


class MLP(ColumnNetwork):
    """Embeddings beside numbers, then hidden layers of Linear, norm, activation, dropout, then a Linear head."""

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
        """`hidden` holds the units of each hidden layer; `style` is what else `hidden_block` takes."""
        super().__init__(width=width, sizes=sizes, outputs=outputs, embedding=embedding, pixels=pixels)
        self.blocks = nn.ModuleList(
            hidden_block(before, after, activation=activation, norm=norm, **style)
            for before, after in zip([self.features, *hidden[:-1]], hidden, strict=True)
        )
        self.finish(hidden[-1], initialisation, activation)
