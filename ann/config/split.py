"""`prepare.split:` which rows are held out; `name` chooses which fields follow."""

from typing import Annotated, Literal, Self, TypeAlias

from pydantic import Field, model_validator

from ann.config.section import Section, default_tag


class Shares(Section):
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


class AutoSplit(Shares):
    """By the column with the role `group` or `time`; else stratified, for numbers random, for a forecast by time."""

    name: Literal["auto"] = "auto"
    """Chooses this one."""


class RandomSplit(Shares):
    """Rows at random; equal rows stay together."""

    name: Literal["random"]
    """Chooses this one."""


class StratifiedSplit(Shares):
    """Each part holds its share of every class or label; equal rows stay together."""

    name: Literal["stratified"]
    """Chooses this one."""


class GroupSplit(Shares):
    """All rows of one thing (a person, a machine, a document) go to one part."""

    name: Literal["group"]
    """Chooses this one."""
    column: str
    """Column that names the thing."""


class TimeSplit(Shares):
    """The oldest rows train, the newest test."""

    name: Literal["time"]
    """Chooses this one."""
    column: str | None = None
    """Column of numbers or dates to sort by; null takes the column with the role `time`, else the order of the rows."""


class HashSplit(Shares):
    """By a hash of some columns: a row keeps its part when rows are added, whatever the seed."""

    name: Literal["hash"]
    """Chooses this one."""
    columns: Annotated[tuple[str, ...], Field(min_length=1)]
    """Columns that together name a row, and never change."""


class ColumnSplit(Section):
    """A column says the part of each row."""

    name: Literal["column"]
    """Chooses this one."""
    column: str
    """Column of the parts."""
    train: str = "train"
    """Its value in training rows."""
    valid: str = "valid"
    """Its value in validation rows."""
    test: str = "test"
    """Its value in test rows."""
    valid_share: float = Field(default=0.15, gt=0, lt=1)
    """Share of the training rows that validate, where the column names none for it."""

    @model_validator(mode="after")
    def _name_three_parts(self) -> Self:
        if len({self.train, self.valid, self.test}) < 3:
            raise ValueError(f"train, valid and test must differ, got {self.train!r}, {self.valid!r}, {self.test!r}")
        return self


class FilesSplit(Section):
    """The file that a row comes from says its part, as in data sets with an official test file."""

    name: Literal["files"]
    """Chooses this one."""
    test: Annotated[tuple[str, ...], Field(min_length=1)]
    """Patterns of test files, for instance ["test/*"]; * stands for any characters, / among them."""
    valid: tuple[str, ...] = ()
    """Patterns of validation files."""
    valid_share: float = Field(default=0.15, gt=0, lt=1)
    """Share of the training rows that validate, where there is no pattern for it."""


SplitParams: TypeAlias = Annotated[
    AutoSplit | RandomSplit | StratifiedSplit | GroupSplit | TimeSplit | HashSplit | ColumnSplit | FilesSplit,
    Field(discriminator="name"),
    default_tag("name", "auto"),
]
