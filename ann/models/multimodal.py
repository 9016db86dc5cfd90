"""Networks over several kinds of columns: an encoder for each, and dense layers over all of them.

B rows, W values that each encoder gives, K outputs.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from ann.errors import ConfigError
from ann.models.cnn import CNN
from ann.models.head import dense_head
from ann.models.mlp import MLP
from ann.models.speech import Speech
from ann.models.text import Text
from ann.models.units import under
from ann.models.wiring import UnitNetwork, Values, Wiring


class Multimodal(UnitNetwork):
    """The family of each kind of column, whose outputs are normalised and put side by side, then a head."""

    def __init__(
        self,
        *,
        groups: Mapping[str, Mapping[str, Any]],
        outputs: int,
        columns: Mapping[str, Any],
        text: Mapping[str, Any],
        image: Mapping[str, Any],
        audio: Mapping[str, Any],
        width: int = 64,
        hidden: Sequence[int] = (),
        activation: str = "relu",
        norm: str = "layer",
        dropout: float = 0.0,
    ) -> None:
        """`groups` describes each column group; `columns`, `text`, `image` and `audio` are settings of their families.

        Raises:
            ConfigError: there is no column group that has an encoder.
        """
        super().__init__()
        self.encoders = nn.ModuleDict()
        if "numeric" in groups or "categorical" in groups:
            features, sizes = groups.get("numeric", {}).get("width", 0), groups.get("categorical", {}).get("sizes", [])
            layers = {**columns, "hidden": list(columns["hidden"])}
            self.encoders["columns"] = MLP(width=features, sizes=list(sizes), outputs=width, **layers)
        if "text" in groups:
            self.encoders["text"] = Text(**groups["text"], outputs=width, **text)
        if "image" in groups:
            stages = {**image, "stages": list(image["stages"])}
            self.encoders["image"] = CNN(**groups["image"], outputs=width, **stages)
        if "audio" in groups:
            self.encoders["audio"] = Speech(**groups["audio"], outputs=width, **audio)
        if not self.encoders:
            raise ConfigError(
                f"model.family multimodal has no encoder for {', '.join(groups) or 'no columns'}: "
                f"give it columns of numbers, categories, text, images or audio"
            )
        self.norms = nn.ModuleDict({name: nn.LayerNorm(width) for name in self.encoders})
        self.head = dense_head(
            width * len(self.encoders), hidden, outputs, activation=activation, norm=norm, dropout=dropout
        )

    def forward(self, inputs: dict[str, Tensor]) -> Tensor:
        """The groups that the network was made for -> (B, K)."""
        parts = [self.norms[name](encoder(inputs)) for name, encoder in self.encoders.items()]
        out: Tensor = self.head(torch.cat(parts, dim=1))
        return out

    def wired(self, wiring: Wiring, name: str) -> Values:
        """Follow values through the encoders, which lie side by side, and through the head."""
        parts = []
        for kind, encoder in self.encoders.items():
            assert isinstance(encoder, UnitNetwork)
            x = encoder.wired(wiring, under(name, f"encoders.{kind}"))
            parts.append(wiring.through(x, under(name, f"norms.{kind}"), self.norms[kind]))
        return wiring.through(wiring.beside(*parts), under(name, "head"), self.head)
