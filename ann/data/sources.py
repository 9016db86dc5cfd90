"""Read a project's data set: one table out of one or many .csv and .parquet files."""

import csv
import warnings
from collections.abc import Callable
from pathlib import Path

import pandas as pd

from ann.config.data import DataParams
from ann.errors import DataError, did_you_mean
from ann.project import Project


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
    return table


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
    files = sorted(file for file in path.iterdir() if file.suffix in READERS)
    if not files:
        raise DataError(f"{path} holds no file that ends in {' or '.join(READERS)}: add one with `ann data add FILE`")
    return files


def read_file(path: Path, data: DataParams) -> pd.DataFrame:
    """Return one file as a table with missing values marked; the columns are checked as in `read_table`."""
    table = _read(path, data)
    _require_columns(table, data, path)
    return table


def _read(path: Path, data: DataParams) -> pd.DataFrame:
    if path.suffix not in READERS:
        known = ", ".join(READERS)
        raise DataError(f"{path.name}: cannot read {path.suffix or 'a file without suffix'}; known: {known}")
    try:
        table = READERS[path.suffix](path, data)
    except pd.errors.EmptyDataError:
        raise DataError(f"{path.name} is empty: it must have a header line and rows") from None
    except pd.errors.ParserWarning:
        raise DataError(f"{path.name}: a row has more cells than the header") from None
    except (pd.errors.ParserError, UnicodeDecodeError, OSError, ValueError) as error:
        raise DataError(f"{path.name} cannot be read: {str(error).splitlines()[0]}") from None
    if table.empty:
        raise DataError(f"{path.name} has no rows")
    return table


def _read_csv(path: Path, data: DataParams) -> pd.DataFrame:
    """Read text, then turn a column into numbers where every cell is one; so a category is what stands in the file."""
    _require_single_names(path, _header(path, data.separator))
    with warnings.catch_warnings():
        warnings.simplefilter("error", pd.errors.ParserWarning)
        text = pd.read_csv(path, sep=data.separator, dtype=str, na_filter=False, index_col=False, encoding="utf-8-sig")
    return pd.DataFrame({name: _typed(_clean(text[name], data), str(name), data) for name in text.columns})


def _read_parquet(path: Path, data: DataParams) -> pd.DataFrame:
    table = pd.read_parquet(path)
    _require_single_names(path, [str(name) for name in table.columns])
    return pd.DataFrame({str(name): _clean(_plain(table[name]), data) for name in table.columns})


def _header(path: Path, separator: str) -> list[str]:
    with path.open(encoding="utf-8-sig", newline="") as file:
        return next(csv.reader(file, delimiter=separator), [])


def _require_single_names(path: Path, names: list[str]) -> None:
    doubled = sorted({name for name in names if names.count(name) > 1})
    if doubled:
        raise DataError(f"{path.name}: column names must differ; doubled: {', '.join(doubled)}")


def _clean(column: pd.Series, data: DataParams) -> pd.Series:
    """Strip texts and mark the missing ones, as `ann.predict` does."""
    if not (isinstance(column.dtype, pd.StringDtype) or column.dtype == object):
        return column
    text = column.map(lambda value: value.strip() if isinstance(value, str) else value)
    return text.mask(text.isin(["", *data.missing]))


def _typed(column: pd.Series, name: str, data: DataParams) -> pd.Series:
    """Return numbers where every known cell is one, unless the column is a category or the target."""
    if name == data.target or (name in data.columns and data.columns[name].type == "category"):
        return column
    try:
        numbers = pd.to_numeric(column)
    except (ValueError, TypeError):
        return column
    return numbers if numbers.isna().sum() == column.isna().sum() else column  # "nan" is a text, not a marker


def _plain(column: pd.Series) -> pd.Series:
    """Turn a nullable numeric column into NumPy's numbers, NaN where missing."""
    if not (isinstance(column.dtype, pd.api.extensions.ExtensionDtype) and pd.api.types.is_numeric_dtype(column.dtype)):
        return column
    if pd.api.types.is_bool_dtype(column.dtype):
        return column.astype(object)
    return column.astype(float if column.isna().any() or pd.api.types.is_float_dtype(column.dtype) else "int64")


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


READERS: dict[str, Callable[[Path, DataParams], pd.DataFrame]] = {".csv": _read_csv, ".parquet": _read_parquet}
