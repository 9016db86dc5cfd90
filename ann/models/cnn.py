"""Convolutional networks for images: plain stages, or residual ones."""

import math
from itertools import pairwise

import torch
from torch import Tensor, nn

from ann.models.blocks import dropout_layer, hidden_block
from ann.models.convolution import ResidualConvolution, convolution_block
from ann.models.initialisation import initialise
from ann.models.units import under
from ann.models.wiring import UnitNetwork, Values, Wiring


class ImageNetwork(UnitNetwork):
    """Blocks over images, then pooling over places (or none), dense layers, dropout, a Linear head.

    B images of C channels, H x W pixels; K classes. A subclass gives the blocks.
    """

    def __init__(self, blocks: list[nn.Module]) -> None:
        """`blocks` map (B, C, H, W) to (B, C', H', W')."""
        super().__init__()
        self.blocks = nn.ModuleList(blocks)

    def finish(
        self,
        units: int,
        *,
        pooled: bool,
        hidden: list[int],
        outputs: int,
        activation: str,
        norm: str,
        dropout: float,
        initialisation: str,
    ) -> None:
        """Add what follows the blocks, which end in `units` values an image, and draw all weights."""
        self.pool = nn.Sequential(nn.AdaptiveAvgPool2d(1) if pooled else nn.Identity(), nn.Flatten())
        self.dense = nn.Sequential(
            *(
                hidden_block(before, after, activation=activation, norm=norm, dropout=dropout)
                for before, after in pairwise([units, *hidden])
            )
        )
        self.dropout = dropout_layer(dropout, "auto", activation) if dropout and not hidden else nn.Identity()
        self.head = nn.Linear(hidden[-1] if hidden else units, outputs)
        initialise([*self.blocks.modules(), *self.dense.modules()], initialisation, activation)
        initialise([self.head], initialisation, "linear")

    def forward(self, inputs: dict[str, Tensor]) -> Tensor:
        """{"image": (B, C, H, W) float} -> (B, K) logits."""
        x = inputs["image"].contiguous(memory_format=torch.channels_last)  # a fifth faster on CPUs, pooling above all
        for block in self.blocks:
            x = block(x)
        logits: Tensor = self.head(self.dropout(self.dense(self.pool(x))))
        return logits

    def wired(self, wiring: Wiring, name: str) -> Values:
        """Follow channels from block to block, and values through the dense layers and the head."""
        x = wiring.chain(Values(), under(name, "blocks"), self.blocks)
        for part, module in (("pool", self.pool), ("dense", self.dense), ("head", self.head)):
            x = wiring.through(x, under(name, part), module)
        return x


class CNN(ImageNetwork):
    """Stages of 3x3 convolutions, each ended by a pooling that halves the sides."""

    def __init__(
        self,
        *,
        channels: int,
        height: int,
        width: int,
        outputs: int,
        stages: list[int],
        convolutions: int = 2,
        kernel: int = 3,
        pooling: str = "max",
        ending: str = "mean",
        hidden: list[int] | None = None,
        activation: str = "relu",
        norm: str = "batch",
        dropout: float = 0.1,
        initialisation: str = "auto",
    ) -> None:
        """`stages` holds the channels of each stage; `ending` is `mean` over places, or `flatten`."""
        halve = nn.MaxPool2d if pooling == "max" else nn.AvgPool2d
        blocks: list[nn.Module] = []
        for before, after in zip([channels, *stages[:-1]], stages, strict=True):
            inner = [after] * convolutions
            blocks.append(
                nn.Sequential(
                    *(
                        convolution_block(a, b, activation=activation, norm=norm, kernel=kernel)
                        for a, b in zip([before, *inner[:-1]], inner, strict=True)
                    ),
                    halve(2, ceil_mode=True),
                )
            )
        super().__init__(blocks)
        places = 1 if ending == "mean" else math.prod(-(-side // 2 ** len(stages)) for side in (height, width))
        self.finish(
            stages[-1] * places,
            pooled=ending == "mean",
            hidden=hidden or [],
            outputs=outputs,
            activation=activation,
            norm=norm,
            dropout=dropout,
            initialisation=initialisation,
        )


class ResNet(ImageNetwork):
    """A 3x3 stem, then stages of residual pairs; each stage but the first halves the sides."""

    def __init__(
        self,
        *,
        channels: int,
        height: int,
        width: int,
        outputs: int,
        stages: list[int],
        depth: int = 2,
        hidden: list[int] | None = None,
        activation: str = "relu",
        norm: str = "batch",
        dropout: float = 0.1,
        initialisation: str = "auto",
    ) -> None:
        """`stages` holds the channels of each stage, `depth` its residual pairs; any `height` and `width` will do."""
        del height, width  # places are averaged over
        blocks: list[nn.Module] = [convolution_block(channels, stages[0], activation=activation, norm=norm)]
        for number, (before, after) in enumerate(zip([stages[0], *stages[:-1]], stages, strict=True)):
            for pair in range(depth):
                stride = 2 if number and not pair else 1
                entering = before if not pair else after
                blocks.append(ResidualConvolution(entering, after, stride=stride, activation=activation, norm=norm))
        super().__init__(blocks)
        self.finish(
            stages[-1],
            pooled=True,
            hidden=hidden or [],
            outputs=outputs,
            activation=activation,
            norm=norm,
            dropout=dropout,
            initialisation=initialisation,
        )
