"""Networks over texts: embedded words, an encoder, a head.

B texts, T words of which the first are real, E values a word, U values that an encoder gives, K outputs.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from ann.models.activations import ACTIVATIONS
from ann.models.dropout import SpatialDropout
from ann.models.head import dense_head
from ann.models.initialisation import initialise, initialise_embeddings
from ann.models.recurrent import Recurrent
from ann.models.sequences import at_least_one, lengths_of, mean_of
from ann.models.transformer import Transformer
from ann.models.units import under
from ann.models.wiring import UnitNetwork, Values, Wiring

PADDING, UNKNOWN = 0, 1
"""Word ids."""


class Text(UnitNetwork):
    """Word ids -> embeddings -> one vector -> dropout, hidden layers, a Linear head; padding never counts."""

    def __init__(
        self,
        *,
        words: int,
        length: int,
        outputs: int,
        encoder: Mapping[str, Any],
        embedding: int = 128,
        word_dropout: float = 0.0,
        spatial_dropout: float = 0.0,
        hidden: Sequence[int] = (),
        activation: str = "relu",
        norm: str = "layer",
        dropout: float = 0.0,
    ) -> None:
        """`words` is the number of ids, `length` the greatest T; `encoder` holds a `name` and its settings."""
        super().__init__()
        settings = dict(encoder)
        self.word_dropout = WordDropout(word_dropout)
        self.embedding = nn.Embedding(words, embedding, padding_idx=PADDING)
        self.spatial_dropout = SpatialDropout(spatial_dropout)
        built: Any = ENCODERS[settings.pop("name")](embedding, length=length, **settings)
        self.encoder: nn.Module = built
        self.head = dense_head(built.units, hidden, outputs, activation=activation, norm=norm, dropout=dropout)
        initialise_embeddings([self.embedding])
        with torch.no_grad():
            self.embedding.weight[PADDING] = 0

    def forward(self, inputs: dict[str, Tensor]) -> Tensor:
        """{"text": (B, T) int64 word ids} -> (B, K)."""
        ids = inputs["text"]
        x = self.spatial_dropout(self.embedding(self.word_dropout(ids)))
        out: Tensor = self.head(self.encoder(x, ids != PADDING))
        return out

    def wired(self, wiring: Wiring, name: str) -> Values:
        """Follow values through encoder and head; embeddings stay as they are."""
        x = wiring.through(Values(), under(name, "encoder"), self.encoder)
        return wiring.through(x, under(name, "head"), self.head)


class WordDropout(nn.Module):
    """Take a share `p` of the words for unknown ones in training (Iyyer et al. 2015, Deep Averaging Networks)."""

    def __init__(self, p: float) -> None:
        super().__init__()
        self.p = p

    def forward(self, ids: Tensor) -> Tensor:
        """(B, T) -> the same; padding stays."""
        if not self.training or self.p == 0:
            return ids
        dropped = (torch.rand(ids.shape, device=ids.device) < self.p) & (ids != PADDING)
        return ids.masked_fill(dropped, UNKNOWN)

    def extra_repr(self) -> str:
        """Return what `print(network)` shows."""
        return f"p={self.p}"


class Mean(nn.Module):
    """The mean over real words (Iyyer et al. 2015), and beside it the greatest values where `pooling` is mean_max."""

    def __init__(self, width: int, *, pooling: str = "mean", length: int = 0) -> None:
        """`width` is E; any `length` will do."""
        super().__init__()
        del length
        self.greatest = pooling == "mean_max"
        self.units = 2 * width if self.greatest else width

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        """(B, T, E), (B, T) true where a word is real -> (B, U)."""
        mean = mean_of(x, mask)
        if not self.greatest:
            return mean
        return torch.cat([mean, greatest_of(x, at_least_one(mask))], dim=1)

    def wire(self, wiring: Wiring, x: Values, name: str) -> Values:
        """There are no units between the embeddings and their mean."""
        del name
        return wiring.seal(x)


class WindowCNN(nn.Module):
    """Convolutions over windows of words, and the greatest value of each over time (Kim 2014, arXiv:1408.5882).

    Only windows of real words count. A text that is shorter than a window has one, filled up with zeros.
    """

    def __init__(
        self, width: int, *, windows: Sequence[int], units: int, activation: str = "relu", length: int = 0
    ) -> None:
        """`width` is E, `windows` how many words each kind spans, `units` its channels; any `length` will do."""
        super().__init__()
        del length
        self.reaches = [window - 1 for window in windows]
        self.convolutions = nn.ModuleList(nn.Conv1d(width, units, window) for window in windows)
        self.activation = ACTIVATIONS[activation]()
        initialise(self.convolutions, "auto", activation)

    @property
    def units(self) -> int:
        """U, the channels of all windows."""
        return sum(len(convolution.get_parameter("weight")) for convolution in self.convolutions)

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        """(B, T, E), (B, T) true where a word is real -> (B, U)."""
        lengths = lengths_of(mask).unsqueeze(1)
        words = (x * mask.to(x.dtype).unsqueeze(2)).transpose(1, 2)
        times = torch.arange(x.shape[1], device=x.device).unsqueeze(0)
        parts = []
        for reach, convolution in zip(self.reaches, self.convolutions, strict=True):
            seen = self.activation(convolution(functional.pad(words, (0, reach)))).transpose(1, 2)
            parts.append(greatest_of(seen, times <= (lengths - reach - 1).clamp(min=0)))
        return torch.cat(parts, dim=1)

    def wire(self, wiring: Wiring, x: Values, name: str) -> Values:
        """The channels of each window have a group, side by side."""
        words = x.transposed()
        channels = (
            wiring.through(words, f"{name}.convolutions.{number}", convolution)
            for number, convolution in enumerate(self.convolutions)
        )
        return wiring.beside(*channels).transposed()


def greatest_of(x: Tensor, mask: Tensor) -> Tensor:
    """(B, T, E), (B, T) -> (B, E), the greatest value over the times of the mask, one at least."""
    return x.masked_fill(~mask.unsqueeze(2), torch.finfo(x.dtype).min).amax(dim=1)


class WordTransformer(Transformer):
    """A transformer over embeddings times sqrt(E), as in the paper: positions would drown them otherwise."""

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        """(B, T, E), (B, T) true where a word is real -> (B, U)."""
        return super().forward(x * math.sqrt(x.shape[2]), mask)


def _recurrent(cell: str, width: int, *, length: int, **settings: Any) -> Recurrent:
    del length
    return Recurrent(width, cell=cell, **settings)


def _transformer(width: int, *, length: int, **settings: Any) -> WordTransformer:
    return WordTransformer(width, longest=length, **settings)


ENCODERS: dict[str, Callable[..., nn.Module]] = {
    "cnn": WindowCNN,
    "gru": partial(_recurrent, "gru"),
    "lstm": partial(_recurrent, "lstm"),
    "mean": Mean,
    "transformer": _transformer,
}
