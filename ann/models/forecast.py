"""Networks over windows of series: the past of each channel in, the times ahead out.

B windows of L times and C channels; H times ahead, C' channels that are predicted, Q values for each.
N tracks of F values a time are what one map sees: the C' channels one by one (F = 1), or all together (N = 1, F = C).
M members of an ensemble.
"""

from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from ann.errors import ConfigError
from ann.models.blocks import hidden_block
from ann.models.initialisation import initialise
from ann.models.recurrent import Recurrent
from ann.models.transformer import EncoderBlock
from ann.models.units import under
from ann.models.wiring import UnitNetwork, Values, Wiring

EPSILON = 1e-5
"""Added to a window's variance, as in RevIN (Kim et al. 2022)."""


def forecast(
    *, length: int, lookbacks: Sequence[int] = (), normalise: str | Sequence[str] = "auto", **settings: Any
) -> nn.Module:
    """Return a network, or an ensemble of one for each of `lookbacks` and each way to `normalise`."""
    ways = [normalise] if isinstance(normalise, str) else normalise
    members: list[dict[str, Any]] = [
        {"length": times, "normalise": way} for times in lookbacks or [length] for way in ways
    ]
    if max(lookbacks, default=0) > length:
        raise ConfigError(
            f"model.lookbacks: a member that reads {max(lookbacks)} times does not fit into a window of {length}: "
            f"make it smaller, or data.windows.length longer"
        )
    return Forecasts(members, **settings) if len(members) > 1 else Forecast(**members[0], **settings)


class Forecasts(UnitNetwork):
    """Networks that differ in how far they look back and what they take from a window; their mean answers.

    Each is trained on its own. No choice is right for every season, and the mean of forecasts errs less than most of
    them (Bates & Granger 1969).
    """

    def __init__(self, members: Sequence[Mapping[str, Any]], **settings: Any) -> None:
        """`settings` are what the `members`, settings of a `Forecast` each, share."""
        super().__init__()
        self.members = len(members)
        self.networks = nn.ModuleList(Forecast(**member, **settings) for member in members)

    def forward(self, inputs: dict[str, Tensor]) -> Tensor:
        """{"series": (B, L, C)} -> training (B, M, H * C' * Q), else (B, H * C' * Q): the members' mean."""
        outputs = torch.stack([network(inputs) for network in self.networks], dim=1)
        return outputs if self.training else outputs.mean(dim=1)

    def wired(self, wiring: Wiring, name: str) -> Values:
        """Follow values through each network by itself."""
        found = []
        for number, network in enumerate(self.networks):
            assert isinstance(network, Forecast)
            found.append(network.wired(wiring, under(name, f"networks.{number}")))
        return wiring.beside(*found)


class Forecast(UnitNetwork):
    """Windows, normalised each by itself -> a map over time -> the normalisation taken back.

    Of a window that is longer than L the newest L times are read.
    """

    targets: Tensor

    def __init__(
        self,
        *,
        length: int,
        channels: int,
        horizon: int,
        targets: Sequence[int],
        outputs: int,
        head: Mapping[str, Any],
        normalise: str = "auto",
    ) -> None:
        """`length` is L, `channels` C, `horizon` H, `targets` the C' numbers of channels, `outputs` H * C' * Q.

        `head` holds a `name` and its settings.
        """
        super().__init__()
        settings = {"channels": "shared", **head}
        name, way = settings.pop("name"), settings.pop("channels")
        self.together = way == "together"
        self.length, self.horizon, self.predicted = length, horizon, len(targets)
        self.normalise = automatic(name) if normalise == "auto" else normalise
        self.register_buffer("targets", torch.tensor(targets), persistent=False)
        self.head = HEADS[name](
            tracks=1 if self.together else len(targets),
            length=length,
            values=channels if self.together else 1,
            outputs=outputs if self.together else outputs // len(targets),
            **({"individual": way == "individual"} if name in SEPARABLE else {}),
            **settings,
        )

    def forward(self, inputs: dict[str, Tensor]) -> Tensor:
        """{"series": (B, L, C)} -> (B, H * C' * Q), column (h * C' + c) * Q + q."""
        x = inputs["series"][:, -self.length :]
        offset, scale = window_scale(x, self.normalise)
        x = (x - offset) / scale
        if self.together:
            y = self.head(x.unsqueeze(1)).squeeze(1).unflatten(1, (self.horizon, self.predicted, -1))
        else:
            tracks = x.index_select(2, self.targets).transpose(1, 2).unsqueeze(3)
            y = self.head(tracks).unflatten(2, (self.horizon, -1)).transpose(1, 2)
        back = y * scale.index_select(2, self.targets).unsqueeze(3) + offset.index_select(2, self.targets).unsqueeze(3)
        return back.flatten(1)

    def wired(self, wiring: Wiring, name: str) -> Values:
        """Follow values through the head; one that is a matrix alone has no units."""
        return wiring.through(Values(), under(name, "head"), self.head)


