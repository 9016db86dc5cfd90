"""What encoders of padded sequences share: lengths, masks, pooling.

B sequences, T times, E values a time; a mask is (B, T) and true where a time is real, which the first ones are.
"""

import torch
from torch import Tensor, nn

from ann.models.wiring import Values, Wiring


def at_least_one(mask: Tensor) -> Tensor:
    """Let the first time of an empty sequence count as real, so that no softmax or mean is over nothing."""
    first = torch.arange(mask.shape[1], device=mask.device).unsqueeze(0) == 0
    return mask | (first & ~mask.any(dim=1, keepdim=True))


def lengths_of(mask: Tensor) -> Tensor:
    """Return (B,) how many times are real; every sequence has one at least."""
    return mask.sum(dim=1)


def reversed_within(x: Tensor, lengths: Tensor) -> Tensor:
    """Turn each (B, T, E) sequence round within its length; the padding stays where it is."""
    times = torch.arange(x.shape[1], device=x.device).unsqueeze(0)
    there = lengths.unsqueeze(1) - 1 - times
    index = torch.where(there >= 0, there, times)
    return x.gather(1, index.unsqueeze(2).expand(-1, -1, x.shape[2]))


def last_of(x: Tensor, lengths: Tensor) -> Tensor:
    """(B, T, E) -> (B, E) at the last real time."""
    index = (lengths - 1).view(-1, 1, 1).expand(-1, 1, x.shape[2])
    return x.gather(1, index).squeeze(1)


def mean_of(x: Tensor, mask: Tensor) -> Tensor:
    """(B, T, E) -> (B, E), the mean over real times; zeros where there is none."""
    weights = mask.to(x.dtype).unsqueeze(2)
    return (x * weights).sum(dim=1) / weights.sum(dim=1).clamp(min=1)


class AttentionPooling(nn.Module):
    """A mean whose weights are softmax(v . tanh(W x + b)) over real times (Bahdanau et al. 2015, arXiv:1409.0473)."""

    def __init__(self, width: int) -> None:
        """`width` is E."""
        super().__init__()
        self.inner, self.outer = nn.Linear(width, width), nn.Linear(width, 1, bias=False)

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        """(B, T, E), (B, T) -> (B, E)."""
        scores = self.outer(self.inner(x).tanh()).squeeze(2)
        weights = scores.masked_fill(~mask, torch.finfo(x.dtype).min).softmax(dim=1)
        return (x * weights.unsqueeze(2)).sum(dim=1)

    def wire(self, wiring: Wiring, x: Values, name: str) -> Values:
        """The scores have units of their own; the mean has those of `x`."""
        scores = wiring.through(wiring.through(x, f"{name}.inner", self.inner), f"{name}.outer", self.outer)
        wiring.seal(scores)
        return x
