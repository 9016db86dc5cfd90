"""Transformer encoders of padded sequences (Vaswani et al. 2017, arXiv:1706.03762).

B sequences, T times, E values a time; a mask is (B, T) and true where a time is real.
"""

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

from ann.models.activations import ACTIVATIONS
from ann.models.sequences import at_least_one, mean_of
from ann.models.units import Part
from ann.models.wiring import Values, Wiring


class Attention(nn.Module):
    """Multi-head self-attention; in_proj and out_proj are those of torch's nn.MultiheadAttention."""

    def __init__(self, width: int, heads: int, dropout: float) -> None:
        """`width` is E, a multiple of `heads`."""
        super().__init__()
        self.size, self.dropout = width // heads, dropout
        self.in_proj = nn.Linear(width, 3 * width)
        self.out_proj = nn.Linear(width, width)

    @property
    def heads(self) -> int:
        """Heads, each of `size` values."""
        return self.out_proj.in_features // self.size

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        """(B, T, E), (B, T) -> (B, T, E); what stands at a padded time means nothing."""
        q, k, v = (
            part.unflatten(2, (self.heads, self.size)).transpose(1, 2) for part in self.in_proj(x).chunk(3, dim=2)
        )
        p = self.dropout if self.training else 0.0
        seen = functional.scaled_dot_product_attention(q, k, v, attn_mask=mask[:, None, None, :], dropout_p=p)
        out: Tensor = self.out_proj(seen.transpose(1, 2).flatten(2))
        return out

    def wire(self, wiring: Wiring, x: Values, name: str) -> Values:
        """A unit is a head: its queries, keys and values."""
        wiring.read(x, f"{name}.in_proj.weight", self.in_proj.in_features)
        width = self.heads * self.size
        parts = [
            Part(f"{name}.in_proj.{tensor}", 0, start, self.size)
            for tensor in ("weight", "bias")
            for start in range(0, 3 * width, width)
        ]
        seen = wiring.made(name, self.heads, parts, width=width)
        return wiring.through(seen, f"{name}.out_proj", self.out_proj)


class EncoderBlock(nn.Module):
    """Attention, then two Linear layers, each added to its input; normalised before (`pre`) or after (`post`)."""

    def __init__(self, width: int, *, heads: int, inner: int, norm: str, activation: str, dropout: float) -> None:
        """`inner` is the width between the two Linear layers."""
        super().__init__()
        self.pre = norm == "pre"
        self.attention = Attention(width, heads, dropout)
        self.dense = nn.Sequential(nn.Linear(width, inner), ACTIVATIONS[activation](), nn.Linear(inner, width))
        self.first, self.second = nn.LayerNorm(width), nn.LayerNorm(width)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        """(B, T, E), (B, T) -> (B, T, E)."""
        if self.pre:
            x = x + self.dropout(self.attention(self.first(x), mask))
            return x + self.dropout(self.dense(self.second(x)))
        x = self.first(x + self.dropout(self.attention(x, mask)))
        out: Tensor = self.second(x + self.dropout(self.dense(x)))
        return out

    def wire(self, wiring: Wiring, x: Values, name: str) -> Values:
        """Everything is added to the E values, which stay."""
        wiring.seal(x)
        for part, module in (("attention", self.attention), ("dense", self.dense)):
            wiring.seal(wiring.through(Values(), f"{name}.{part}", module))
        return Values()


class Transformer(nn.Module):
    """Positions are added, blocks follow, and the mean over real times comes out."""

    def __init__(
        self,
        width: int,
        *,
        heads: int,
        layers: int,
        inner: int,
        norm: str,
        positions: str,
        longest: int,
        activation: str,
        dropout: float,
    ) -> None:
        """`width` is E; `positions` is `sinusoidal` or `learned`, for at most `longest` times."""
        super().__init__()
        self.units = width
        table = sinusoids(longest, width)
        if positions == "learned":
            self.positions = nn.Parameter(torch.empty_like(table).normal_(std=0.02))
        else:
            self.register_buffer("positions", table, persistent=False)
        self.blocks = nn.ModuleList(
            EncoderBlock(width, heads=heads, inner=inner, norm=norm, activation=activation, dropout=dropout)
            for _ in range(layers)
        )
        self.norm = nn.LayerNorm(width) if norm == "pre" else nn.Identity()
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        """(B, T, E), (B, T) -> (B, E)."""
        seen = at_least_one(mask)
        x = self.dropout(x + self.positions[: x.shape[1]])
        for block in self.blocks:
            x = block(x, seen)
        return mean_of(self.norm(x), seen)

    def wire(self, wiring: Wiring, x: Values, name: str) -> Values:
        """Follow values from block to block."""
        return wiring.chain(x, f"{name}.blocks", self.blocks)


def sinusoids(times: int, width: int) -> Tensor:
    """Return (times, width): sin(t / 10000^(2 i / width)) in even places, cos of the same in odd ones."""
    rates = torch.exp(torch.arange(0, width, 2, dtype=torch.float64) * (-math.log(10_000) / width))
    angles = torch.arange(times, dtype=torch.float64).unsqueeze(1) * rates
    table = torch.zeros(times, width, dtype=torch.float64)
    table[:, 0::2], table[:, 1::2] = angles.sin(), angles.cos()[:, : width // 2]
    return table.float()
