"""The sections of the small stages: `validate`, `prepare`, `evaluate`, `export`, `register`, and `schedule`."""

from typing import Annotated, Literal, Self
from zoneinfo import ZoneInfo, available_timezones

from pydantic import Field, field_validator, model_validator

from ann.config.section import Section


class ValidateParams(Section):
    """`validate:` what the data must satisfy before anything is learned from it."""

    suite: str = "suite.json"
    """The reviewed expectations, relative to the project; `ann suite propose` writes a first one."""
    examples: int = Field(default=5, ge=0, le=100)
    """Offending rows shown for each failed expectation."""


class Split(Section):
    """Shares of the rows that are held out; the rest is for training."""

    valid: float = Field(default=0.15, gt=0, lt=1)
    """Share of rows for early stopping, calibration and the choice of a variant."""
    test: float = Field(default=0.2, gt=0, lt=1)
    """Share of rows that only evaluation and the gate see."""

    @model_validator(mode="after")
    def _leave_rows_for_training(self) -> Self:
        if self.valid + self.test >= 1:
            raise ValueError(f"valid + test must be below 1 to leave rows for training, got {self.valid + self.test:g}")
        return self


class PrepareParams(Section):
    """`prepare:` how rows become tensors."""

    split: Split = Split()
    """Held-out shares."""
    numbers: Literal["standard", "minmax"] = "standard"
    """Scaling of numeric columns: zero mean and unit variance, or to [0, 1]; fitted on training rows."""
    min_count: int = Field(default=2, ge=1)
    """A category seen in fewer training rows is treated as unknown."""


class EvaluateParams(Section):
    """`evaluate:` how the trained network is judged."""

    resamples: int = Field(default=1000, ge=100, le=100_000)
    """Bootstrap resamples behind each confidence interval."""
    confidence: float = Field(default=0.95, gt=0.5, lt=1)
    """Coverage of the intervals."""


class ExportParams(Section):
    """`export:` the file that is shipped."""

    latency_batches: tuple[Annotated[int, Field(ge=1)], ...] = Field(default=(1, 256), min_length=1)
    """Batch sizes [rows] at which the shipped file is timed."""


class RegisterParams(Section):
    """`register:` the model registry and the promotion rule."""

    name: str = Field(default="model", pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]*$")
    """Name of the registered model in MLflow."""
    metric: str | None = None
    """Test metric that a challenger must improve; default: auc for two classes, accuracy for more."""
    min_gain: float = Field(default=0.0, ge=0)
    """A challenger becomes champion when its metric exceeds the champion's on the same rows by more than this."""


class ScheduleParams(Section):
    """`schedule:` when the deployment runs."""

    cron: str = "0 3 * * *"
    """Cron expression of the nightly deployment."""
    timezone: str = "UTC"
    """IANA time zone of the cron expression."""

    @field_validator("cron")
    @classmethod
    def _is_cron(cls, value: str) -> str:
        if len(value.split()) != 5:
            raise ValueError("a cron expression has five fields: minute hour day month weekday")
        return value

    @field_validator("timezone")
    @classmethod
    def _is_zone(cls, value: str) -> str:
        if value not in available_timezones():
            raise ValueError("not an IANA time zone; write for instance Europe/Berlin or UTC")
        return ZoneInfo(value).key