def automatic(head: str) -> str:
    """Return what `auto` means: what PatchTST does before a transformer, what NLinear does before all others."""
    return "standard" if head == "transformer" else "last"


def window_scale(x: Tensor, normalise: str) -> tuple[Tensor, Tensor]:
    """(B, L, C) -> what is subtracted from each window and what it is divided by, (B, 1, C) each."""
    last = x[:, -1:]
    if normalise == "last":
        return last, torch.ones_like(last)
    if normalise == "standard":
        variance = x.var(dim=1, keepdim=True, correction=0)
        return x.mean(dim=1, keepdim=True), (variance + EPSILON).sqrt()
    return torch.zeros_like(last), torch.ones_like(last)


class Linear(nn.Module):
    """One matrix from the past to the times ahead."""

    def __init__(self, *, tracks: int, length: int, values: int, outputs: int, individual: bool = False) -> None:
        """`individual` gives every track a matrix of its own."""
        super().__init__()
        self.map = time_map(tracks, length * values, outputs, individual)

    def forward(self, x: Tensor) -> Tensor:
        """(B, N, L, F) -> (B, N, outputs)."""
        out: Tensor = self.map(x.flatten(2))
        return out


class DLinear(nn.Module):
    """One matrix for the trend, a moving average, and one for the rest (Zeng et al. 2023, arXiv:2205.13504)."""

    def __init__(
        self, *, tracks: int, length: int, values: int, outputs: int, individual: bool = False, kernel: int = 25
    ) -> None:
        """`kernel` is how many times the average spans, an odd number."""
        super().__init__()
        self.kernel = kernel
        self.seasonal = time_map(tracks, length * values, outputs, individual)
        self.trend = time_map(tracks, length * values, outputs, individual)

    def forward(self, x: Tensor) -> Tensor:
        """(B, N, L, F) -> (B, N, outputs)."""
        trend = moving_average(x, self.kernel)
        out: Tensor = self.seasonal((x - trend).flatten(2)) + self.trend(trend.flatten(2))
        return out


