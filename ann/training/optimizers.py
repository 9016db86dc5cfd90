"""Optimizers by name, with weight decay where it belongs."""

from collections.abc import Callable
from typing import Any

import torch
from torch import nn
from torch.optim import Optimizer

from ann.config.train import SGD, AdamW, OptimizerParams


def build_optimizer(network: nn.Module, params: OptimizerParams) -> Optimizer:
    """Return the optimizer that `params` names."""
    return OPTIMIZERS[params.name](network, params)


def decay_groups(network: nn.Module, weight_decay: float) -> list[dict[str, Any]]:
    """Split the parameters: matrices decay; biases, norms and other vectors do not."""
    matrices = [parameter for parameter in network.parameters() if parameter.ndim >= 2]
    vectors = [parameter for parameter in network.parameters() if parameter.ndim < 2]
    return [{"params": matrices, "weight_decay": weight_decay}, {"params": vectors, "weight_decay": 0.0}]


def _adamw(network: nn.Module, params: AdamW) -> Optimizer:
    groups = decay_groups(network, params.weight_decay)
    return torch.optim.AdamW(groups, lr=params.lr, betas=params.betas, fused=True)


def _sgd(network: nn.Module, params: SGD) -> Optimizer:
    groups = decay_groups(network, params.weight_decay)
    return torch.optim.SGD(groups, lr=params.lr, momentum=params.momentum, nesterov=params.nesterov, fused=True)


OPTIMIZERS: dict[str, Callable[[nn.Module, Any], Optimizer]] = {"adamw": _adamw, "sgd": _sgd}
