"""Blocks of convolutional networks: convolution, normalisation, activation; residual pairs of them."""

from torch import Tensor, nn

from ann.models.activations import ACTIVATIONS
from ann.models.blocks import group_count
from ann.models.wiring import Values, Wiring


def convolution_block(
    before: int, after: int, *, activation: str, norm: str, kernel: int = 3, stride: int = 1
) -> nn.Sequential:
    """(B, before, H, W) -> (B, after, H / stride, W / stride), rounded up; `kernel` is odd and zeros surround."""
    layers: list[nn.Module] = [
        nn.Conv2d(before, after, kernel, stride, padding=kernel // 2, bias=norm == "none"),
        *channel_norm(norm, after),
        ACTIVATIONS[activation](),
    ]
    return nn.Sequential(*layers)


def channel_norm(norm: str, channels: int) -> list[nn.Module]:
    """Return the normalisation of (B, channels, H, W) that `norm` names, as a list of one layer or none.

    `layer` is over all channels and places of an image (a group norm of one group).
    """
    if norm == "batch":
        return [nn.BatchNorm2d(channels)]
    if norm in ("group", "layer"):
        return [nn.GroupNorm(group_count(channels) if norm == "group" else 1, channels)]
    return []


class ResidualConvolution(nn.Module):
    """Two 3x3 convolutions added to what enters them (He et al. 2016, arXiv:1512.03385).

    Where channels or size change, a 1x1 convolution of the same stride takes the shortcut along.
    """

    def __init__(self, before: int, after: int, *, stride: int, activation: str, norm: str) -> None:
        """`stride` is that of the first convolution."""
        super().__init__()
        self.block = nn.Sequential(
            convolution_block(before, after, activation=activation, norm=norm, stride=stride),
            nn.Conv2d(after, after, 3, padding=1, bias=norm == "none"),
            *channel_norm(norm, after),
        )
        same = before == after and stride == 1
        self.shortcut = (
            nn.Identity()
            if same
            else nn.Sequential(nn.Conv2d(before, after, 1, stride, bias=norm == "none"), *channel_norm(norm, after))
        )
        self.activation = ACTIVATIONS[activation]()

    def forward(self, x: Tensor) -> Tensor:
        """(B, before, H, W) -> (B, after, H / stride, W / stride)."""
        total: Tensor = self.activation(self.shortcut(x) + self.block(x))
        return total

    def wire(self, wiring: Wiring, x: Values, name: str) -> Values:
        """Both ways end in the same channels."""
        inner = wiring.through(x, f"{name}.block", self.block)
        return wiring.added(inner, wiring.through(x, f"{name}.shortcut", self.shortcut))
