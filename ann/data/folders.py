"""Folders of image or .wav files: a row a file, its class the folder that it lies in or a part of its name."""

import re
from pathlib import Path

import pandas as pd

from ann.config.data import DataParams
from ann.data.readers import require_file
from ann.errors import DataError

IMAGES = (".png", ".jpg", ".jpeg", ".bmp", ".gif", ".webp")
AUDIO = (".wav",)


def read_folder(files: list[Path], root: Path, data: DataParams, column: str) -> pd.DataFrame:
    """Return a row a file: its path in `column`, and the texts that its folder and its name tell.

    With `data.reading.pattern` each named group is a column; a target that is no group is the folder's name.

    Raises:
        DataError: a file is empty, has no class, or its name does not fit the pattern.
    """
    if column in data.targets:
        raise DataError(f"data.target cannot be {column!r}, the column of files: give it another name, such as class")
    for file in files:
        require_file(file)
    groups = _groups(files, data.reading.pattern)
    if column in groups:
        raise DataError(f"data.reading.pattern has a group {column!r}, the column of files: give it another name")
    columns: dict[str, pd.Series] = {column: pd.Series(files, dtype=object)}
    if len(data.targets) == 1 and data.targets[0] not in groups:
        columns[data.targets[0]] = pd.Series([_class_of(file, root) for file in files], dtype="str")
    columns |= {name: _texts(cells, name, data) for name, cells in groups.items()}
    return pd.DataFrame(columns)


def _groups(files: list[Path], pattern: str | None) -> dict[str, list[str | None]]:
    """Return the cells of each named group over all files."""
    if pattern is None:
        return {}
    expression = re.compile(pattern)
    groups: dict[str, list[str | None]] = {name: [] for name in expression.groupindex}
    for file in files:
        found = expression.fullmatch(file.stem)
        if found is None:
            raise DataError(f"{file.name}: {file.stem!r} does not fit data.reading.pattern {pattern!r} as a whole")
        for name, cells in groups.items():
            cells.append(found[name])
    return groups


def _class_of(file: Path, root: Path) -> str:
    if file.parent == root:
        raise DataError(
            f"{file.name} lies in no folder of a class: put it into {root.name}/CLASS/, "
            f"or take the class from its name with data.reading.pattern"
        )
    return file.parent.name


def _texts(cells: list[str | None], name: str, data: DataParams) -> pd.Series:
    texts = pd.Series(cells, dtype="str")
    texts = texts.mask(texts.isin(["", *data.missing]))
    if name not in data.columns or data.columns[name].type != "number":
        return texts
    try:
        return pd.to_numeric(texts)
    except ValueError as error:
        raise DataError(f"data.reading.pattern: group {name!r} must hold numbers: {error}") from None
