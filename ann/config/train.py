"""`train:` how the network is fitted."""

from typing import Annotated, Literal, TypeAlias

from pydantic import Field

from ann.config.section import Section, default_tag


class AdamW(Section):
    """AdamW: Loshchilov & Hutter, Decoupled Weight Decay Regularization, ICLR 2019."""

    name: Literal["adamw"] = "adamw"
    """Chooses this one."""
    lr: float = Field(default=1e-3, gt=0, le=10)
    """Peak learning rate."""
    weight_decay: float = Field(default=0.01, ge=0)
    """Decoupled weight decay; biases and normalisation weights are excluded."""
    betas: tuple[Annotated[float, Field(ge=0, lt=1)], Annotated[float, Field(ge=0, lt=1)]] = (0.9, 0.999)
    """Decay rates of the first and second moment."""


class SGD(Section):
    """Stochastic gradient descent with momentum."""

    name: Literal["sgd"]
    """Chooses this one."""
    lr: float = Field(default=0.1, gt=0, le=100)
    """Peak learning rate."""
    momentum: float = Field(default=0.9, ge=0, lt=1)
    """Momentum factor."""
    nesterov: bool = False
    """Nesterov's form of momentum."""
    weight_decay: float = Field(default=0.0, ge=0)
    """L2 penalty; biases and normalisation weights are excluded."""


class Cosine(Section):
    """Linear warmup, then half a cosine down to `final` times the peak."""

    name: Literal["cosine"] = "cosine"
    """Chooses this one."""
    warmup: float = Field(default=0.05, ge=0, lt=1)
    """Share of all steps that the learning rate takes to rise from 0 to its peak."""
    final: float = Field(default=0.0, ge=0, le=1)
    """Last learning rate as a share of the peak."""


class Constant(Section):
    """Linear warmup, then the peak learning rate to the end."""

    name: Literal["constant"]
    """Chooses this one."""
    warmup: float = Field(default=0.0, ge=0, lt=1)
    """Share of all steps that the learning rate takes to rise from 0 to its peak."""


class EarlyStopping(Section):
    """Stop when the validation loss no longer falls; the best weights are restored in any case."""

    patience: int = Field(default=8, ge=1)
    """Epochs without improvement before training stops."""
    min_delta: float = Field(default=0.0, ge=0)
    """A smaller fall of the validation loss does not count as improvement."""


OptimizerParams: TypeAlias = Annotated[AdamW | SGD, Field(discriminator="name"), default_tag("name", "adamw")]
ScheduleOfLR: TypeAlias = Annotated[Cosine | Constant, Field(discriminator="name"), default_tag("name", "cosine")]


class TrainParams(Section):
    """How the network is fitted."""

    epochs: int = Field(default=30, ge=1, le=100_000)
    """Greatest number of passes over the training rows."""
    batch_size: int = Field(default=256, ge=2)
    """Rows a step."""
    optimizer: OptimizerParams = AdamW()
    """Optimizer and its settings."""
    schedule: ScheduleOfLR = Cosine()
    """Learning rate over the steps."""
    early_stopping: EarlyStopping | None = EarlyStopping()
    """When to stop before `epochs`; null runs all of them."""
    clip_norm: float | None = Field(default=1.0, gt=0)
    """Greatest norm of all gradients together; null does not clip."""
    label_smoothing: float = Field(default=0.0, ge=0, lt=1)
    """Share of the target probability spread over all classes."""
    device: Literal["auto", "cpu", "cuda"] = "auto"
    """`auto` is CUDA where there is one."""
    threads: int | None = Field(default=None, ge=1)
    """CPU threads of torch; null takes torch's own choice."""
