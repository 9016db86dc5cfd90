"""Optimizers by name, over flat parameters, with weight decay where it belongs."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from ann.config.optimizers import GD, SGD, Adam, AdamW, Momentum, Muon, OptimizerParams, RMSprop
from ann.errors import ConfigError
from ann.training.flat import FlatParameters

SCALED = (torch.optim.Adam, torch.optim.AdamW, torch.optim.SGD)
"""Their fused kernels divide gradients by `grad_scale` and skip the step where `found_inf` is 1."""


class FlatOptimizer:
    """One or two torch optimizers that take one step together."""

    def __init__(self, parts: list[Optimizer], flat: FlatParameters) -> None:
        self._parts, self._flat = parts, flat
        self._folds = all(isinstance(part, SCALED) for part in parts)

    def step(self, lr: float | Tensor, divisor: Tensor | None = None, found_inf: Tensor | None = None) -> None:
        """Update the weights with the gradients / `divisor`, a () tensor; nothing moves where `found_inf` is 1.

        The fused kernels do the division while they read the gradients, so clipping costs no pass of its own.
        """
        if divisor is not None and not self._folds:
            self._flat.gradients.div_(divisor)
        for part in self._parts:
            for group in part.param_groups:
                if isinstance(lr, Tensor) and isinstance(group["lr"], Tensor):
                    group["lr"].copy_(lr)
                else:
                    group["lr"] = lr
            if self._folds:
                part.grad_scale, part.found_inf = divisor, found_inf  # type: ignore[attr-defined]
            part.step()

    def tensors(self) -> dict[str, Tensor]:
        """Return the optimizer's memory by name, for a checkpoint."""
        return {
            f"{number}.{index}.{name}": value
            for number, part in enumerate(self._parts)
            for index, memory in part.state_dict()["state"].items()
            for name, value in memory.items()
            if isinstance(value, Tensor)
        }

    def load_tensors(self, tensors: dict[str, Tensor]) -> None:
        """Take back what `tensors` returned."""
        for number, part in enumerate(self._parts):
            state: dict[int, dict[str, Tensor]] = {}
            for name, value in tensors.items():
                owner, index, key = name.split(".", 2)
                if int(owner) == number:
                    state.setdefault(int(index), {})[key] = value
            part.load_state_dict({**part.state_dict(), "state": state})


def build_optimizer(network: nn.Module, flat: FlatParameters, params: OptimizerParams) -> FlatOptimizer:
    """Return the optimizer that `params` names; matrices decay, biases, norms and other vectors do not."""
    return FlatOptimizer(OPTIMIZERS[params.name](network, flat, params), flat)


def _sgd(_: nn.Module, flat: FlatParameters, params: GD | SGD) -> list[Optimizer]:
    return [torch.optim.SGD(_groups(flat, params.weight_decay), lr=_lr(flat, params.lr), fused=True)]


def _momentum(_: nn.Module, flat: FlatParameters, params: Momentum) -> list[Optimizer]:
    return [
        torch.optim.SGD(
            _groups(flat, params.weight_decay),
            lr=_lr(flat, params.lr),
            momentum=params.momentum,
            nesterov=params.name == "nesterov",
            fused=True,
        )
    ]


def _rmsprop(_: nn.Module, flat: FlatParameters, params: RMSprop) -> list[Optimizer]:
    return [
        torch.optim.RMSprop(
            _groups(flat, params.weight_decay),
            lr=_lr(flat, params.lr),
            alpha=params.alpha,
            eps=params.eps,
            foreach=True,
            capturable=flat.weights.is_cuda,
        )
    ]


def _adam(_: nn.Module, flat: FlatParameters, params: Adam | AdamW) -> list[Optimizer]:
    kind = torch.optim.AdamW if isinstance(params, AdamW) else torch.optim.Adam
    return [
        kind(
            _groups(flat, params.weight_decay),
            lr=_lr(flat, params.lr),
            betas=params.betas,
            eps=params.eps,
            fused=True,
            capturable=flat.weights.is_cuda,
        )
    ]


def _muon(network: nn.Module, flat: FlatParameters, params: Muon) -> list[Optimizer]:
    """Muon takes the weights of Linear layers but the last; embeddings, the head, vectors and kernels go to AdamW."""
    linear = [module.weight for module in network.modules() if isinstance(module, nn.Linear)]
    hidden = {id(weight) for weight in linear[:-1] if weight.requires_grad}
    muon = [parameter for parameter in flat.parameters if id(parameter) in hidden]
    rest = [parameter for parameter in flat.parameters if id(parameter) not in hidden]
    if not muon:
        raise ConfigError("train.optimizer: muon needs a hidden Linear layer, and this network has none: write adamw")
    groups = [
        {"params": [parameter for parameter in rest if parameter.ndim >= 2], "weight_decay": params.weight_decay},
        {"params": [parameter for parameter in rest if parameter.ndim < 2], "weight_decay": 0.0},
    ]
    return [
        torch.optim.Muon(
            muon,
            lr=params.lr,
            momentum=params.momentum,
            weight_decay=params.weight_decay,
            adjust_lr_fn="match_rms_adamw",
        ),
        torch.optim.AdamW([group for group in groups if group["params"]], lr=params.lr, betas=params.betas, fused=True),
    ]


def _groups(flat: FlatParameters, weight_decay: float) -> list[dict[str, Any]]:
    return [
        {"params": [parameter], "weight_decay": weight_decay if decays else 0.0} for parameter, decays in flat.parts()
    ]


def _lr(flat: FlatParameters, lr: float) -> float | Tensor:
    """On CUDA the learning rate is a tensor, which a recorded graph reads anew at each replay."""
    return torch.tensor(lr, device=flat.weights.device) if flat.weights.is_cuda else lr


OPTIMIZERS: dict[str, Callable[[nn.Module, FlatParameters, Any], list[Optimizer]]] = {
    "adam": _adam,
    "adamw": _adam,
    "gd": _sgd,
    "momentum": _momentum,
    "muon": _muon,
    "nesterov": _momentum,
    "rmsprop": _rmsprop,
    "sgd": _sgd,
}
