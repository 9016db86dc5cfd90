"""Dropout whose masks cost little on a CPU."""

import torch
from torch import Tensor, nn

LEVELS = 1 << 16
"""A mask is decided by 16 random bits, so the share dropped is exact to 1/65536."""


class Dropout(nn.Module):
    """Inverted dropout (Srivastava et al. 2014): zero a share `p` of the values, enlarge the others by 1 / (1 - p).

    torch draws one number a value, and on a CPU that takes longer than small matrix products. Here one 64-bit number
    decides four values, from the same global generator.
    """

    def __init__(self, p: float) -> None:
        """`p` is rounded to the nearest 1/65536."""
        super().__init__()
        dropped = round(p * LEVELS)
        self.p = p
        self._threshold = dropped - LEVELS // 2
        self._scale = LEVELS / (LEVELS - dropped)
        self._words = torch.empty(0, dtype=torch.int64)
        """Memory that each mask's random words use again."""

    def forward(self, x: Tensor) -> Tensor:
        """Any shape -> the same; nothing changes in evaluation mode."""
        if not self.training or self.p == 0:
            return x
        return x * self._mask(x)

    def extra_repr(self) -> str:
        """Return what `print(network)` shows."""
        return f"p={self.p}"

    def _mask(self, x: Tensor) -> Tensor:
        words = (x.numel() + 3) // 4
        if len(self._words) != words or self._words.device != x.device:
            self._words = torch.empty(words, dtype=torch.int64, device=x.device)
        bits = self._words.random_(-(2**63), None).view(torch.int16)
        bits = bits.view(x.shape) if len(bits) == x.numel() else bits[: x.numel()].view(x.shape)
        kept = torch.ge(bits, self._threshold, out=torch.empty_like(x))  # 1.0 or 0.0 in one pass
        return kept.mul_(self._scale)


class SpatialDropout(Dropout):
    """Zero a share `p` of the channels of each sequence, at all its times (Tompson et al. 2015, arXiv:1411.4280)."""

    def forward(self, x: Tensor) -> Tensor:
        """(B, T, E) -> the same; nothing changes in evaluation mode."""
        if not self.training or self.p == 0:
            return x
        return x * self._mask(x[:, :1])
