"""BatchNorm folded into the layer in front of it, in any network: found by watching a forward pass."""

from collections import Counter
from copy import deepcopy
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.utils.fusion import fuse_conv_bn_weights, fuse_linear_bn_weights
from torch.nn.utils.parametrize import is_parametrized
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

Inputs = dict[str, Tensor]
Foldable: TypeAlias = nn.Linear | nn.Conv1d | nn.Conv2d | nn.Conv3d


def fold_batchnorm(network: nn.Module, example: Inputs) -> nn.Module:
    """Return a copy in evaluation mode that answers the same without the BatchNorm that can be folded.

    `example` are inputs of a few rows. A norm becomes an Identity, and its layer gets a bias where it had none.
    """
    folded = deepcopy(network).eval()
    for name, norm_name in batchnorm_pairs(folded, example):
        layer, norm = folded.get_submodule(name), folded.get_submodule(norm_name)
        assert isinstance(layer, Foldable)
        assert isinstance(norm, _BatchNorm)
        layer.weight, layer.bias = _fused(layer, norm)
        folded.set_submodule(norm_name, nn.Identity())
    return folded


@torch.no_grad()
def unfold_batchnorm(folded: nn.Module, network: nn.Module, example: Inputs) -> nn.Module:
    """Return a copy of `network` with the weights of `folded`, made from it by `fold_batchnorm` and trained since.

    Names and shapes are those of `network` again: a norm whose layer took it up passes its input on, and adds the
    bias that the layer has no place for.
    """
    result = deepcopy(network).eval()
    pairs = batchnorm_pairs(result, example)
    trained = folded.state_dict()
    state = result.state_dict()
    result.load_state_dict({name: trained.get(name, tensor) for name, tensor in state.items()})
    for name, norm_name in pairs:
        layer, norm = result.get_submodule(name), result.get_submodule(norm_name)
        assert isinstance(norm, _BatchNorm)
        _neutralise(norm, trained[f"{name}.bias"] if layer.bias is None else None)
    return result


@torch.no_grad()
def batchnorm_pairs(network: nn.Module, example: Inputs) -> list[tuple[str, str]]:
    """Return the names of each layer and of the BatchNorm that alone reads what it gives.

    Both must be called once, keep running statistics, and share no weight with another module.
    """
    was_training = network.training
    watch = _Watch({module: name for name, module in network.named_modules()})
    hooks = [module.register_forward_pre_hook(watch.enter) for module in network.modules()]
    hooks += [module.register_forward_hook(watch.leave) for module in network.modules()]
    try:
        with watch:
            answer = network.eval()(example)
    finally:
        for hook in hooks:
            hook.remove()
        network.train(was_training)
    answered = {id(leaf) for leaf in tree_leaves(answer)}
    owners = Counter(id(parameter) for module in network.modules() for parameter in module._parameters.values())
    pairs = []
    for norm, x in watch.entered.items():
        layer = watch.makers.get(id(x))
        if layer is None or id(x) in answered or not _fits(layer, norm, x):
            continue
        alone = watch.uses[id(x)] == {norm} and watch.calls[layer] == watch.calls[norm] == 1
        owned = all(owners[id(tensor)] == 1 for tensor in [*layer.parameters(), *norm.parameters()])
        if alone and owned:
            pairs.append((watch.names[layer], watch.names[norm]))
    return pairs


@dataclass(eq=False)
class _Watch(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Notes which module made a tensor, and within which modules operators read it."""

    names: dict[nn.Module, str]
    entered: dict[nn.Module, Tensor] = field(default_factory=dict)
    """What each BatchNorm was given."""
    makers: dict[int, nn.Module] = field(default_factory=dict)
    uses: dict[int, set[nn.Module | None]] = field(default_factory=dict)
    calls: Counter[nn.Module] = field(default_factory=Counter)
    stack: list[nn.Module] = field(default_factory=list)
    alive: list[Tensor] = field(default_factory=list)
    """Tensors whose id must not be given to another."""

    def __post_init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        inside = self.stack[-1] if self.stack else None
        for leaf in tree_leaves((args, kwargs)):
            if isinstance(leaf, Tensor):
                self.uses.setdefault(id(leaf), set()).add(inside)
        return func(*args, **(kwargs or {}))

    def enter(self, module: nn.Module, args: tuple[Any, ...]) -> None:
        self.stack.append(module)
        self.calls[module] += 1
        if isinstance(module, _BatchNorm) and args:
            self.entered[module] = args[0]

    def leave(self, module: nn.Module, _: tuple[Any, ...], output: Any) -> None:
        self.stack.pop()
        if isinstance(module, Foldable):
            self.makers[id(output)] = module
            self.uses[id(output)] = set()  # what its own operators did with it is no use by others
            self.alive.append(output)


def _fits(layer: nn.Module, norm: nn.Module, x: Tensor) -> bool:
    """Say whether the norm's channels are the layer's outputs and its statistics are constants."""
    assert isinstance(norm, _BatchNorm)
    if norm.running_mean is None or norm.running_var is None or is_parametrized(layer) or is_parametrized(norm):
        return False
    return x.ndim == 2 if isinstance(layer, nn.Linear) else True


def _fused(layer: Foldable, norm: _BatchNorm) -> tuple[nn.Parameter, nn.Parameter]:
    """Return weight and bias of the layer with the norm behind it."""
    assert norm.running_mean is not None
    assert norm.running_var is not None
    scale = norm.weight if norm.affine else torch.ones_like(norm.running_mean)
    shift = norm.bias if norm.affine else torch.zeros_like(norm.running_mean)
    fuse = fuse_linear_bn_weights if isinstance(layer, nn.Linear) else fuse_conv_bn_weights
    trained = layer.weight.requires_grad
    weight, bias = fuse(layer.weight, layer.bias, norm.running_mean, norm.running_var, norm.eps, scale, shift)
    return nn.Parameter(weight.detach(), trained), nn.Parameter(bias.detach(), trained)


def _neutralise(norm: _BatchNorm, bias: Tensor | None) -> None:
    """Let the norm pass its input on, and add a bias of its layer."""
    assert norm.running_mean is not None
    assert norm.running_var is not None
    norm.running_mean.copy_(torch.zeros_like(norm.running_mean) if bias is None else -bias)
    norm.running_var.fill_(_neutral(norm.eps))
    if norm.affine:
        norm.weight.fill_(1)
        norm.bias.zero_()


def _neutral(eps: float) -> float:
    """Return the variance v for which sqrt(v + eps) is 1 in float32 too."""
    one, eps32 = torch.tensor(1.0), torch.tensor(eps)
    variance = one - eps32
    while variance + eps32 != one:
        variance = torch.nextafter(variance, torch.tensor(2.0 if variance + eps32 < one else 0.0))
    return variance.item()
