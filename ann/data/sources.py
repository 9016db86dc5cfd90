"""Read a project's data set: one table out of all its files, whatever they are."""

from pathlib import Path

import numpy as np
import pandas as pd

from ann.config.data import DataParams
from ann.data.folders import AUDIO, IMAGES, read_folder
from ann.data.idx import has_pixels, idx_pair, is_idx, join_pixels, read_idx
from ann.data.packed import unpacked_name
from ann.data.readers import read_rows
from ann.errors import DataError, did_you_mean
from ann.project import Project

NOTES = ".txt"
"""Rows where nothing else is; beside other data a note to the reader."""
SUFFIXES = {
    "csv": (".csv", ".tsv", ".data", ".test", NOTES),
    "parquet": (".parquet",),
    "images": IMAGES,
    "audio": AUDIO,
}
"""Suffixes by format; those of text may be followed by one of a compression."""
KNOWN = ", ".join([".csv", ".parquet", ".tsv", ".data", ".test", NOTES, *IMAGES, *AUDIO])
ABOUT = ("readme", "license", "licence", "notice", "copying", "changelog")
"""Files whose names begin so tell about the data."""
ROWS = ("csv", "parquet")
"""Formats that may stand beside each other."""
MEDIA = {"images": "image", "audio": "audio"}
"""Name of the column of files, by format."""
FILES, FILE_OF_ROWS = "files", "file_of_rows"


def read_table(data: DataParams, project: Project) -> pd.DataFrame:
    """Return all rows, files in order of their names, with a fresh index that numbers the source rows.

    `attrs["files"]` lists (file relative to the data folder, number of rows); folders of media have a row a file, so
    that `file_of_rows` answers for both.

    Raises:
        DataError: nothing is there, a file is empty or unreadable, formats are mixed, or columns are missing, doubled
            or different.
    """
    files = source_files(data, project)
    path = project.root / data.path
    root = path.parent if path.is_file() else path
    form = _format(files[0], data)
    if form in MEDIA:
        table = read_folder(files, root, data, MEDIA[form])
        table.attrs[FILE_OF_ROWS] = "\0".join(_relative(file, root) for file in files)
    else:
        frames = _read(files, data)
        table = pd.concat(frames.values(), ignore_index=True) if len(frames) > 1 else next(iter(frames.values()))
        table.attrs[FILES] = [(_relative(file, root), len(frame)) for file, frame in frames.items()]
    _require_columns(table, data, files[0])
    return table


def file_of_rows(table: pd.DataFrame) -> np.ndarray:
    """Return (N,) str: the file, relative to the data folder, of each row of what `read_table` gave or of a part of it.

    Rows are known by the index, which must be that of `read_table`.
    """
    if FILE_OF_ROWS in table.attrs:
        names = np.array(table.attrs[FILE_OF_ROWS].split("\0"), dtype=object)
    else:
        files, counts = zip(*table.attrs[FILES], strict=True)
        names = np.repeat(np.array(files, dtype=object), counts)
    return names[table.index.to_numpy()].astype(str)


def source_files(data: DataParams, project: Project) -> list[Path]:
    """Return the files of the data set, sorted by their path in the data folder.

    Raises:
        DataError: the path does not exist or holds no readable file, or files of several formats.
    """
    path = project.root / data.path
    if not path.exists():
        if project.data_file.exists():
            raise DataError(f"{path} is not there, but {project.data_file.name} tracks it: run `dvc pull data.dvc`")
        raise DataError(f"{path} does not exist: add your file with `ann data add FILE`")
    if path.is_file():
        return idx_pair(path) if _format(path, data) == "idx" else [path]
    return _of_one_format(_readable(path), path, data)


def read_file(path: Path, data: DataParams) -> pd.DataFrame:
    """Return one file of rows as a table with missing values marked; the columns are checked as in `read_table`."""
    form = _format(path, data)
    if form in (*MEDIA, "idx"):
        raise DataError(f"{path.name} is no file of rows: copy it into the data folder and run `dvc add` on that")
    table = _read([path], data)[path]
    _require_columns(table, data, path)
    return table


def format_of(file: Path) -> str | None:
    """Return csv, parquet, idx, images or audio by a file's name, None where it is none of them."""
    if is_idx(file.name):
        return "idx"
    if Path(unpacked_name(file)).suffix in SUFFIXES["csv"]:
        return "csv"
    return next((form for form, suffixes in SUFFIXES.items() if file.suffix.lower() in suffixes), None)


def _format(file: Path, data: DataParams) -> str:
    """Return the format in which one file is read."""
    wanted = data.reading.format
    form = format_of(file) if wanted == "auto" else wanted
    if form is None:
        raise DataError(
            f"{file.name}: cannot read {file.suffix or 'a file without suffix'}; known: {KNOWN}; "
            f"or say what it is in data.reading.format"
        )
    return form


def _readable(folder: Path) -> list[Path]:
    """Return the files under a folder that have a format, sorted, without hidden ones and those about the data."""
    found = []
    for file in folder.rglob("*"):
        parts = file.relative_to(folder).parts
        if any(part.startswith(".") or part == "__MACOSX" for part in parts) or not file.is_file():
            continue
        if format_of(file) and not file.name.lower().startswith(ABOUT):
            found.append(file)
    return sorted(found, key=lambda file: _relative(file, folder))


def _of_one_format(files: list[Path], folder: Path, data: DataParams) -> list[Path]:
    forms = {file: format_of(file) for file in files}
    wanted = data.reading.format
    if wanted != "auto":
        allowed = ROWS if wanted == "pixels" else (wanted,)
        files = [file for file in files if forms[file] in allowed]
    elif _names_media(data) and any(forms[file] in ROWS for file in files):
        files = [file for file in files if forms[file] not in MEDIA]
    files = [file for file in files if not unpacked_name(file).endswith(NOTES)] or files
    if not files:
        known = KNOWN if wanted == "auto" else f"format {wanted}"
        raise DataError(f"{folder} holds no file that can be read ({known}): add one with `ann data add FILE`")
    kinds = {"csv or parquet" if forms[file] in ROWS else str(forms[file]): file for file in reversed(files)}
    if len(kinds) > 1:
        found = ", ".join(f"{kind} ({_relative(file, folder)})" for kind, file in sorted(kinds.items()))
        raise DataError(
            f"{folder} holds files of several formats: {found}. Name the one that is the data in data.reading.format; "
            f"where a table names media files, give that column the type image or audio in data.columns"
        )
    return files


def _names_media(data: DataParams) -> bool:
    return any(column.type in MEDIA.values() for column in data.columns.values())


def _read(files: list[Path], data: DataParams) -> dict[Path, pd.DataFrame]:
    """Return a frame a file."""
    if _format(files[0], data) == "idx":
        return read_idx(files, data)
    frames = dict(zip(files, read_rows(files, data), strict=True))
    wanted = data.reading.format
    if wanted == "pixels" or (wanted == "auto" and has_pixels(list(frames[files[0]].columns))):
        return {file: join_pixels(frame, data, file.name) for file, frame in frames.items()}
    return frames


def _relative(file: Path, folder: Path) -> str:
    return file.relative_to(folder).as_posix()


def _require_columns(table: pd.DataFrame, data: DataParams, file: Path) -> None:
    present = [str(name) for name in table.columns]
    owners = dict.fromkeys(data.columns, "data.columns") | dict.fromkeys(data.targets, "data.target")
    for name, owner in sorted(owners.items(), key=lambda item: item[1], reverse=True):
        if name not in present:
            raise DataError(f"{file.name} has no column {name!r}, which {owner} names{did_you_mean(name, present)}")
