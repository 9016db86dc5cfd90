"""Optimizers by name, over flat parameters, with weight decay where it belongs.

torch's fused kernels are called without the classes around them: beside a small network's step those cost half as much
time again as the kernels. Muon, whose kernel is no single one, stays a class of torch's.
"""

from collections.abc import Callable
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from ann.config.optimizers import GD, SGD, Adam, AdamW, Momentum, Muon, OptimizerParams, RMSprop
from ann.errors import ConfigError
from ann.training.flat import FlatParameters


class FlatOptimizer(Protocol):
    """What moves the weights in the flat buffer by the gradients in the other."""

    def step(self, lr: float | Tensor, divisor: Tensor | None = None, found_inf: Tensor | None = None) -> None:
        """Take a step with the gradients / `divisor`, a () tensor; nothing moves where `found_inf` is 1.

        The fused kernels do the division while they read the gradients, so clipping costs no pass of its own.
        """

    def tensors(self) -> dict[str, Tensor]:
        """Return the optimizer's memory by name, for a checkpoint."""

    def load_tensors(self, tensors: dict[str, Tensor]) -> None:
        """Take back what `tensors` returned."""


class _WithBuffers:
    """The memory of an optimizer, each buffer as long as the flat weights."""

    def __init__(self, flat: FlatParameters, weight_decay: float, *names: str) -> None:
        self._memory = {name: torch.zeros_like(flat.weights) for name in names}
        self._parts = [
            (flat.weights[part], flat.gradients[part], {name: value[part] for name, value in self._memory.items()}, wd)
            for part, wd in ((slice(0, flat.decaying), weight_decay), (slice(flat.decaying, None), 0.0))
            if len(flat.weights[part])
        ]

    def tensors(self) -> dict[str, Tensor]:
        return dict(self._memory)

    def load_tensors(self, tensors: dict[str, Tensor]) -> None:
        for name, mine in self.tensors().items():
            mine.copy_(tensors[name])


class _FusedSGD(_WithBuffers):
    """Gradient descent, plain, with momentum, or with Nesterov's."""

    def __init__(self, _: nn.Module, flat: FlatParameters, params: GD | SGD | Momentum) -> None:
        self._momentum = params.momentum if isinstance(params, Momentum) else 0.0
        self._nesterov = params.name == "nesterov"
        super().__init__(flat, params.weight_decay, *(["velocity"] if self._momentum else []))

    @torch.no_grad()
    def step(self, lr: float | Tensor, divisor: Tensor | None = None, found_inf: Tensor | None = None) -> None:
        for weights, gradients, memory, weight_decay in self._parts:
            torch._fused_sgd_(
                [weights],
                [gradients],
                list(memory.values()),
                weight_decay=weight_decay,
                momentum=self._momentum,
                lr=lr,
                dampening=0.0,
                nesterov=self._nesterov,
                maximize=False,
                is_first_step=False,
                grad_scale=divisor,
                found_inf=found_inf,
            )


class _FusedAdam(_WithBuffers):
    """Adam, or AdamW, whose weight decay does not go through the moments."""

    def __init__(self, _: nn.Module, flat: FlatParameters, params: Adam | AdamW) -> None:
        super().__init__(flat, params.weight_decay, "first", "second")
        self._params = params
        self._kernel = torch._fused_adamw_ if isinstance(params, AdamW) else torch._fused_adam_
        self._taken = torch.zeros((), device=flat.weights.device)

    @torch.no_grad()
    def step(self, lr: float | Tensor, divisor: Tensor | None = None, found_inf: Tensor | None = None) -> None:
        beta1, beta2 = self._params.betas
        self._taken.add_(1 if found_inf is None else 1 - found_inf)
        for weights, gradients, memory, weight_decay in self._parts:
            self._kernel(
                [weights],
                [gradients],
                [memory["first"]],
                [memory["second"]],
                [],
                [self._taken],
                lr=lr,
                beta1=beta1,
                beta2=beta2,
                weight_decay=weight_decay,
                eps=self._params.eps,
                amsgrad=False,
                maximize=False,
                grad_scale=divisor,
                found_inf=found_inf,
            )

    def tensors(self) -> dict[str, Tensor]:
        return super().tensors() | {"taken": self._taken}


