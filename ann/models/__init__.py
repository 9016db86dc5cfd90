"""Architectures, one a module, and how `model:` becomes a network."""

from torch import nn

from ann.config.model import ModelParams
from ann.models.mlp import MLP


def build_network(model: ModelParams, *, width: int, sizes: list[int], num_classes: int) -> nn.Module:
    """Return a freshly initialised network; torch's global generator decides the weights.

    `width` is the number of numeric columns, `sizes` the number of ids of each category column.
    """
    settings = model.model_dump(exclude={"family"})
    settings["hidden"] = list(model.hidden)
    return FAMILIES[model.family](width=width, sizes=sizes, num_classes=num_classes, **settings)


FAMILIES: dict[str, type[MLP]] = {"mlp": MLP}
