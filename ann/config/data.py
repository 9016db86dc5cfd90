"""`data:` where the rows are and what the columns mean. Shared by several stages."""

from typing import Literal

from pydantic import Field

from ann.config.section import Section


class Column(Section):
    """What the user knows better than the file."""

    role: Literal["feature", "drop", "slice"] = "feature"
    """`feature` enters the network; `slice` is kept for reporting by group only; `drop` is not read further."""
    type: Literal["auto", "number", "category"] = "auto"
    """`auto` takes numbers for numeric columns and categories for the rest."""
    sensitive: bool = False
    """Values of this column are masked in reports."""


class DataParams(Section):
    """Where the rows are and what the columns mean."""

    path: str = "data"
    """A file or a folder of .csv / .parquet files that together are one data set, relative to the project."""
    target: str = Field(min_length=1)
    """Name of the column to predict."""
    positive: str | None = None
    """The target value that counts as positive when there are two classes; default: the rarer one."""
    missing: tuple[str, ...] = ("",)
    """Texts that stand for a missing value, besides empty cells."""
    separator: str = ","
    """Column separator of .csv files."""
    columns: dict[str, Column] = Field(default={})
    """Corrections to the inferred roles and types, by column name."""
