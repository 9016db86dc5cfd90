"""Read a project's data set: one table out of one or many .csv and .parquet files."""

from pathlib import Path

import pandas as pd

from ann.config.data import DataParams
from ann.errors import DataError, did_you_mean
from ann.project import Project

SUFFIXES = (".csv", ".parquet")


def read_table(data: DataParams, project: Project) -> pd.DataFrame:
    """Return all rows, files in order of their names, with a fresh index that numbers the source rows.

    Raises:
        DataError: nothing is there, a file is empty or unreadable, or columns are missing, doubled or different.
    """
    files = source_files(data, project)
    frames = [_read(file, data) for file in files]
    for file, frame in zip(files[1:], frames[1:], strict=True):
        if list(frame.columns) != list(frames[0].columns):
            different = sorted(set(frame.columns) ^ set(frames[0].columns)) or "their order"
            raise DataError(f"{file.name} and {files[0].name} must have the same columns; they differ in {different}")
    table = pd.concat(frames, ignore_index=True) if len(frames) > 1 else frames[0].reset_index(drop=True)
    _require_columns(table, data, files[0])
    return _mark_missing(table, data.missing)


def source_files(data: DataParams, project: Project) -> list[Path]:
    """Return the files of the data set, sorted by name.

    Raises:
        DataError: the path does not exist or holds no readable file.
    """
    path = project.root / data.path
    if not path.exists():
        if project.data_file.exists():
            raise DataError(f"{path} is not there, but {project.data_file.name} tracks it: run `dvc pull data.dvc`")
        raise DataError(f"{path} does not exist: add your file with `ann data add FILE`")
    if path.is_file():
        return [path]
    files = sorted(file for file in path.iterdir() if file.suffix in SUFFIXES)
    if not files:
        raise DataError(f"{path} holds no file that ends in {' or '.join(SUFFIXES)}: add one with `ann data add FILE`")
    return files


def read_file(path: Path, data: DataParams) -> pd.DataFrame:
    """Return one file as a table with missing values marked; the columns are checked as in `read_table`."""
    table = _read(path, data)
    _require_columns(table, data, path)
    return _mark_missing(table, data.missing)


def _read(path: Path, data: DataParams) -> pd.DataFrame:
    if path.suffix not in SUFFIXES:
        raise DataError(
            f"{path.name}: cannot read {path.suffix or 'a file without suffix'}; known: {', '.join(SUFFIXES)}"
        )
    try:
        if path.suffix == ".parquet":
            table = pd.read_parquet(path)
        else:
            table = pd.read_csv(path, sep=data.separator, na_values=list(data.missing), keep_default_na=False)
    except pd.errors.EmptyDataError:
        raise DataError(f"{path.name} is empty: it must have a header line and rows") from None
    except (pd.errors.ParserError, UnicodeDecodeError, OSError, ValueError) as error:
        raise DataError(f"{path.name} cannot be read: {str(error).splitlines()[0]}") from None
    if table.empty:
        raise DataError(f"{path.name} has no rows")
    doubled = sorted({str(name) for name in table.columns[table.columns.duplicated()]})
    if doubled:
        raise DataError(f"{path.name}: column names must differ; doubled: {', '.join(doubled)}")
    return table


def _require_columns(table: pd.DataFrame, data: DataParams, file: Path) -> None:
    present = [str(name) for name in table.columns]
    if data.target not in present:
        raise DataError(
            f"{file.name} has no column {data.target!r}, which data.target names{did_you_mean(data.target, present)}"
        )
    for name in data.columns:
        if name not in present:
            raise DataError(
                f"{file.name} has no column {name!r}, which data.columns names{did_you_mean(name, present)}"
            )


def _mark_missing(table: pd.DataFrame, markers: tuple[str, ...]) -> pd.DataFrame:
    """Replace each marker text by a missing value, in text columns."""
    for name in table.columns:
        column = table[name]
        if not pd.api.types.is_numeric_dtype(column.dtype) and column.isin(markers).any():
            table[name] = column.mask(column.isin(markers))
    return table
