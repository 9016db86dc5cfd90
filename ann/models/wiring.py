"""Which units of a network can be removed, found by following values from layer to layer."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from math import lcm
from typing import Any, Protocol, TypeAlias, runtime_checkable

from torch import nn

from ann.models.batchnorm import BatchNorm1d
from ann.models.dropout import Dropout, SpatialDropout
from ann.models.units import Part, UnitGroup, under


@dataclass(eq=False)
class Growing:
    """A group of units while its parts are found."""

    name: str
    count: int
    parts: list[Part]
    even: int = 1
    least: int = 1
    sealed: bool = False
    """Whether something reads the units that cannot do without them."""
    joined: "Growing | None" = None
    """The group that this one has become part of, since values of both are added."""

    @property
    def whole(self) -> "Growing":
        """The group that this one belongs to now."""
        return self if self.joined is None else self.joined.whole


@dataclass(frozen=True)
class Segment:
    """Neighbouring values: those of a group's units, or of no group, such as inputs."""

    group: Growing | None
    width: int


@dataclass(frozen=True)
class Values:
    """What a layer gives, segment beside segment; without any segment, values that nobody may remove."""

    segments: tuple[Segment, ...] = ()
    places: bool | None = None
    """Whether dimensions such as height and width stand behind that of the units; None where nothing tells."""
    flattened: bool = False
    """Whether each unit has become one value a place, as many as the next layer tells."""

    @property
    def width(self) -> int:
        """Values side by side."""
        return sum(segment.width for segment in self.segments)

    def transposed(self) -> "Values":
        """Return the values with units moved in front of the places, or behind."""
        return replace(self, places=None if self.places is None else not self.places)


@runtime_checkable
class Wired(Protocol):
    """A module that knows how values pass through it."""

    def wire(self, wiring: "Wiring", x: Values, name: str) -> Values:
        """Tell `wiring` what is read and made of `x` by the module, whose path is `name`; return what comes out."""


