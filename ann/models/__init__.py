"""Architectures, one a module, and how `model:` becomes a network."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from torch import nn

from ann.config.model import Architecture
from ann.data.target import Target
from ann.errors import ConfigError
from ann.models.cnn import CNN, ResNet
from ann.models.custom import custom_network
from ann.models.densemlp import DenseMLP
from ann.models.forecast import forecast
from ann.models.mlp import MLP
from ann.models.multimodal import Multimodal
from ann.models.pretrained import Pretrained
from ann.models.resmlp import ResMLP
from ann.models.speech import Speech
from ann.models.tabular import Tabular
from ann.models.text import Text

Groups = dict[str, Any]
"""Column groups of the prepared data and what a network must know of each, as schema.json holds them."""


@dataclass(frozen=True)
class Family:
    """An architecture: the column groups that it reads, and how it is built for them."""

    reads: tuple[str, ...]
    build: Callable[..., nn.Module]
    """(groups, target, **settings) -> a freshly initialised network."""


def build_network(model: Architecture, groups: Groups, target: Target, folder: Path | None = None) -> nn.Module:
    """Return a freshly initialised network; torch's global generator decides the weights.

    `folder` is the project's, where its own networks and files of weights are looked for.

    Raises:
        ConfigError: the family does not read these column groups, or does not fit the task.
    """
    check_family(model.family, groups, target)
    settings = {
        name: list(value) if isinstance(value, tuple) else value
        for name, value in model.model_dump(exclude={"family"}).items()
    }
    if model.family in LOCAL:
        settings["folder"] = folder or Path()
    return FAMILIES[model.family].build(groups, target, **settings)


def check_family(name: str, groups: Groups, target: Target) -> None:
    """Raise ConfigError where a family cannot read the data, or not answer the task."""
    reads = FAMILIES[name].reads
    if reads and (strange := [group for group in groups if group not in reads]):
        fitting = sorted(other for other, family in FAMILIES.items() if set(groups) <= set(family.reads))
        raise ConfigError(
            f"model.family: {name} reads {' and '.join(reads)} columns, but the data has {' and '.join(groups)}: "
            f"write {' or '.join(['auto', *fitting])}, or drop the {' and '.join(strange)} columns"
        )
    if target.task == "forecast" and "series" not in reads and reads:
        raise ConfigError(f"model.family: {name} makes no forecasts: write auto or forecast")


def _columns(network: Callable[..., nn.Module], groups: Groups, target: Target, **settings: Any) -> nn.Module:
    width, sizes = groups.get("numeric", {}).get("width", 0), groups.get("categorical", {}).get("sizes", [])
    return network(width=width, sizes=sizes, outputs=target.outputs, **settings)


def _dense(network: Callable[..., nn.Module], groups: Groups, target: Target, **settings: Any) -> nn.Module:
    """Build a network to which a pixel is one number more."""
    image = groups.get("image")
    pixels = image["channels"] * image["height"] * image["width"] if image else 0
    return _columns(network, groups, target, pixels=pixels, **settings)


def _ensemble(groups: Groups, target: Target, **settings: Any) -> nn.Module:
    kind = "classes" if target.has_classes else "labels" if target.task == "multilabel" else "numbers"
    return _columns(Tabular, groups, target, answers=kind, **settings)


def _only(network: Callable[..., nn.Module], group: str, groups: Groups, target: Target, **settings: Any) -> nn.Module:
    return network(**groups[group], outputs=target.outputs, **settings)


def _whole(network: Callable[..., nn.Module], groups: Groups, target: Target, **settings: Any) -> nn.Module:
    return network(groups=groups, outputs=target.outputs, **settings)


COLUMNS = ("numeric", "categorical")
AUDIO = ("audio", "audio_frames")
FAMILIES: dict[str, Family] = {
    "cnn": Family(("image",), partial(_only, CNN, "image")),
    "custom": Family((), partial(_whole, custom_network)),
    "densemlp": Family((*COLUMNS, "image"), partial(_dense, DenseMLP)),
    "forecast": Family(("series",), partial(_only, forecast, "series")),
    "mlp": Family((*COLUMNS, "image"), partial(_dense, MLP)),
    "multimodal": Family((*COLUMNS, "text", "image", *AUDIO), partial(_whole, Multimodal)),
    "pretrained": Family(("image",), partial(_only, Pretrained, "image")),
    "resmlp": Family((*COLUMNS, "image"), partial(_dense, ResMLP)),
    "resnet": Family(("image",), partial(_only, ResNet, "image")),
    "speech": Family(AUDIO, partial(_only, Speech, "audio")),
    "tabular": Family(COLUMNS, _ensemble),
    "text": Family(("text",), partial(_only, Text, "text")),
}
"""Families by name; one that reads no group by name takes whatever there is."""
LOCAL = ("custom", "pretrained")
"""Families that read files of the project."""
