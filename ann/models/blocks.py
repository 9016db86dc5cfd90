"""Hidden layers of dense networks: Linear, normalisation, activation, dropout."""

import math

from torch import Tensor, nn

from ann.models.activations import ACTIVATIONS
from ann.models.batchnorm import BatchNorm1d
from ann.models.dropout import Dropout
from ann.models.wiring import Values, Wiring

GROUPS = 8
"""Most groups of `group`; the number of units decides how many there are."""


def hidden_block(
    before: int,
    after: int,
    *,
    activation: str,
    norm: str,
    norm_position: str = "before",
    dropout: float = 0.0,
    dropout_kind: str = "auto",
) -> nn.Sequential:
    """(B, before) -> (B, after). `norm_position` is before or after the activation.

    BatchNorm right after the Linear layer would take a bias away again, so that layer has none.
    """
    biased = norm != "batch" or norm_position == "after"
    middle = [*norm_layers(norm, after), ACTIVATIONS[activation]()]
    if norm_position == "after":
        middle.reverse()
    dropped = [dropout_layer(dropout, dropout_kind, activation)] if dropout else []
    return nn.Sequential(nn.Linear(before, after, bias=biased), *middle, *dropped)


def norm_layers(norm: str, units: int) -> list[nn.Module]:
    """Return the normalisation of (B, units) that `norm` names, as a list of one layer or none.

    batch: Ioffe & Szegedy 2015 (arXiv:1502.03167); layer: Ba et al. 2016 (arXiv:1607.06450);
    group: Wu & He 2018 (arXiv:1803.08494).
    """
    if norm == "batch":
        return [BatchNorm1d(units)]
    if norm == "layer":
        return [nn.LayerNorm(units)]
    if norm == "group":
        return [nn.GroupNorm(group_count(units), units)]
    return []


def group_count(units: int) -> int:
    """Return the most groups, up to GROUPS, that divide the units: a group of a single unit would always be zero."""
    return max(count for count in range(1, GROUPS + 1) if count == 1 or (units % count == 0 and units > count))


def dropout_layer(p: float, kind: str, activation: str) -> nn.Module:
    """Return dropout of a share `p`; `auto` is alpha (Klambauer et al. 2017, arXiv:1706.02515) after selu."""
    if kind == "auto":
        kind = "alpha" if activation == "selu" else "standard"
    return nn.AlphaDropout(p) if kind == "alpha" else Dropout(p)


class Residual(nn.Module):
    """x + f(x) (He et al. 2016, arXiv:1512.03385); where the widths differ, x goes through a matrix."""

    def __init__(self, before: int, after: int, block: nn.Module) -> None:
        """`block` maps (B, before) to (B, after)."""
        super().__init__()
        self.block = block
        self.shortcut = nn.Identity() if before == after else nn.Linear(before, after, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """(B, before) -> (B, after)."""
        total: Tensor = self.shortcut(x) + self.block(x)
        return total

    def wire(self, wiring: Wiring, x: Values, name: str) -> Values:
        """Both ways end in the same units."""
        inner = wiring.through(x, f"{name}.block", self.block)
        return wiring.added(inner, wiring.through(x, f"{name}.shortcut", self.shortcut))


def embedding_width(size: int, largest: int) -> int:
    """Return min(largest, ceil(1.6 size^0.56)), the rule of thumb of fastai's tabular models."""
    return min(largest, math.ceil(1.6 * size**0.56))
