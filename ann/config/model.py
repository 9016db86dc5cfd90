"""`model:` the architecture; `family` chooses which fields follow."""

from typing import Annotated, Any, Literal, TypeAlias

from pydantic import Field, TypeAdapter

from ann.config.images import CNNParams, ResNetParams
from ann.config.layers import DenseMLPParams, MLPParams, ResMLPParams, TabularParams
from ann.config.networks import (
    CustomParams,
    ForecastParams,
    MultimodalParams,
    PretrainedParams,
    SpeechParams,
    TextNetworkParams,
)
from ann.config.section import Section, default_tag


class AutoParams(Section):
    """An architecture picked by the kinds of column; the log and the run say which and why."""

    family: Literal["auto"]
    """Chooses this one."""


Architecture: TypeAlias = (
    CNNParams
    | CustomParams
    | DenseMLPParams
    | ForecastParams
    | MLPParams
    | MultimodalParams
    | PretrainedParams
    | ResMLPParams
    | ResNetParams
    | SpeechParams
    | TabularParams
    | TextNetworkParams
)
ModelParams: TypeAlias = Annotated[
    AutoParams | Architecture, Field(discriminator="family"), default_tag("family", "auto")
]
_ARCHITECTURE: TypeAdapter[Architecture] = TypeAdapter(Annotated[Architecture, Field(discriminator="family")])


def read_model(document: dict[str, Any]) -> Architecture:
    """Return the parameters that a JSON file of a stage holds."""
    return _ARCHITECTURE.validate_python(document)
