"""What follows an encoder: dropout, hidden layers, a Linear layer."""

from collections.abc import Sequence
from itertools import pairwise

from torch import nn

from ann.models.blocks import dropout_layer, hidden_block
from ann.models.initialisation import initialise


def dense_head(
    units: int, hidden: Sequence[int], outputs: int, *, activation: str, norm: str, dropout: float
) -> nn.Sequential:
    """(B, units) -> (B, outputs), weights drawn; `dropout` stands before every Linear layer."""
    dropped = [dropout_layer(dropout, "auto", activation)] if dropout else []
    blocks = [
        hidden_block(before, after, activation=activation, norm=norm, dropout=dropout)
        for before, after in pairwise([units, *hidden])
    ]
    last = nn.Linear(hidden[-1] if hidden else units, outputs)
    initialise([layer for block in blocks for layer in block], "auto", activation)
    initialise([last], "auto", "linear")
    return nn.Sequential(*dropped, *blocks, last)
