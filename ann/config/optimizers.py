"""`train.optimizer:` how gradients move weights; `name` chooses which fields follow."""

from typing import Annotated, Literal, TypeAlias

from pydantic import Field

from ann.config.section import Section, default_tag

Beta: TypeAlias = Annotated[float, Field(ge=0, lt=1)]
Betas: TypeAlias = tuple[Beta, Beta]


class GD(Section):
    """Gradient descent on all training rows at once: one step an epoch, whatever `batch_size` says."""

    name: Literal["gd"]
    """Chooses this one."""
    lr: float = Field(default=0.1, gt=0, le=100)
    """Peak learning rate."""
    weight_decay: float = Field(default=0.0, ge=0)
    """L2 penalty; biases and normalisation weights are excluded."""


class SGD(Section):
    """Stochastic gradient descent, plain; `momentum` and `nesterov` are names of their own."""

    name: Literal["sgd"]
    """Chooses this one."""
    lr: float = Field(default=0.1, gt=0, le=100)
    """Peak learning rate."""
    weight_decay: float = Field(default=0.0, ge=0)
    """L2 penalty; biases and normalisation weights are excluded."""


class Momentum(Section):
    """Stochastic gradient descent with momentum; `nesterov` looks ahead (Sutskever et al. 2013)."""

    name: Literal["momentum", "nesterov"]
    """Chooses this one, and the form."""
    lr: float = Field(default=0.1, gt=0, le=100)
    """Peak learning rate."""
    momentum: float = Field(default=0.9, gt=0, lt=1)
    """Share of the last step's velocity that stays."""
    weight_decay: float = Field(default=0.0, ge=0)
    """L2 penalty; biases and normalisation weights are excluded."""


class RMSprop(Section):
    """RMSprop: Tieleman & Hinton, Coursera lecture 6.5, 2012."""

    name: Literal["rmsprop"]
    """Chooses this one."""
    lr: float = Field(default=1e-3, gt=0, le=10)
    """Peak learning rate."""
    alpha: Beta = 0.99
    """Decay rate of the mean square."""
    eps: float = Field(default=1e-8, gt=0)
    """Added to the root of the mean square."""
    weight_decay: float = Field(default=0.0, ge=0)
    """L2 penalty; biases and normalisation weights are excluded."""


class Adam(Section):
    """Adam: Kingma & Ba, ICLR 2015 (arXiv:1412.6980)."""

    name: Literal["adam"]
    """Chooses this one."""
    lr: float = Field(default=1e-3, gt=0, le=10)
    """Peak learning rate."""
    betas: Betas = (0.9, 0.999)
    """Decay rates of the first and second moment."""
    eps: float = Field(default=1e-8, gt=0)
    """Added to the root of the second moment."""
    weight_decay: float = Field(default=0.0, ge=0)
    """L2 penalty; biases and normalisation weights are excluded."""


class AdamW(Section):
    """AdamW: Loshchilov & Hutter, Decoupled Weight Decay Regularization, ICLR 2019."""

    name: Literal["adamw"] = "adamw"
    """Chooses this one."""
    lr: float = Field(default=1e-3, gt=0, le=10)
    """Peak learning rate."""
    betas: Betas = (0.9, 0.999)
    """Decay rates of the first and second moment."""
    eps: float = Field(default=1e-8, gt=0)
    """Added to the root of the second moment."""
    weight_decay: float = Field(default=0.01, ge=0)
    """Decoupled weight decay; biases and normalisation weights are excluded."""


class Muon(Section):
    """Muon for the weights of hidden layers (Jordan et al. 2024), AdamW for all else."""

    name: Literal["muon"]
    """Chooses this one."""
    lr: float = Field(default=1e-3, gt=0, le=10)
    """Peak learning rate of both; Muon's is scaled by matrix shape to match AdamW's (Liu et al. 2025)."""
    momentum: float = Field(default=0.95, gt=0, lt=1)
    """Share of the last step's velocity that stays, in Nesterov's form."""
    betas: Betas = (0.9, 0.999)
    """AdamW's decay rates of the first and second moment."""
    weight_decay: float = Field(default=0.01, ge=0)
    """Decoupled weight decay; biases and normalisation weights are excluded."""


OptimizerParams: TypeAlias = Annotated[
    GD | SGD | Momentum | RMSprop | Adam | AdamW | Muon, Field(discriminator="name"), default_tag("name", "adamw")
]
