"""Zeros in weight matrices: which weights go, and rounds of zeroing and training.

Masks are bool tensors by parameter name, true where a weight lives. They cover the matrices and kernels of Linear,
convolutional, recurrent and attention layers. Biases, norms, embeddings and a network's own parameters stay whole: they
are few, or a row of them is read by few inputs.

Training keeps zeros by what it does to gradients. Every optimizer here but muon moves each weight by its own gradients,
so a weight that is zero and never has a gradient stays zero. Names, types and values of parameters are those of a plain
network all the while: flat buffers, averages, best weights and recurrent layers, which keep lists of their weights,
work as ever, and what torch.nn.utils.parametrize puts in front of the same weights may come and go.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from copy import deepcopy
from functools import partial
from typing import Literal, TypeAlias

import torch
from torch import Tensor, nn
from torch.nn.modules.conv import _ConvNd

from ann.errors import ConfigError, StageError

Masks: TypeAlias = dict[str, Tensor]
"""{parameter name: bool tensor of its shape}, true where a weight lives."""
Pattern: TypeAlias = Literal["any", "2:4"]
Scope: TypeAlias = Literal["layer", "global"]

LAYERS = (nn.Linear, _ConvNd, nn.RNNBase, nn.RNNCellBase, nn.MultiheadAttention)
GROUP, LIVING = 4, 2
"""Neighbours along the inputs of a unit, and how many of them 2:4 leaves."""


def sparsify(
    network: nn.Module,
    share: float,
    *,
    rounds: int,
    pattern: Pattern,
    scope: Scope,
    rewind: Mapping[str, Tensor] | None,
    tune: Callable[[nn.Module, Masks], None],
    before: Masks | None = None,
) -> tuple[nn.Module, Masks]:
    """Return a copy in which a share of the weights is zero, and its masks; the network itself stays as it is.

    Each of the rounds zeroes some of the smallest weights that are left, then calls `tune`, which trains and keeps the
    masks (`kept_masks`). With `rewind`, a state_dict of early training, all that lives goes back to it
    before `tune` (Frankle & Carbin 2019, arXiv:1803.03635; Frankle et al. 2019, arXiv:1903.01611). What is dead in
    `before` stays dead.

    Raises:
        ConfigError: the network has no weights to zero, or `rewind` is of other shapes.
    """
    network = deepcopy(network)
    masks = dict(before) if before else {}
    for part in cubic(1.0, rounds) if pattern == "2:4" else cubic(share, rounds):
        if pattern == "2:4":
            masks = _on_the_way(network, two_of_four(network, masks), part, masks)
        else:
            masks = magnitude_masks(network, part, scope, masks)
        if rewind is not None:
            _rewind(network, rewind)
        apply(network, masks)
        tune(network, masks)
        apply(network, masks)
    return network.eval(), masks


def cubic(share: float, rounds: int) -> list[float]:
    """Return each round's sparsity, which grows fast at first, then slowly (Zhu & Gupta 2017, arXiv:1710.01878)."""
    return [share * (1 - (1 - number / rounds) ** 3) for number in range(1, rounds)] + [share]


@torch.no_grad()
def magnitude_masks(network: nn.Module, share: float, scope: Scope = "layer", before: Masks | None = None) -> Masks:
    """Return masks by which `share` of the weights is zero: the smallest of each layer, or of the whole network.

    What is dead in `before` stays dead and counts. Each layer keeps its greatest weight.

    Raises:
        ConfigError: the network has no weights to zero.
    """
    scores = {name: _score(weight, name, before) for name, weight in weights_of(network).items()}
    if scope == "layer":
        return {name: _without_smallest(score, round(share * score.numel())) for name, score in scores.items()}
    everything = torch.cat([score.flatten() for score in scores.values()])
    lives = _without_smallest(everything, round(share * len(everything)))
    parts = torch.split(lives, [score.numel() for score in scores.values()])
    masks = {name: part.view_as(score) for (name, score), part in zip(scores.items(), parts, strict=True)}
    for name, score in scores.items():
        masks[name].view(-1)[score.argmax()] |= bool(score.max() >= 0)
    return masks


@torch.no_grad()
def two_of_four(network: nn.Module, before: Masks | None = None) -> Masks:
    """Return masks by which each unit reads two of each four neighbouring inputs, the pattern of NVIDIA's sparse cores.

    Groups lie along the input axis, that of channels in a kernel; a rest shorter than four stays whole (Mishra et al.
    2021, arXiv:2104.08378).

    Raises:
        ConfigError: the network has no weights to zero.
    """
    masks = {}
    for name, weight in weights_of(network).items():
        score = _score(weight, name, before)
        groups = _fours(score)
        lives = torch.ones_like(score, dtype=torch.bool)
        order = groups.argsort(dim=-1, stable=True)  # of equals the first goes
        _fours(lives).scatter_(-1, order[..., : GROUP - LIVING], value=False)
        masks[name] = lives & (score >= 0)
    return masks


