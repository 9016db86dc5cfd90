"""Networks of dense layers over columns: `model:` for `mlp`, `resmlp`, `densemlp` and `tabular`."""

from typing import Annotated, Literal, TypeAlias

from pydantic import Field

from ann.config.section import Section

Activation: TypeAlias = Literal["elu", "gelu", "leaky_relu", "linear", "relu", "selu", "sigmoid", "silu", "tanh"]
Initialisation: TypeAlias = Literal[
    "auto",
    "he_normal",
    "he_uniform",
    "lecun",
    "normal",
    "orthogonal",
    "xavier_normal",
    "xavier_uniform",
    "zeros",
]
Norm: TypeAlias = Literal["batch", "group", "layer", "none"]


class DenseLayers(Section):
    """What all networks of dense layers over columns have; category columns enter through embeddings."""

    hidden: tuple[Annotated[int, Field(ge=1, le=65_536)], ...] = Field(default=(256, 128), min_length=1)
    """Units of each hidden layer or block."""
    activation: Activation = "relu"
    """Non-linearity after each hidden layer."""
    norm: Norm = "layer"
    """Normalisation of each hidden layer."""
    norm_position: Literal["before", "after"] = "before"
    """Whether normalisation stands before the activation or after it."""
    dropout: float = Field(default=0.1, ge=0, lt=1)
    """Share of hidden units dropped in training."""
    dropout_kind: Literal["auto", "standard", "alpha"] = "auto"
    """`alpha` keeps mean and variance of selu; `auto` takes it there and `standard` elsewhere."""
    initialisation: Initialisation = "auto"
    """How first weights are drawn; `auto` picks by the activation: he_uniform, xavier_uniform or lecun."""
    embedding: int = Field(default=16, ge=1, le=1024)
    """Greatest width of a category's embedding; a column with n levels gets min(this, ceil(1.6 n^0.56))."""


class MLPParams(DenseLayers):
    """A multilayer perceptron."""

    family: Literal["mlp"] = "mlp"
    """Chooses this architecture."""


class ResMLPParams(DenseLayers):
    """A multilayer perceptron of residual blocks, two hidden layers each."""

    family: Literal["resmlp"]
    """Chooses this architecture."""


class DenseMLPParams(DenseLayers):
    """A multilayer perceptron in which each layer sees all that came before it."""

    family: Literal["densemlp"]
    """Chooses this architecture."""


class TabularParams(Section):
    """The modern default for tables: embedded numbers, and an ensemble that shares its weights (TabM-mini)."""

    family: Literal["tabular"]
    """Chooses this architecture."""
    hidden: tuple[Annotated[int, Field(ge=1, le=65_536)], ...] = Field(default=(128, 128), min_length=1)
    """Units of each hidden layer, which all members share."""
    members: int = Field(default=8, ge=2, le=256)
    """Members of the ensemble."""
    numeric: Literal["piecewise", "periodic"] = "piecewise"
    """How numbers are embedded: by their place among training quantiles, or by waves."""
    bins: int = Field(default=128, ge=2, le=1024)
    """Steps of a piecewise-linear embedding, or frequencies of a periodic one."""
    dimension: int = Field(default=8, ge=1, le=256)
    """Values that a number becomes."""
    activation: Activation = "relu"
    """Non-linearity after each hidden layer."""
    dropout: float = Field(default=0.1, ge=0, lt=1)
    """Share of hidden units dropped in training."""
    embedding: int = Field(default=16, ge=1, le=1024)
    """Greatest width of a category's embedding; a column with n levels gets min(this, ceil(1.6 n^0.56))."""
