"""Networks with tensors of other sizes: attributes follow, so that what is printed, trained and exported is right."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from ann.models.chains import told_or_found
from ann.models.units import UnitGroup


def fit_to(network: nn.Module, state: Mapping[str, Tensor]) -> None:
    """Load a state_dict into a network whose layers may have had more units, which then go.

    Raises:
        RuntimeError: torch's own, where names differ, or shapes in a way that no removal of units explains.
    """
    shapes = {name: tuple(tensor.shape) for name, tensor in network.state_dict().items()}
    wanted = {name: tuple(tensor.shape) for name, tensor in state.items()}
    if shapes != wanted and shapes.keys() == wanted.keys() and explained(shapes, wanted, told_or_found(network)):
        replace_tensors(network, {name: state[name] for name in wanted if wanted[name] != shapes[name]})
    network.load_state_dict(state)


Shapes = Mapping[str, Sequence[int]]


def explained(shapes: Shapes, wanted: Shapes, groups: Sequence[UnitGroup]) -> bool:
    """Say whether `shapes` become the `wanted` ones by removing units of the groups."""
    lost: dict[tuple[str, int], dict[str, int]] = {}  # indices of a dimension that a unit of each group takes along
    for group in groups:
        for part in group.parts:
            sizes = lost.setdefault((part.tensor, part.dim), {})
            sizes[group.name] = sizes.get(group.name, 0) + part.size
    removed = {group.name: _removed(group, shapes, wanted, lost) for group in groups}
    if any(removed[group.name] % group.even or not 0 <= removed[group.name] <= group.removable for group in groups):
        return False
    return all(
        len(wanted[name]) == len(shape)
        and all(
            wanted[name][dim]
            == length - sum(removed[group] * size for group, size in lost.get((name, dim), {}).items())
            for dim, length in enumerate(shape)
        )
        for name, shape in shapes.items()
    )


def _removed(group: UnitGroup, shapes: Shapes, wanted: Shapes, lost: dict[tuple[str, int], dict[str, int]]) -> int:
    """Return how many units are gone, which a dimension tells that is the group's alone; rounded, to be checked."""
    for (name, dim), sizes in lost.items():
        if sizes.keys() == {group.name} and dim < len(wanted[name]):
            return (shapes[name][dim] - wanted[name][dim]) // sizes[group.name]
    return 0


def replace_tensors(network: nn.Module, tensors: Mapping[str, Tensor]) -> None:
    """Put copies of `tensors` in place of the parameters and buffers of those names; type and device stay."""
    for name, tensor in tensors.items():
        path, _, attribute = name.rpartition(".")
        module = network.get_submodule(path)
        before = getattr(module, attribute)
        fresh = torch.empty(tensor.shape, dtype=before.dtype, device=before.device)
        with torch.no_grad():
            fresh.copy_(tensor)
        is_parameter = isinstance(before, nn.Parameter)
        setattr(module, attribute, nn.Parameter(fresh, before.requires_grad) if is_parameter else fresh)
    for path in {name.rpartition(".")[0] for name in tensors}:
        module = network.get_submodule(path)
        for kind, resized in ATTRIBUTES.items():
            if isinstance(module, kind):
                resized(module)


def _linear(layer: Any) -> None:
    layer.out_features, layer.in_features = layer.weight.shape


def _convolution(layer: Any) -> None:
    layer.out_channels, layer.in_channels = layer.weight.shape[0], layer.weight.shape[1] * layer.groups


def _batch_norm(layer: Any) -> None:
    if layer.weight is not None:
        layer.num_features = len(layer.weight)


def _layer_norm(layer: Any) -> None:
    if layer.weight is not None:
        layer.normalized_shape = tuple(layer.weight.shape)


def _group_norm(layer: Any) -> None:
    if layer.weight is not None:
        layer.num_channels = len(layer.weight)


def _recurrent(layer: Any) -> None:
    gates = {"GRU": 3, "LSTM": 4}.get(layer.mode, 1)
    layer.hidden_size, layer.input_size = layer.weight_ih_l0.shape[0] // gates, layer.weight_ih_l0.shape[1]


ATTRIBUTES: dict[type[nn.Module] | tuple[type[nn.Module], ...], Callable[[Any], None]] = {
    (nn.Conv1d, nn.Conv2d): _convolution,
    nn.GroupNorm: _group_norm,
    nn.LayerNorm: _layer_norm,
    nn.Linear: _linear,
    nn.RNNBase: _recurrent,
    nn.modules.batchnorm._BatchNorm: _batch_norm,
}
"""What takes the numbers that a layer keeps beside its tensors from their shapes."""