def check_two_of_four(network: nn.Module) -> None:
    """Raise StageError where a unit reads more than two of four neighbouring inputs."""
    for name, weight in weights_of(network).items():
        most = int((_fours(weight.detach()) != 0).sum(dim=-1).amax()) if weight.shape[1] >= GROUP else 0
        if most > LIVING:
            raise StageError(
                f"{name} has {most} weights other than zero among four neighbours, 2:4 allows two: "
                f"keep the masks while the network is trained"
            )


@torch.no_grad()
def apply(network: nn.Module, masks: Masks) -> None:
    """Set every dead weight to zero, in place."""
    for name, mask in masks.items():
        parameter = parameter_of(network, name)
        parameter.masked_fill_(~mask.to(parameter.device), 0.0)


def sparsity_of(network: nn.Module) -> float:
    """Return the share of zeros among the weights that masks cover."""
    weights = weights_of(network).values()
    return sum(int((weight == 0).sum()) for weight in weights) / sum(weight.numel() for weight in weights)


@contextmanager
def kept_masks(network: nn.Module, masks: Masks) -> Iterator[None]:
    """Set dead weights to zero and keep them there however the network is trained in the block."""
    apply(network, masks)
    with projected(network, {name: partial(_silenced, mask=mask) for name, mask in masks.items()}):
        try:
            yield
        finally:
            apply(network, masks)  # after muon, whose steps mix weights, there are no zeros left


@contextmanager
def projected(network: nn.Module, projections: dict[str, Callable[[Tensor], Tensor]]) -> Iterator[None]:
    """Pass the gradients of parameters through functions while the block runs."""
    with ExitStack() as stack:
        for name, project in projections.items():
            parameter = parameter_of(network, name)
            if parameter.requires_grad:  # a frozen one does not move
                handle = parameter.register_hook(project)  # type: ignore[no-untyped-call]
                stack.callback(handle.remove)
        yield


def _silenced(gradient: Tensor, mask: Tensor) -> Tensor:
    return gradient.masked_fill(~mask.to(gradient.device), 0.0)


def weights_of(network: nn.Module) -> dict[str, nn.Parameter]:
    """Return the parameters that masks cover by name, each once.

    Raises:
        ConfigError: there are none.
    """
    found: dict[int, tuple[str, nn.Parameter]] = {}
    for owner, module in network.named_modules():
        if isinstance(module, LAYERS):
            for name, parameter in module.named_parameters(prefix=owner, recurse=False):
                if parameter.ndim >= 2 and "weight" in name.rpartition(".")[2]:
                    found.setdefault(id(parameter), (name, parameter))
    if not found:
        raise ConfigError(
            "compress.recipes: this network has no Linear, convolutional or recurrent weights that could become zero: "
            "leave sparsify and share out"
        )
    return dict(found.values())


def parameter_of(network: nn.Module, name: str) -> nn.Parameter:
    """Return a parameter by its name, also while torch.nn.utils.parametrize stands in front of it."""
    named = dict(network.named_parameters(remove_duplicate=False))
    owner, dot, leaf = name.rpartition(".")
    return named[name] if name in named else named[f"{owner}{dot}parametrizations.{leaf}.original"]


def _on_the_way(network: nn.Module, goal: Masks, part: float, before: Masks) -> Masks:
    """Return masks that zero only the smallest `part` of what `goal` zeroes in each layer."""
    masks = {}
    for name, weight in weights_of(network).items():
        score = _score(weight, name, before).masked_fill(goal[name], torch.inf)
        masks[name] = _without_smallest(score, round(part * int((~goal[name]).sum())))
    return masks


def _score(weight: Tensor, name: str, before: Masks | None) -> Tensor:
    """Return what is zeroed first where it is small; -1 where it is dead."""
    score = weight.detach().abs()
    return score.masked_fill(~before[name], -1.0) if before and name in before else score


def _without_smallest(score: Tensor, zeros: int) -> Tensor:
    """Return where the score lives once the `zeros` smallest are gone, of equals the first; the greatest stays."""
    order = score.flatten().argsort(stable=True)
    lives = torch.ones(score.numel(), dtype=torch.bool, device=score.device)
    lives[order[: min(zeros, score.numel() - 1)]] = False
    return lives.view_as(score) & (score >= 0)


def _fours(x: Tensor) -> Tensor:
    """(K, F, ...) -> (K, ..., F // 4, 4), a view: neighbours along the second axis; the rest is left out."""
    whole = x.shape[1] // GROUP
    return torch.unflatten(x[:, : whole * GROUP].movedim(1, -1), -1, (whole, GROUP))


def _rewind(network: nn.Module, state: Mapping[str, Tensor]) -> None:
    try:
        network.load_state_dict(state)
    except RuntimeError:
        raise ConfigError(
            "compress.recipes: rewind needs the network that was trained, and a step before sparsify changed it: "
            "put sparsify first, or leave rewind out"
        ) from None
