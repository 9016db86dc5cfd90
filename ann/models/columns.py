"""What dense networks over columns share: embeddings beside numbers in front, a Linear head behind."""

import torch
from torch import Tensor, nn

from ann.models.blocks import embedding_width
from ann.models.initialisation import initialise, initialise_embeddings


class ColumnNetwork(nn.Module):
    """Numbers and embedded categories side by side, `blocks` one after the other, a Linear head.

    B rows, F numeric columns, C category columns, K classes. A subclass gives the blocks.
    """

    def __init__(self, *, width: int, sizes: list[int], outputs: int, embedding: int) -> None:
        """`width` is F, `sizes` the number of ids of each category column."""
        super().__init__()
        self.embeddings = nn.ModuleList(nn.Embedding(size, embedding_width(size, embedding)) for size in sizes)
        self.features = width + sum(embedding_width(size, embedding) for size in sizes)
        self.outputs = outputs
        self.blocks = nn.ModuleList()

    def finish(self, units: int, initialisation: str, activation: str) -> None:
        """Add the head over `units` values, and draw all weights."""
        self.head = nn.Linear(units, self.outputs)
        initialise_embeddings(self.embeddings)
        initialise(self.blocks.modules(), initialisation, activation)
        initialise([self.head], initialisation, "linear")

    def forward(self, inputs: dict[str, Tensor]) -> Tensor:
        """{"numeric": (B, F) float, "categorical": (B, C) int64}, either may be absent -> (B, K) logits."""
        x = self.joined(inputs)
        for block in self.blocks:
            x = block(x)
        logits: Tensor = self.head(x)
        return logits

    def joined(self, inputs: dict[str, Tensor]) -> Tensor:
        """Return the (B, features) values that enter the first block."""
        parts = [inputs["numeric"]] if "numeric" in inputs else []
        parts += [embed(inputs["categorical"][:, column]) for column, embed in enumerate(self.embeddings)]
        return torch.cat(parts, dim=1) if len(parts) > 1 else parts[0]
