"""`model:` the architecture; `family` chooses which fields follow."""

from typing import Annotated, Literal, TypeAlias

from pydantic import Field

from ann.config.section import Section

Activation: TypeAlias = Literal["relu", "gelu", "silu", "tanh"]
Norm: TypeAlias = Literal["batch", "layer", "none"]


class MLPParams(Section):
    """A multilayer perceptron; category columns enter through embeddings."""

    family: Literal["mlp"] = "mlp"
    """Chooses this architecture."""
    hidden: tuple[Annotated[int, Field(ge=1, le=65_536)], ...] = Field(default=(256, 128), min_length=1)
    """Units of each hidden layer."""
    activation: Activation = "relu"
    """Non-linearity after each hidden layer."""
    norm: Norm = "layer"
    """Normalisation between a hidden layer and its activation."""
    dropout: float = Field(default=0.1, ge=0, lt=1)
    """Share of hidden units dropped in training."""
    embedding: int = Field(default=16, ge=1, le=1024)
    """Greatest width of a category's embedding; a column with n levels gets min(this, ceil(1.6 n^0.56))."""


ModelParams: TypeAlias = MLPParams
