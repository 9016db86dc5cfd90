"""`data:` where the rows are and what the columns mean. Shared by several stages."""

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from ann.config.reading import Reading
from ann.config.section import Section


class Column(Section):
    """What the user knows better than the file."""

    role: Literal["feature", "drop", "slice", "time", "group"] = "feature"
    """`feature` enters the network; `slice` is kept for reporting by group only; `time` orders rows and `group` keeps
    rows of one thing together, for the split alone; `drop` is not read further."""
    type: Literal["auto", "number", "category", "date", "text", "image", "audio"] = "auto"
    """`auto` looks at the values; `ann data schema` shows what it found."""
    sensitive: bool = False
    """Values of this column are masked in reports."""


class DateParts(Section):
    """A date whose parts stand in several columns of numbers."""

    year: str
    """Column of the year."""
    month: str
    """Column of the month, 1 to 12."""
    day: str
    """Column of the day of the month."""
    hour: str | None = None
    """Column of the hour, 0 to 23."""


class Windows(Section):
    """How a series is cut into examples: `length` rows are read, the `horizon` rows after them are predicted."""

    length: int = Field(default=96, ge=2)
    """Rows that the network reads."""
    horizon: int = Field(ge=1)
    """Rows ahead that are predicted."""
    stride: int = Field(default=1, ge=1)
    """Rows between the beginnings of two training examples; held-out parts take every row."""
    season: int = Field(default=1, ge=1)
    """Rows of a season, 24 for hourly values; the naive forecast that metrics compare with repeats the last one."""


class DataParams(Section):
    """Where the rows are and what the columns mean."""

    path: str = "data"
    """A file, or a folder whose files together are one data set, relative to the project."""
    target: Annotated[str, Field(min_length=1)] | Annotated[tuple[str, ...], Field(min_length=1)]
    """Name of the column to predict, or a list of names; with `windows` the series that are forecast."""
    task: Literal["auto", "binary", "multiclass", "multilabel", "regression"] = "auto"
    """What is predicted; `auto` looks at the target's values. With `windows` it is a forecast."""
    quantiles: tuple[Annotated[float, Field(gt=0, lt=1)], ...] = ()
    """Quantiles that are predicted in place of the mean, an odd number in rising order; for numbers only."""
    windows: Windows | None = None
    """Rows are times of a series, and what follows them is predicted."""
    dates: dict[str, DateParts] = Field(default={})
    """Dates to make of several columns, by the name that each gets."""
    positive: str | None = None
    """The target value that counts as positive when there are two classes; default: the rarer one."""
    missing: tuple[str, ...] = ("",)
    """Texts that stand for a missing value, besides empty cells."""
    reading: Reading = Reading()
    """How the files are written."""
    columns: dict[str, Column] = Field(default={})
    """Corrections to the inferred roles and types, by column name."""

    @property
    def targets(self) -> tuple[str, ...]:
        """Names of the columns to predict."""
        return (self.target,) if isinstance(self.target, str) else self.target

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        if len(set(self.targets)) < len(self.targets):
            raise ValueError(f"target names must differ, got {', '.join(self.targets)}")
        if self.quantiles and (list(self.quantiles) != sorted(set(self.quantiles)) or len(self.quantiles) % 2 == 0):
            raise ValueError(
                f"quantiles must rise and be odd in number, since the middle one is the forecast: for instance "
                f"[0.1, 0.5, 0.9], got {list(self.quantiles)}"
            )
        if self.quantiles and self.task not in ("auto", "regression"):
            raise ValueError(f"quantiles are of numbers, but task is {self.task}: remove one of them")
        if self.windows and self.windows.season > self.windows.length:
            raise ValueError(
                f"windows.season is {self.windows.season} rows, more than the {self.windows.length} that are read: "
                f"raise windows.length"
            )
        if self.windows and self.task != "auto":
            raise ValueError(f"windows make a forecast, but task is {self.task}: remove one of them")
        return self