def moving_average(x: Tensor, kernel: int) -> Tensor:
    """(B, N, L, F) -> the same, the mean over `kernel` times around each; the ends are repeated beyond the window."""
    columns = x.transpose(2, 3)
    padded = functional.pad(columns.flatten(1, 2), (kernel // 2, kernel // 2), mode="replicate")
    return functional.avg_pool1d(padded, kernel, stride=1).view_as(columns).transpose(2, 3)


def time_map(tracks: int, before: int, after: int, individual: bool) -> nn.Module:
    """(B, N, before) -> (B, N, after), one matrix or one a track.

    It starts at zero: a window normalised by its last value begins with repeating it, and directions that the data
    does not decide stay without weight.
    """
    if individual:
        return TrackLinear(tracks, before, after)
    layer = nn.Linear(before, after)
    initialise([layer], "zeros", "linear")
    return layer


class TrackLinear(nn.Module):
    """A matrix for each track."""

    def __init__(self, tracks: int, before: int, after: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(tracks, before, after))
        self.bias = nn.Parameter(torch.zeros(tracks, after))

    def forward(self, x: Tensor) -> Tensor:
        """(B, N, before) -> (B, N, after)."""
        return torch.matmul(x.transpose(0, 1), self.weight).transpose(0, 1) + self.bias


class Dense(nn.Module):
    """Hidden layers over all times at once."""

    def __init__(
        self,
        *,
        tracks: int,
        length: int,
        values: int,
        outputs: int,
        hidden: Sequence[int],
        activation: str = "relu",
        norm: str = "none",
        dropout: float = 0.0,
    ) -> None:
        """`hidden` holds the units of each layer; `norm` is `layer` or `none`; any number of `tracks` will do."""
        super().__init__()
        del tracks
        self.blocks = nn.Sequential(
            *(
                hidden_block(before, after, activation=activation, norm=norm, dropout=dropout)
                for before, after in pairwise([length * values, *hidden])
            )
        )
        self.last = nn.Linear(hidden[-1], outputs)
        initialise(self.blocks.modules(), "auto", activation)
        initialise([self.last], "auto", "linear")

    def forward(self, x: Tensor) -> Tensor:
        """(B, N, L, F) -> (B, N, outputs)."""
        out: Tensor = self.last(self.blocks(x.flatten(2)))
        return out

    def wire(self, wiring: Wiring, x: Values, name: str) -> Values:
        """Follow values from block to block."""
        return wiring.through(wiring.through(x, f"{name}.blocks", self.blocks), f"{name}.last", self.last)


class RNN(nn.Module):
    """Recurrent layers over time, and a matrix from the last state."""

    def __init__(
        self,
        *,
        tracks: int,
        length: int,
        values: int,
        outputs: int,
        cell: str = "gru",
        units: int = 128,
        layers: int = 1,
        dropout: float = 0.0,
    ) -> None:
        """`units` are those of each layer; any `length` will do."""
        super().__init__()
        del length
        self.tracks = tracks
        self.recurrent = Recurrent(
            values, cell=cell, units=units, layers=layers, bidirectional=False, pooling="last", dropout=dropout
        )
        self.last = nn.Linear(units, outputs)
        initialise([self.last], "auto", "linear")

    def forward(self, x: Tensor) -> Tensor:
        """(B, N, L, F) -> (B, N, outputs)."""
        x = x.flatten(0, 1)
        state = self.recurrent(x, torch.ones_like(x[..., 0], dtype=torch.bool))
        out: Tensor = self.last(state).unflatten(0, (-1, self.tracks))
        return out

    def wire(self, wiring: Wiring, x: Values, name: str) -> Values:
        """Follow values from layer to layer."""
        return wiring.through(wiring.through(x, f"{name}.recurrent", self.recurrent), f"{name}.last", self.last)


class PatchTransformer(nn.Module):
    """Self-attention over patches of time (PatchTST, Nie et al. 2023, arXiv:2211.14730), with LayerNorm for BatchNorm.

    The last value is repeated for one stride more, so that the newest times stand in a full patch.
    """

    def __init__(
        self,
        *,
        tracks: int,
        length: int,
        values: int,
        outputs: int,
        patch: int = 16,
        stride: int = 8,
        width: int = 64,
        heads: int = 4,
        layers: int = 2,
        inner: int = 128,
        activation: str = "gelu",
        dropout: float = 0.0,
    ) -> None:
        """`patch` is P times, `stride` from one patch to the next, `width` E values a patch.

        Raises:
            ConfigError: a patch is longer than the window.
        """
        super().__init__()
        if patch > length:
            raise ConfigError(
                f"model.head.patch: a patch of {patch} times does not fit into a window of {length}: "
                f"make it smaller, or the window longer"
            )
        self.tracks, self.patch, self.stride = tracks, patch, stride
        count = (length - patch) // stride + 2
        self.embedding = nn.Linear(patch * values, width)
        self.positions = nn.Parameter(torch.empty(count, width).normal_(std=0.02))
        self.dropout = nn.Dropout(dropout)
        self.blocks = nn.ModuleList(
            EncoderBlock(width, heads=heads, inner=inner, norm="pre", activation=activation, dropout=dropout)
            for _ in range(layers)
        )
        self.norm = nn.LayerNorm(width)
        self.last = nn.Linear(count * width, outputs)
        initialise([self.embedding, self.last], "auto", "linear")

    def forward(self, x: Tensor) -> Tensor:
        """(B, N, L, F) -> (B, N, outputs)."""
        columns = functional.pad(x.flatten(0, 1).transpose(1, 2), (0, self.stride), mode="replicate")
        patches = columns.unfold(2, self.patch, self.stride).transpose(1, 2).flatten(2)
        seen = self.dropout(self.embedding(patches) + self.positions)
        real = torch.ones_like(seen[..., 0], dtype=torch.bool)
        for block in self.blocks:
            seen = block(seen, real)
        out: Tensor = self.last(self.norm(seen).flatten(1)).unflatten(0, (-1, self.tracks))
        return out

    def wire(self, wiring: Wiring, x: Values, name: str) -> Values:
        """Follow values from block to block; the E values of a patch stay."""
        return wiring.chain(wiring.seal(x), f"{name}.blocks", self.blocks)


SEPARABLE = ("dlinear", "linear")
"""Heads that may have a matrix for each track."""
HEADS: dict[str, Callable[..., nn.Module]] = {
    "dlinear": DLinear,
    "linear": Linear,
    "mlp": Dense,
    "rnn": RNN,
    "transformer": PatchTransformer,
}
