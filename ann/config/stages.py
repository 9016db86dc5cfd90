"""The sections of the small stages: `validate`, `prepare`, `evaluate`, `export`, `register`, and `schedule`."""

from typing import Annotated, Literal
from zoneinfo import ZoneInfo, available_timezones

from pydantic import Field, field_validator

from ann.config.kinds import AudioParams, ImageParams, TextParams
from ann.config.section import Section
from ann.config.split import AutoSplit, SplitParams


class ValidateParams(Section):
    """`validate:` what the data must satisfy before anything is learned from it."""

    suite: str = "suite.json"
    """The reviewed expectations, relative to the project; `ann suite propose` writes a first one."""
    examples: int = Field(default=5, ge=0, le=100)
    """Offending rows shown for each failed expectation."""


class PrepareParams(Section):
    """`prepare:` how rows become tensors."""

    split: SplitParams = AutoSplit()
    """Which rows are held out."""
    numbers: Literal["standard", "minmax", "quantile"] = "standard"
    """Scaling of numeric columns, fitted on training rows: zero mean and unit variance, to [0, 1], or by the share of
    training rows that are smaller."""
    categories: Literal["ids", "onehot"] = "ids"
    """What categories become: ids, which networks embed, or a column of 0 and 1 a level."""
    min_count: int = Field(default=2, ge=1)
    """A category seen in fewer training rows is treated as unknown."""
    text: TextParams = TextParams()
    """Columns of texts."""
    image: ImageParams = ImageParams()
    """A column of images."""
    audio: AudioParams = AudioParams()
    """A column of sounds."""


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
    """Test metric that a challenger must improve; default: the first of the task, such as auc, accuracy or rmse."""
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
