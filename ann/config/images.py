"""Networks over images: `model:` for `cnn` and `resnet`."""

from typing import Annotated, Literal

from pydantic import Field

from ann.config.layers import Activation, Initialisation, Norm
from ann.config.section import Section


class ConvolutionLayers(Section):
    """What convolutional networks have."""

    stages: tuple[Annotated[int, Field(ge=1, le=4096)], ...] = Field(default=(32, 64, 128), min_length=1)
    """Channels of each stage; the sides are halved from one to the next."""
    hidden: tuple[Annotated[int, Field(ge=1, le=65_536)], ...] = ()
    """Units of dense layers between the last stage and the output."""
    activation: Activation = "relu"
    """Non-linearity after each convolution."""
    norm: Norm = "batch"
    """Normalisation of each convolution; `layer` is over all channels and places of an image."""
    dropout: float = Field(default=0.1, ge=0, lt=1)
    """Share of values dropped in front of the output, or after each dense layer."""
    initialisation: Initialisation = "auto"
    """How first weights are drawn; `auto` picks by the activation."""


class CNNParams(ConvolutionLayers):
    """Stages of 3x3 convolutions, each ended by a pooling."""

    family: Literal["cnn"]
    """Chooses this architecture."""
    convolutions: int = Field(default=2, ge=1, le=8)
    """Convolutions of each stage."""
    kernel: Literal[1, 3, 5, 7] = 3
    """Side of a convolution's kernel."""
    pooling: Literal["max", "mean"] = "max"
    """What of each 2x2 places goes on."""
    ending: Literal["mean", "flatten"] = "mean"
    """`mean` over all places of the last stage, or every place by itself."""


class ResNetParams(ConvolutionLayers):
    """Residual pairs of 3x3 convolutions (He et al. 2016)."""

    family: Literal["resnet"]
    """Chooses this architecture."""
    depth: int = Field(default=2, ge=1, le=64)
    """Residual pairs of each stage."""
