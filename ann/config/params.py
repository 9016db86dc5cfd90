"""All of params.yaml as one frozen value."""

from typing import Any

from pydantic import Field

from ann.config.compress import CompressParams
from ann.config.data import DataParams
from ann.config.model import ModelParams
from ann.config.section import Section
from ann.config.stages import (
    EvaluateParams,
    ExportParams,
    PrepareParams,
    RegisterParams,
    ScheduleParams,
    ValidateParams,
)
from ann.config.train import TrainParams


class Params(Section):
    """params.yaml: one section a stage, and the shared sections `ann`, `seed`, `data`, `model`, `schedule`."""

    ann: str
    """Version of ann that this project is written for."""
    seed: int = Field(ge=0, lt=2**31)
    """Root of all randomness."""
    data: DataParams
    """Where the rows are and what the columns mean."""
    validate_: ValidateParams = Field(alias="validate")
    """What the data must satisfy."""
    prepare: PrepareParams
    """How rows become tensors."""
    model: ModelParams
    """The architecture."""
    train: TrainParams
    """How the network is fitted."""
    evaluate: EvaluateParams
    """How the network is judged."""
    compress: CompressParams
    """Which smaller networks are tried."""
    export: ExportParams
    """The file that is shipped."""
    register_: RegisterParams = Field(alias="register")
    """The model registry and the promotion rule."""
    schedule: ScheduleParams
    """When the deployment runs."""

    def section(self, name: str) -> Any:
        """Return the section `name` as JSON-ready values with all defaults filled in."""
        return self.model_dump(mode="json", by_alias=True)[name]
