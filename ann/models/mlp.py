"""A multilayer perceptron over numeric columns and embedded categories."""

import math

import torch
from torch import Tensor, nn

from ann.models.batchnorm import BatchNorm1d
from ann.models.dropout import Dropout

ACTIVATIONS: dict[str, type[nn.Module]] = {"relu": nn.ReLU, "gelu": nn.GELU, "silu": nn.SiLU, "tanh": nn.Tanh}


class MLP(nn.Module):
    """Embeddings beside numbers, then hidden layers of Linear, norm, activation, dropout, then a Linear head.

    B rows, F numeric columns, C category columns, K classes.
    """

    def __init__(
        self,
        *,
        width: int,
        sizes: list[int],
        num_classes: int,
        hidden: list[int],
        activation: str = "relu",
        norm: str = "layer",
        dropout: float = 0.1,
        embedding: int = 16,
    ) -> None:
        """`width` is F, `sizes` the number of ids of each category column."""
        super().__init__()
        self.embeddings = nn.ModuleList(nn.Embedding(size, embedding_width(size, embedding)) for size in sizes)
        features = width + sum(embedding_width(size, embedding) for size in sizes)
        self.blocks = nn.ModuleList(
            hidden_block(before, after, activation, norm, dropout)
            for before, after in zip([features, *hidden[:-1]], hidden, strict=True)
        )
        self.head = nn.Linear(hidden[-1], num_classes)
        self._initialise(activation)

    def forward(self, inputs: dict[str, Tensor]) -> Tensor:
        """{"numeric": (B, F) float, "categorical": (B, C) int64}, either may be absent -> (B, K) logits."""
        parts = [inputs["numeric"]] if "numeric" in inputs else []
        parts += [embed(inputs["categorical"][:, column]) for column, embed in enumerate(self.embeddings)]
        x = torch.cat(parts, dim=1) if len(parts) > 1 else parts[0]
        for block in self.blocks:
            x = block(x)
        logits: Tensor = self.head(x)
        return logits

    def _initialise(self, activation: str) -> None:
        """He et al. 2015 (arXiv:1502.01852) for rectifiers, else Glorot & Bengio 2010; zero biases."""
        for module in self.modules():
            if isinstance(module, nn.Linear):
                if activation == "tanh":
                    nn.init.xavier_uniform_(module.weight)
                else:
                    nn.init.kaiming_uniform_(module.weight, nonlinearity="relu")
                if module.bias is not None:
                    nn.init.zeros_(module.bias)
            elif isinstance(module, nn.Embedding):
                nn.init.normal_(module.weight, std=0.1)
        nn.init.xavier_uniform_(self.head.weight)


def hidden_block(before: int, after: int, activation: str, norm: str, dropout: float) -> nn.Sequential:
    """(B, before) -> (B, after); BatchNorm would take a bias away again, so the layer before it has none."""
    layers: list[nn.Module] = [nn.Linear(before, after, bias=norm != "batch")]
    if norm == "batch":
        layers.append(BatchNorm1d(after))
    elif norm == "layer":
        layers.append(nn.LayerNorm(after))
    layers.append(ACTIVATIONS[activation]())
    if dropout:
        layers.append(Dropout(dropout))
    return nn.Sequential(*layers)


def embedding_width(size: int, largest: int) -> int:
    """Return min(largest, ceil(1.6 size^0.56)), the rule of thumb of fastai's tabular models."""
    return min(largest, math.ceil(1.6 * size**0.56))
