"""What dense networks share: numbers, embedded categories and pixels in front, a Linear head behind."""

import torch
from torch import Tensor, nn

from ann.models.blocks import embedding_width
from ann.models.initialisation import initialise, initialise_embeddings
from ann.models.units import under
from ann.models.wiring import UnitNetwork, Values, Wiring


class ColumnNetwork(UnitNetwork):
    """Numbers, embedded categories and pixels side by side, `blocks` one after the other, a Linear head.

    B rows, F numbers (columns and pixels), C category columns, K classes. A subclass gives the blocks.
    """

    def __init__(self, *, width: int, sizes: list[int], outputs: int, embedding: int, pixels: int = 0) -> None:
        """`width` numeric columns, `sizes` the ids of each category column, `pixels` of an image.

        Without `pixels` images are left to other networks.
        """
        super().__init__()
        self.embeddings = nn.ModuleList(nn.Embedding(size, embedding_width(size, embedding)) for size in sizes)
        self.pixels = pixels
        self.features = width + pixels + sum(embedding_width(size, embedding) for size in sizes)
        self.outputs = outputs
        self.blocks = nn.ModuleList()

    def finish(self, units: int, initialisation: str, activation: str) -> None:
        """Add the head over `units` values, and draw all weights."""
        self.head = nn.Linear(units, self.outputs)
        initialise_embeddings(self.embeddings)
        initialise(self.blocks.modules(), initialisation, activation)
        initialise([self.head], initialisation, "linear")

    def forward(self, inputs: dict[str, Tensor]) -> Tensor:
        """{"numeric": (B, .) float, "categorical": (B, C) int64, "image": (B, ., H, W)}, each optional -> (B, K)."""
        x = self.joined(inputs)
        for block in self.blocks:
            x = block(x)
        logits: Tensor = self.head(x)
        return logits

    def wired(self, wiring: Wiring, name: str) -> Values:
        """Follow values from block to block, and through the head."""
        x = wiring.chain(wiring.fixed(self.features), under(name, "blocks"), self.blocks)
        return wiring.through(x, under(name, "head"), self.head)

    def joined(self, inputs: dict[str, Tensor]) -> Tensor:
        """Return the (B, features) values that enter the first block."""
        parts = [inputs["numeric"]] if "numeric" in inputs else []
        parts += [embed(inputs["categorical"][:, column]) for column, embed in enumerate(self.embeddings)]
        parts += [inputs["image"].flatten(1)] if self.pixels else []
        return torch.cat(parts, dim=1) if len(parts) > 1 else parts[0]