@dataclass
class Wiring:
    """Groups of units, found while values go through the layers."""

    found: list[Growing] = field(default_factory=list)

    def groups(self) -> list[UnitGroup]:
        """Return the groups whose units can be removed, those without a choice left out."""
        grown = [group for group in self.found if group.joined is None and not group.sealed]
        groups = [UnitGroup(group.name, group.count, tuple(group.parts), group.even, group.least) for group in grown]
        return [group for group in groups if group.removable]

    def through(self, x: Values, name: str, module: nn.Module) -> Values:
        """Follow values through a module; nothing is removed of what an unknown one reads."""
        if isinstance(module, Wired):
            return module.wire(self, x, name)
        if type(module).forward is nn.Sequential.forward:
            return self.chain(x, name, module.children())
        if (layer := LAYERS.get(type(module))) is not None:
            return layer(self, x, name, module)
        return self.seal(x)

    def chain(self, x: Values, name: str, modules: Iterable[nn.Module]) -> Values:
        """Follow values through the modules of a list, one after the other."""
        for number, module in enumerate(modules):
            x = self.through(x, under(name, str(number)), module)
        return x

    def made(self, name: str, count: int, parts: Iterable[Part], *, width: int = 0, places: bool = False) -> Values:
        """Return the values of a group of units that begins here; `width` is theirs where a unit has several."""
        group = Growing(name, count, list(parts))
        self.found.append(group)
        return Values((Segment(group, width or count),), places)

    def read(self, x: Values, tensor: str, width: int, dim: int = 1) -> Values:
        """Let a tensor of `width` indices in `dim` be about `x`; return `x` with that many values."""
        x = self._fitted(x, width)
        start = 0
        for segment in x.segments:
            if segment.group is not None:
                group = segment.group.whole
                group.parts.append(Part(tensor, dim, start, segment.width // group.count))
            start += segment.width
        return x

    def fixed(self, width: int) -> Values:
        """Return values that nobody may remove, but which have others beside them."""
        return Values((Segment(None, width),))

    def beside(self, *several: Values) -> Values:
        """Return values side by side."""
        if not all(x.segments for x in several):
            return self.seal(*several)
        return replace(several[0], segments=tuple(segment for x in several for segment in x.segments))

    def added(self, x: Values, y: Values) -> Values:
        """Return x + y: a unit of one goes with its fellow of the other."""
        if [segment.width for segment in x.segments] != [segment.width for segment in y.segments]:
            return self.seal(x, y)
        for one, other in zip(x.segments, y.segments, strict=True):
            self._join(one.group, other.group)
        return x

    def seal(self, *several: Values) -> Values:
        """Keep all units of these values; return values that nobody may remove."""
        for x in several:
            for segment in x.segments:
                if segment.group is not None:
                    segment.group.whole.sealed = True
        return Values()

    def _fitted(self, x: Values, width: int) -> Values:
        """Return `x` as `width` values, which are more where it was flattened."""
        if not x.segments:
            return x
        places, rest = divmod(width, x.width)
        if rest or (places != 1 and not x.flattened):
            return self.seal(x)
        return Values(tuple(Segment(part.group, part.width * places) for part in x.segments), x.places)

    def _join(self, one: Growing | None, other: Growing | None) -> None:
        if one is None or other is None or one.whole.count != other.whole.count:
            self.seal(Values(tuple(Segment(group, 0) for group in (one, other))))
            return
        first, second = sorted((one.whole, other.whole), key=self.found.index)
        if first is second:
            return
        first.parts += second.parts
        first.even, first.least = lcm(first.even, second.even), max(first.least, second.least)
        first.sealed = first.sealed or second.sealed or first.count % first.even != 0
        second.joined = first


class UnitNetwork(nn.Module):
    """A network that tells which units can be removed from it."""

    def unit_groups(self) -> list[UnitGroup]:
        """Return the groups of units; inputs and outputs are none."""
        wiring = Wiring()
        wiring.seal(self.wired(wiring, ""))
        return wiring.groups()

    def wired(self, wiring: Wiring, name: str) -> Values:
        """Follow values from the inputs to the outputs, which are returned; `name` is the network's path."""
        raise NotImplementedError


def weighted(wiring: Wiring, name: str, layer: nn.Module, count: int, *, places: bool) -> Values:
    """Return the units of a layer with a `weight` and perhaps a `bias`."""
    parts = [Part(under(name, "weight"), 0)]
    if getattr(layer, "bias", None) is not None:
        parts.append(Part(under(name, "bias"), 0))
    return wiring.made(name, count, parts, places=places)


def _linear(wiring: Wiring, x: Values, name: str, layer: nn.Linear) -> Values:
    if x.places:  # it reads the last dimension, and that is not the units'
        x = wiring.seal(x)
    wiring.read(x, under(name, "weight"), layer.in_features)
    return weighted(wiring, name, layer, layer.out_features, places=False)


def _convolution(wiring: Wiring, x: Values, name: str, layer: nn.Conv1d | nn.Conv2d) -> Values:
    if layer.groups != 1:
        return wiring.seal(x)
    if x.places is False:
        x = wiring.seal(x)
    wiring.read(x, under(name, "weight"), layer.in_channels)
    return weighted(wiring, name, layer, layer.out_channels, places=True)


def _batch_norm(wiring: Wiring, x: Values, name: str, layer: nn.BatchNorm1d | nn.BatchNorm2d) -> Values:
    if not (layer.affine and layer.track_running_stats):
        return wiring.seal(x)
    for tensor in ("weight", "bias", "running_mean", "running_var"):
        x = wiring.read(x, under(name, tensor), layer.num_features, dim=0)
    return x


def _layer_norm(wiring: Wiring, x: Values, name: str, layer: nn.LayerNorm) -> Values:
    if x.places or not layer.elementwise_affine or len(layer.normalized_shape) != 1:
        return wiring.seal(x)
    return _norm_over_units(wiring, x, name, layer, layer.normalized_shape[0])


def _group_norm(wiring: Wiring, x: Values, name: str, layer: nn.GroupNorm) -> Values:
    if not layer.affine:
        return wiring.seal(x)
    x = _norm_over_units(wiring, x, name, layer, layer.num_channels)
    groups = [segment.group.whole for segment in x.segments if segment.group is not None]
    if layer.num_groups > 1 and (len(x.segments) != 1 or any(group.count % layer.num_groups for group in groups)):
        return wiring.seal(x)
    for group in groups:
        group.even = lcm(group.even, layer.num_groups)
        group.sealed = group.sealed or group.count % group.even != 0
    return x


def _norm_over_units(wiring: Wiring, x: Values, name: str, layer: nn.LayerNorm | nn.GroupNorm, width: int) -> Values:
    for tensor in ("weight", "bias"):
        if getattr(layer, tensor) is not None:
            x = wiring.read(x, under(name, tensor), width, dim=0)
    for segment in x.segments:
        if segment.group is not None and not x.places and segment.width == segment.group.whole.count:
            segment.group.whole.least = 2
    return x


def _same(wiring: Wiring, x: Values, name: str, layer: nn.Module) -> Values:
    del wiring, name, layer
    return x


def _pooling(wiring: Wiring, x: Values, name: str, layer: nn.Module) -> Values:
    del name, layer
    return wiring.seal(x) if x.places is False else x


def _flatten(wiring: Wiring, x: Values, name: str, layer: nn.Flatten) -> Values:
    del name
    if (layer.start_dim, layer.end_dim) != (1, -1):
        return wiring.seal(x)
    return replace(x, places=False, flattened=True) if x.places else x


Walk: TypeAlias = Callable[[Wiring, Values, str, Any], Values]
POINTWISE = (
    Dropout,
    SpatialDropout,
    nn.AlphaDropout,
    nn.CELU,
    nn.Dropout,
    nn.Dropout1d,
    nn.Dropout2d,
    nn.ELU,
    nn.GELU,
    nn.Hardsigmoid,
    nn.Hardswish,
    nn.Hardtanh,
    nn.Identity,
    nn.LeakyReLU,
    nn.Mish,
    nn.ReLU,
    nn.ReLU6,
    nn.SELU,
    nn.SiLU,
    nn.Sigmoid,
    nn.Softplus,
    nn.Softsign,
    nn.Tanh,
)
POOLINGS = (
    nn.AdaptiveAvgPool1d,
    nn.AdaptiveAvgPool2d,
    nn.AdaptiveMaxPool1d,
    nn.AdaptiveMaxPool2d,
    nn.AvgPool1d,
    nn.AvgPool2d,
    nn.MaxPool1d,
    nn.MaxPool2d,
)
LAYERS: dict[type[nn.Module], Walk] = {
    **dict.fromkeys(POINTWISE, _same),
    **dict.fromkeys(POOLINGS, _pooling),
    **dict.fromkeys((BatchNorm1d, nn.BatchNorm1d, nn.BatchNorm2d), _batch_norm),
    **dict.fromkeys((nn.Conv1d, nn.Conv2d), _convolution),
    nn.Flatten: _flatten,
    nn.GroupNorm: _group_norm,
    nn.LayerNorm: _layer_norm,
    nn.Linear: _linear,
}
"""Layers by exact type: a subclass may compute something else."""
