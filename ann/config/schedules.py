"""`train.schedule:` the learning rate over the steps; `name` chooses which fields follow.

Every schedule is the optimizer's `lr` times a factor, after a linear warmup over the share `warmup` of all steps.
"""

from typing import Annotated, Literal, TypeAlias

from pydantic import Field

from ann.config.section import Section, default_tag

Warmup: TypeAlias = Annotated[float, Field(ge=0, lt=1)]


class Constant(Section):
    """The peak learning rate to the end."""

    name: Literal["constant"]
    """Chooses this one."""
    warmup: Warmup = 0.0
    """Share of all steps that the learning rate takes to rise from 0 to its peak."""


class Step(Section):
    """Multiply by `factor` after every `every` epochs."""

    name: Literal["step"]
    """Chooses this one."""
    every: float = Field(default=10, gt=0)
    """Epochs between two falls."""
    factor: float = Field(default=0.1, gt=0, lt=1)
    """What each fall multiplies with."""
    warmup: Warmup = 0.0
    """Share of all steps that the learning rate takes to rise from 0 to its peak."""


class Exponential(Section):
    """decay_rate ^ (epoch / decay_epochs), falling smoothly from step to step."""

    name: Literal["exponential"]
    """Chooses this one."""
    decay_rate: float = Field(default=0.96, gt=0, le=1)
    """What `decay_epochs` epochs multiply with."""
    decay_epochs: float = Field(default=1, gt=0)
    """Epochs in which the learning rate falls by `decay_rate`."""
    warmup: Warmup = 0.0
    """Share of all steps that the learning rate takes to rise from 0 to its peak."""


class Cosine(Section):
    """Half a cosine down to `final` times the peak."""

    name: Literal["cosine"] = "cosine"
    """Chooses this one."""
    warmup: Warmup = 0.05
    """Share of all steps that the learning rate takes to rise from 0 to its peak."""
    final: float = Field(default=0.0, ge=0, le=1)
    """Last learning rate as a share of the peak."""


class OneCycle(Section):
    """Half a cosine up from `start` to the peak, half a cosine down to `final` (Smith & Topin, arXiv:1708.07120)."""

    name: Literal["one_cycle"]
    """Chooses this one."""
    warmup: float = Field(default=0.3, gt=0, lt=1)
    """Share of all steps that the learning rate takes to rise from `start` to its peak."""
    start: float = Field(default=0.04, gt=0, le=1)
    """First learning rate as a share of the peak."""
    final: float = Field(default=4e-6, ge=0, le=1)
    """Last learning rate as a share of the peak."""


class Plateau(Section):
    """Multiply by `factor` when what early stopping watches has not improved for `patience` epochs."""

    name: Literal["plateau"]
    """Chooses this one."""
    factor: float = Field(default=0.1, gt=0, lt=1)
    """What each fall multiplies with."""
    patience: int = Field(default=5, ge=1)
    """Epochs without improvement before a fall; those of the warmup do not count."""
    min_delta: float = Field(default=0.0, ge=0)
    """A smaller improvement does not count."""
    min_lr: float = Field(default=0.0, ge=0)
    """The learning rate falls no lower than this."""
    warmup: Warmup = 0.0
    """Share of all steps that the learning rate takes to rise from 0 to its peak."""


ScheduleOfLR: TypeAlias = Annotated[
    Constant | Step | Exponential | Cosine | OneCycle | Plateau,
    Field(discriminator="name"),
    default_tag("name", "cosine"),
]