class _RMSprop(_WithBuffers):
    """RMSprop, for which torch has no fused kernel; it cannot skip a step, so the configuration keeps fp16 away."""

    def __init__(self, _: nn.Module, flat: FlatParameters, params: RMSprop) -> None:
        super().__init__(flat, params.weight_decay, "square")
        self._params = params

    @torch.no_grad()
    def step(self, lr: float | Tensor, divisor: Tensor | None = None, found_inf: Tensor | None = None) -> None:
        assert found_inf is None
        for weights, gradients, memory, weight_decay in self._parts:
            if divisor is not None:
                gradients.div_(divisor)
            full = gradients.add(weights, alpha=weight_decay) if weight_decay else gradients
            memory["square"].mul_(self._params.alpha).addcmul_(full, full, value=1 - self._params.alpha)
            weights.sub_((full / memory["square"].sqrt().add_(self._params.eps)).mul_(lr))


class _MuonAndAdamW:
    """Muon for the weights of Linear layers but the last; embeddings, the head, vectors and kernels go to AdamW."""

    def __init__(self, network: nn.Module, flat: FlatParameters, params: Muon) -> None:
        linear = [module.weight for module in network.modules() if isinstance(module, nn.Linear)]
        hidden = {id(weight) for weight in linear[:-1] if weight.requires_grad}
        muon = [parameter for parameter in flat.parameters if id(parameter) in hidden]
        rest = [parameter for parameter in flat.parameters if id(parameter) not in hidden]
        if not muon:
            raise ConfigError(
                "train.optimizer: muon needs a hidden Linear layer, and this network has none: write adamw"
            )
        groups: list[dict[str, Any]] = [
            {"params": [parameter for parameter in rest if parameter.ndim >= 2], "weight_decay": params.weight_decay},
            {"params": [parameter for parameter in rest if parameter.ndim < 2], "weight_decay": 0.0},
        ]
        self._gradients = flat.gradients
        self._parts = (
            torch.optim.Muon(
                muon,
                lr=params.lr,
                momentum=params.momentum,
                weight_decay=params.weight_decay,
                adjust_lr_fn="match_rms_adamw",
            ),
            torch.optim.AdamW(
                [group for group in groups if group["params"]], lr=params.lr, betas=params.betas, fused=True
            ),
        )

    def step(self, lr: float | Tensor, divisor: Tensor | None = None, found_inf: Tensor | None = None) -> None:
        assert found_inf is None
        if divisor is not None:
            self._gradients.div_(divisor)
        for part in self._parts:
            for group in part.param_groups:
                group["lr"] = lr
            part.step()  # type: ignore[no-untyped-call]

    def tensors(self) -> dict[str, Tensor]:
        return {
            f"{number}.{index}.{name}": value
            for number, part in enumerate(self._parts)
            for index, memory in part.state_dict()["state"].items()
            for name, value in memory.items()
            if isinstance(value, Tensor)
        }

    def load_tensors(self, tensors: dict[str, Tensor]) -> None:
        for number, part in enumerate(self._parts):
            state: dict[int, dict[str, Tensor]] = {}
            for name, value in tensors.items():
                owner, index, key = name.split(".", 2)
                if int(owner) == number:
                    state.setdefault(int(index), {})[key] = value
            part.load_state_dict({**part.state_dict(), "state": state})


def build_optimizer(network: nn.Module, flat: FlatParameters, params: OptimizerParams) -> FlatOptimizer:
    """Return the optimizer that `params` names; matrices decay, biases, norms and other vectors do not.

    Raises:
        ConfigError: muon, for a network without a hidden Linear layer.
    """
    return OPTIMIZERS[params.name](network, flat, params)


OPTIMIZERS: dict[str, Callable[[nn.Module, FlatParameters, Any], FlatOptimizer]] = {
    "adam": _FusedAdam,
    "adamw": _FusedAdam,
    "gd": _FusedSGD,
    "momentum": _FusedSGD,
    "muon": _MuonAndAdamW,
    "nesterov": _FusedSGD,
    "rmsprop": _RMSprop,
    "sgd": _FusedSGD,
}
