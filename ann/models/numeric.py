"""Embeddings of numbers: each column becomes several values that a Linear layer can bend at will.

Both are from Gorishniy et al. 2022, On Embeddings for Numerical Features (arXiv:2203.05556).
B rows, F columns, D values a column.
"""

import math
from typing import Literal, TypeAlias

import torch
from torch import Tensor, nn

Kind: TypeAlias = Literal["piecewise", "periodic"]
BEYOND = 1.0
"""Widths of a bin: further out nothing grows, since a narrow outer bin would make a huge number of a distant value."""


class PiecewiseLinear(nn.Module):
    """Where x lies among its column's quantiles: bins below it are 1, bins above 0, its own the share that is passed.

    Then a matrix of each column's own. The first and last bin go on for as much again beyond the least and greatest
    value. `adapt` sets the quantiles from training rows; until then every bin is empty.
    """

    edges: Tensor
    floor: Tensor
    ceiling: Tensor

    def __init__(self, columns: int, bins: int, dimension: int) -> None:
        """`bins` is the number of steps of each column, `dimension` is D."""
        super().__init__()
        self.register_buffer("edges", torch.zeros(columns, bins + 1))
        floor, ceiling = torch.zeros(bins), torch.ones(bins)
        floor[0], ceiling[-1] = -BEYOND, 1 + BEYOND
        self.register_buffer("floor", floor, persistent=False)
        self.register_buffer("ceiling", ceiling, persistent=False)
        self.weight = nn.Parameter(torch.empty(columns, bins, dimension).normal_(std=1 / math.sqrt(bins)))
        self.bias = nn.Parameter(torch.zeros(columns, dimension))

    @torch.no_grad()
    def adapt(self, x: Tensor) -> None:
        """Take the quantiles of (N, F) training rows as edges.

        Where a frequent value stands for several quantiles, the edges that are left over are quantiles of the other
        values, each counted once. Fewer values than edges make empty bins, which stay 0.
        """
        for column, values in enumerate(x.double().unbind(dim=1)):
            self.edges[column] = _edges(values, self.edges.shape[1])

    def forward(self, x: Tensor) -> Tensor:
        """(B, F) -> (B, F, D)."""
        left, width = self.edges[:, :-1], self.edges.diff(dim=1)
        rate = torch.where(width == 0, 0, 1 / width)
        # In place: these are the passes over (B, F, bins), which cost as much as small matrix products.
        encoded = (x.unsqueeze(2) - left).mul_(rate).clamp_(self.floor, self.ceiling)
        return torch.matmul(encoded.transpose(0, 1), self.weight).transpose(0, 1) + self.bias


def _edges(values: Tensor, count: int) -> Tensor:
    """(N,) -> (count,) rising numbers; where there are not so many, the least is repeated."""
    ordered = values.sort().values
    found = torch.unique_consecutive(_quantiles(ordered, count))
    others = torch.unique_consecutive(ordered)
    others = others[~torch.isin(others, found)]
    if len(found) < count and len(others):
        found = torch.cat([found, _quantiles(others, min(count - len(found), len(others)))])
        found = torch.unique_consecutive(found.sort().values)
    return torch.cat([found[:1].expand(count - len(found)), found])


def _quantiles(ordered: Tensor, count: int) -> Tensor:
    """(N,) rising numbers -> (count,) quantiles at equal distances, interpolated; a single one is the median."""
    shares = torch.linspace(0, 1, count, dtype=torch.float64, device=ordered.device)
    places = (shares if count > 1 else shares.new_full((1,), 0.5)) * (len(ordered) - 1)
    low, part = places.floor().long(), places.frac()
    high = (low + 1).clamp(max=len(ordered) - 1)
    quantiles: Tensor = ordered[low] * (1 - part) + ordered[high] * part
    return quantiles


class Periodic(nn.Module):
    """sin and cos of learned frequencies, then a matrix that all columns share, and relu (PLR, lite)."""

    def __init__(self, columns: int, frequencies: int, dimension: int, sigma: float = 0.1) -> None:
        """Frequencies start normal with the deviation `sigma` a unit of x."""
        super().__init__()
        self.frequency = nn.Parameter(torch.empty(columns, frequencies).normal_(std=sigma))
        self.linear = nn.Linear(2 * frequencies, dimension)

    def adapt(self, x: Tensor) -> None:
        """Nothing is taken from the rows."""

    def forward(self, x: Tensor) -> Tensor:
        """(B, F) -> (B, F, D)."""
        angle = 2 * math.pi * self.frequency * x.unsqueeze(2)
        waves: Tensor = self.linear(torch.cat([angle.cos(), angle.sin()], dim=2)).relu()
        return waves


def numeric_embedding(kind: Kind, columns: int, *, bins: int, dimension: int) -> PiecewiseLinear | Periodic:
    """Return the embedding that `kind` names; `bins` is the number of steps or of frequencies."""
    if kind == "piecewise":
        return PiecewiseLinear(columns, bins, dimension)
    return Periodic(columns, bins, dimension)
