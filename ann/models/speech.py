"""Networks over sounds: convolutions over log-mel frames, recurrent layers, attention.

B sounds, T frames of which the first are real, M mel bands, U values a time, K outputs.
"""

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn

from ann.models.activations import ACTIVATIONS
from ann.models.dropout import Dropout
from ann.models.head import dense_head
from ann.models.initialisation import initialise
from ann.models.recurrent import Recurrent
from ann.models.sequences import AttentionPooling, at_least_one, lengths_of
from ann.models.units import under
from ann.models.wiring import UnitNetwork, Values, Wiring


class Speech(UnitNetwork):
    """Convolutions that thin the frames out, bidirectional recurrent layers or none, attention over time, a head.

    Frames are normalised one by one, so padding never changes an answer, in training neither.
    """

    def __init__(
        self,
        *,
        mels: int,
        frames: int,
        outputs: int,
        channels: Sequence[int],
        kernel: int = 5,
        stride: int = 2,
        cell: str = "lstm",
        units: int = 128,
        layers: int = 1,
        hidden: Sequence[int] = (),
        activation: str = "relu",
        dropout: float = 0.0,
        output: str = "classes",
    ) -> None:
        """`mels` is M; any number of `frames` will do. `channels` holds those of each convolution.

        `output` is `classes`, or `sequence` for logits at each time that is left, which CTC needs.
        """
        super().__init__()
        del frames
        self.sequence = output == "sequence"
        self.stride = stride
        self.blocks = nn.ModuleList(
            FrameConvolution(before, after, kernel=kernel, stride=stride, activation=activation, dropout=dropout)
            for before, after in pairwise([mels, *channels])
        )
        self.recurrent = (
            None
            if cell == "none"
            else Recurrent(
                channels[-1],
                cell=cell,
                units=units,
                layers=layers,
                bidirectional=True,
                pooling="last",  # the states are pooled here
                dropout=dropout,
            )
        )
        width = channels[-1] if self.recurrent is None else self.recurrent.units
        self.attention = None if self.sequence else AttentionPooling(width)
        self.head = dense_head(width, hidden, outputs, activation=activation, norm="layer", dropout=dropout)

    def forward(self, inputs: dict[str, Tensor]) -> Tensor:
        """{"audio": (B, T, M), "audio_frames": (B,) int64} -> (B, K), or (B, T', K) for a sequence."""
        x, frames = inputs["audio"], inputs["audio_frames"]
        for block in self.blocks:
            x = block(x, real_frames(x, frames))
            frames = self._after_block(frames)
        mask = real_frames(x, frames)
        if self.recurrent is not None:
            x = self.recurrent.states(x, lengths_of(at_least_one(mask)))
        if self.attention is not None:
            x = self.attention(x, at_least_one(mask))
        out: Tensor = self.head(x)
        return out

    def wired(self, wiring: Wiring, name: str) -> Values:
        """Follow values from block to block, and through what there is behind them."""
        x = wiring.chain(Values(), under(name, "blocks"), self.blocks)
        for part, module in (("recurrent", self.recurrent), ("attention", self.attention), ("head", self.head)):
            if module is not None:
                x = wiring.through(x, under(name, part), module)
        return x

    def times_left(self, frames: Tensor) -> Tensor:
        """(B,) frames -> (B,) times of a sequence that are real, which CTC wants to know."""
        for _ in self.blocks:
            frames = self._after_block(frames)
        return frames

    def _after_block(self, frames: Tensor) -> Tensor:
        return (frames + self.stride - 1) // self.stride


class FrameConvolution(nn.Module):
    """A convolution over time, LayerNorm of each frame, activation, dropout."""

    def __init__(self, before: int, after: int, *, kernel: int, stride: int, activation: str, dropout: float) -> None:
        """`kernel` is odd, and zeros surround."""
        super().__init__()
        self.convolution = nn.Conv1d(before, after, kernel, stride, padding=kernel // 2)
        self.norm = nn.LayerNorm(after)
        self.activation = ACTIVATIONS[activation]()
        self.dropout = Dropout(dropout)
        initialise([self.convolution], "auto", activation)

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        """(B, T, before), (B, T) true where a frame is real -> (B, T / stride, after), rounded up."""
        frames = (x * mask.to(x.dtype).unsqueeze(2)).transpose(1, 2)
        out: Tensor = self.dropout(self.activation(self.norm(self.convolution(frames).transpose(1, 2))))
        return out

    def wire(self, wiring: Wiring, x: Values, name: str) -> Values:
        """Channels stand behind the frames outside, and in front of them in the convolution."""
        x = wiring.through(x.transposed(), f"{name}.convolution", self.convolution)
        return wiring.through(x.transposed(), f"{name}.norm", self.norm)


def real_frames(x: Tensor, frames: Tensor) -> Tensor:
    """(B, T, E), (B,) -> (B, T) true where a frame is real."""
    return torch.arange(x.shape[1], device=x.device).unsqueeze(0) < frames.unsqueeze(1)
