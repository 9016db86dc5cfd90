"""The modern default for tables: embedded numbers, and an ensemble that shares its weights.

TabM-mini, Gorishniy et al. 2024 (arXiv:2410.24210): M members differ in how they scale what enters and in their heads,
and share all between. Each is trained on its own; their mean answers.
"""

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

from ann.models.blocks import embedding_width, hidden_block
from ann.models.initialisation import initialise, initialise_embeddings
from ann.models.numeric import Kind, numeric_embedding
from ann.models.units import under
from ann.models.wiring import UnitNetwork, Values, Wiring


class Tabular(UnitNetwork):
    """Embedded columns, M members over a shared perceptron, M heads.

    B rows, F numeric columns, C category columns, M members, K classes.
    """

    def __init__(
        self,
        *,
        width: int,
        sizes: list[int],
        outputs: int,
        hidden: list[int],
        members: int,
        numeric: Kind,
        bins: int,
        dimension: int,
        embedding: int,
        dropout: float,
        activation: str = "relu",
        answers: str = "classes",
    ) -> None:
        """`width` is F, `sizes` the ids of each category column, `dimension` the values that a number becomes.

        `answers` says what is averaged over members: probabilities of `classes` or of `labels`, or `numbers`.
        """
        super().__init__()
        self.members, self.mean = members, MEANS[answers]
        self.numeric = numeric_embedding(numeric, width, bins=bins, dimension=dimension) if width else None
        self.embeddings = nn.ModuleList(nn.Embedding(size, embedding_width(size, embedding)) for size in sizes)
        features = width * dimension + sum(embedding_width(size, embedding) for size in sizes)
        self.scales = nn.Parameter(torch.randint(2, (members, features)) * 2.0 - 1)
        self.blocks = nn.ModuleList(
            hidden_block(before, after, activation=activation, norm="none", dropout=dropout)
            for before, after in zip([features, *hidden[:-1]], hidden, strict=True)
        )
        bound = 1 / math.sqrt(hidden[-1])
        self.heads = nn.Parameter(torch.empty(members, hidden[-1], outputs).uniform_(-bound, bound))
        self.bias = nn.Parameter(torch.zeros(members, outputs))
        initialise_embeddings(self.embeddings)
        initialise(self.blocks.modules(), "auto", activation)

    def adapt(self, inputs: dict[str, Tensor]) -> None:
        """Set from training rows what is not learnt: the edges of piecewise-linear embeddings."""
        if self.numeric is not None:
            self.numeric.adapt(inputs["numeric"])

    def forward(self, inputs: dict[str, Tensor]) -> Tensor:
        """{"numeric": (B, F), "categorical": (B, C)} -> training (B, M, K), else (B, K): the members' mean."""
        parts = [] if self.numeric is None else [self.numeric(inputs["numeric"]).flatten(1)]
        parts += [embed(inputs["categorical"][:, column]) for column, embed in enumerate(self.embeddings)]
        x = torch.cat(parts, dim=1).unsqueeze(1) * self.scales
        for block in self.blocks:
            x = block(x)
        logits = torch.matmul(x.transpose(0, 1), self.heads).transpose(0, 1) + self.bias
        return logits if self.training else self.mean(logits)

    def wired(self, wiring: Wiring, name: str) -> Values:
        """Follow values from block to block, and to the heads of all members."""
        x = wiring.chain(Values(), under(name, "blocks"), self.blocks)
        wiring.read(x, under(name, "heads"), self.heads.shape[1])
        return Values()


def _mean_of_classes(logits: Tensor) -> Tensor:
    """(B, M, K) -> (B, K): log of the members' mean probability."""
    return functional.softmax(logits, dim=2).mean(dim=1).clamp_min(torch.finfo(logits.dtype).tiny).log()


def _mean_of_labels(logits: Tensor) -> Tensor:
    """(B, M, K) -> (B, K): log-odds of the members' mean probability."""
    tiny = torch.finfo(logits.dtype).tiny
    with_it, without = (torch.sigmoid(z).mean(dim=1).clamp_min(tiny).log() for z in (logits, -logits))
    return with_it - without


def _mean_of_numbers(outputs: Tensor) -> Tensor:
    """(B, M, K) -> (B, K)."""
    return outputs.mean(dim=1)


MEANS = {"classes": _mean_of_classes, "labels": _mean_of_labels, "numbers": _mean_of_numbers}
