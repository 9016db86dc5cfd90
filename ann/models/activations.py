"""Activations by name; values and derivatives of each stand in ann.models.reference, which tests compare them with."""

from collections.abc import Callable
from functools import partial

from torch import nn

LEAK = 0.01
"""Slope of leaky_relu below zero."""

ACTIVATIONS: dict[str, Callable[[], nn.Module]] = {
    "elu": nn.ELU,
    "gelu": nn.GELU,
    "leaky_relu": partial(nn.LeakyReLU, LEAK),
    "linear": nn.Identity,
    "relu": nn.ReLU,
    "selu": nn.SELU,
    "sigmoid": nn.Sigmoid,
    "silu": nn.SiLU,
    "tanh": nn.Tanh,
}
