"""`data.reading:` how the files of the data set are written."""

import codecs
import re
from typing import Literal, Self

from pydantic import Field, field_validator, model_validator

from ann.config.section import Section


class Reading(Section):
    """How the files are written; `auto` looks at the first of them and reads all alike."""

    format: Literal["auto", "csv", "parquet", "idx", "pixels", "images", "audio"] = "auto"
    """What the rows stand in: tables of text or Parquet, IDX files (as MNIST's), tables with a column a pixel, or
    folders of image or .wav files. `auto` goes by the names of files, and takes columns of pixels for images."""
    separator: str = "auto"
    """Column separator of text files, one character; `auto` counts commas, semicolons, tabs and bars."""
    encoding: str = "auto"
    """Codec of text files, such as latin-1; `auto` is UTF-8, or cp1252 with a warning where the file is none."""
    header: bool | Literal["auto"] = "auto"
    """Whether the first row of text files holds the names of columns."""
    names: tuple[str, ...] = Field(default=())
    """Names of the columns of text files without a header, or in place of it where `header` is true."""
    decimal: Literal[".", ","] = "."
    """What separates the fraction of a number in text files."""
    pattern: str | None = None
    """Regular expression of the names of media files without their suffix; each named group becomes a column."""

    @field_validator("separator")
    @classmethod
    def _one_character(cls, separator: str) -> str:
        if separator != "auto" and (len(separator) != 1 or separator in '"\r\n'):
            raise ValueError(f'separator must be auto or one character, a tab is written "\\t"; got {separator!r}')
        return separator

    @field_validator("encoding")
    @classmethod
    def _known_codec(cls, encoding: str) -> str:
        if encoding != "auto":
            try:
                "".encode(encoding)
                codecs.lookup(encoding)
            except LookupError:
                raise ValueError(f"encoding {encoding!r} is no text codec of Python: try utf-8 or cp1252") from None
        return encoding

    @field_validator("names")
    @classmethod
    def _different_names(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        doubled = sorted({name for name in names if names.count(name) > 1})
        if doubled:
            raise ValueError(f"names must differ; doubled: {', '.join(doubled)}")
        if any(not name.strip() for name in names):
            raise ValueError("names must not be empty: give every column one")
        return names

    @field_validator("pattern")
    @classmethod
    def _named_groups(cls, pattern: str | None) -> str | None:
        if pattern is None:
            return None
        try:
            groups = re.compile(pattern).groupindex
        except re.error as error:
            raise ValueError(f"pattern {pattern!r} is no regular expression: {error}") from None
        if not groups:
            raise ValueError(f"pattern {pattern!r} names no group: write (?P<name>...) around what becomes a column")
        return pattern

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        if self.header is False and not self.names:
            raise ValueError("header is false, so the columns have no names: give them in names")
        if self.separator == self.decimal:
            raise ValueError(f"separator and decimal cannot both be {self.decimal!r}")
        return self
