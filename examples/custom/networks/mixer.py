"""An MLP-Mixer (Tolstikhin et al. 2021, arXiv:2105.01601) for small pictures, written as any torch module."""

from typing import Any

from torch import Tensor, nn


class Mixer(nn.Module):
    """Each row of pixels is a token; layers mix tokens, then values within a token, by turns."""

    def __init__(self, channels: int, height: int, width_px: int, outputs: int, *, width: int, layers: int) -> None:
        """`width` is the number of values of a token."""
        super().__init__()
        self.embed = nn.Linear(channels * width_px, width)
        self.tokens = nn.ModuleList(mix(height) for _ in range(layers))
        self.values = nn.ModuleList(mix(width) for _ in range(layers))
        self.head = nn.Linear(width, outputs)

    def forward(self, inputs: dict[str, Tensor]) -> Tensor:
        """{"image": (B, C, H, W)} -> (B, K) logits."""
        x = self.embed(inputs["image"].transpose(1, 2).flatten(2))
        for tokens, values in zip(self.tokens, self.values, strict=True):
            x = x + tokens(x.transpose(1, 2)).transpose(1, 2)
            x = x + values(x)
        logits: Tensor = self.head(x.mean(dim=1))
        return logits


def mix(size: int) -> nn.Sequential:
    """(..., size) -> (..., size)."""
    return nn.Sequential(nn.LayerNorm(size), nn.Linear(size, 2 * size), nn.GELU(), nn.Linear(2 * size, size))


def build(groups: dict[str, Any], outputs: int, width: int, layers: int) -> nn.Module:
    """Return the network; `groups` describes the prepared columns as build/prepare/schema.json does."""
    image = groups["image"]
    return Mixer(image["channels"], image["height"], image["width"], outputs, width=width, layers=layers)
