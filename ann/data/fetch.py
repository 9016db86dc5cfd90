"""Fetch a data set by name into a folder: bundled with scikit-learn, from OpenML, or from a database."""

import os
import re
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from ann.errors import ConfigError, DataError, did_you_mean

if TYPE_CHECKING:
    from sqlalchemy.engine import URL

BUNDLED = ("breast_cancer", "diabetes", "digits", "iris", "wine")
VARIABLE = re.compile(r"\$\{(?P<name>[A-Za-z_][A-Za-z0-9_]*)\}")
SECRET = re.compile(r"pass(word|wd)?|pwd|secret|token", re.IGNORECASE)


def fetch(source: str, folder: Path, query: str | None = None) -> Path:
    """Write the rows that `source` names as `<name>.parquet` into `folder`, and return its path.

    | source | rows |
    |---|---|
    | `sklearn:NAME` | bundled with scikit-learn: breast_cancer, diabetes, digits, iris, wine |
    | `openml:NAME` or `openml:NAME@VERSION` | of openml.org |
    | `sql:URL` | what `query` gives in the database of an SQLAlchemy URL, whose password is written `${VARIABLE}` |

    Raises:
        ConfigError: the source or the query is not written so.
        DataError: there is no such data set, or it cannot be reached or read.
    """
    scheme, _, address = source.partition(":")
    if scheme not in SOURCES or not address:
        shown = source if scheme not in SOURCES and "://" not in source else scheme
        raise ConfigError(f"a source is written sklearn:NAME, openml:NAME@VERSION or sql:URL; got {shown!r}")
    if (scheme == "sql") != (query is not None):
        raise ConfigError("a query belongs to a source sql:URL, and to no other")
    name, table = SOURCES[scheme](address, query or "")
    return _write(_storable(table, source=f"{scheme}:{name}"), folder / f"{_file_name(name)}.parquet")


def is_name(source: str) -> bool:
    """Return whether a source is a name to fetch rather than a file."""
    return source.partition(":")[0] in SOURCES and not Path(source).exists()


def _bundled(name: str, query: str) -> tuple[str, pd.DataFrame]:  # noqa: ARG001 - one signature
    if name not in BUNDLED:
        raise DataError(f"scikit-learn has no data set {name!r} in its package{did_you_mean(name, list(BUNDLED))}")
    from sklearn import datasets

    loaders = {
        "breast_cancer": datasets.load_breast_cancer,
        "diabetes": datasets.load_diabetes,
        "digits": datasets.load_digits,
        "iris": datasets.load_iris,
        "wine": datasets.load_wine,
    }
    bunch = loaders[name](as_frame=True)
    table: pd.DataFrame = bunch.frame
    classes = bunch.get("target_names")
    return name, table if classes is None else table.assign(target=[classes[label] for label in table["target"]])


def _openml(address: str, query: str) -> tuple[str, pd.DataFrame]:  # noqa: ARG001 - one signature
    name, _, version = address.partition("@")
    if version and not version.isdecimal():
        raise ConfigError(f"openml:{address}: the version after @ must be a whole number, such as openml:{name}@1")
    from sklearn.datasets import fetch_openml

    wanted = int(version) if version else "active"
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "A network error occurred")  # the error of the second try says it
            bunch = fetch_openml(name, version=wanted, as_frame=True, cache=False, n_retries=1)
    except (OSError, ValueError) as error:
        raise DataError(f"openml:{address} cannot be fetched: {_first_line(error)}") from None
    table: pd.DataFrame = bunch.frame
    return name, table


def _sql(address: str, query: str) -> tuple[str, pd.DataFrame]:
    import sqlalchemy

    url, password = url_with_password(address)
    shown = url.render_as_string(hide_password=True)
    try:
        engine = sqlalchemy.create_engine(url)
    except ModuleNotFoundError as error:
        raise DataError(f"{shown} needs the package {error.name}: pip install {error.name}") from None
    except sqlalchemy.exc.ArgumentError as error:
        raise ConfigError(f"{shown} cannot be opened: {_first_line(error)}") from None
    try:
        with engine.connect() as connection:
            table = pd.read_sql_query(sqlalchemy.text(query), connection)
    except (sqlalchemy.exc.SQLAlchemyError, pd.errors.DatabaseError) as error:
        reason = _first_line(error.__cause__ or error)  # pandas puts the query in front
        raise DataError(f"{shown}: {reason.replace(password, '***') if password else reason}") from None
    finally:
        engine.dispose()
    return Path(url.database or "query").stem, table


def url_with_password(address: str) -> tuple["URL", str]:
    """Return the URL with the password that its environment variable holds, and that password, "" where none is.

    Raises:
        ConfigError: it is no URL, its password is written out, or the variable is not set.
    """
    import sqlalchemy

    try:
        url = sqlalchemy.make_url(address)
    except (sqlalchemy.exc.ArgumentError, ValueError):
        raise ConfigError(
            "the address after sql: is no URL of SQLAlchemy, such as sqlite:////data/shop.db or "
            "postgresql+psycopg://user:${SHOP_PASSWORD}@host/shop"
        ) from None
    if any(SECRET.search(f"{key}={value}") for key, value in url.query.items()):
        raise ConfigError(f"a password stands before the host, as USER:${{VARIABLE}}@{url.host or 'HOST'}, not after ?")
    if url.password is None:
        return url, ""
    variable = VARIABLE.fullmatch(str(url.password))
    if variable is None:
        raise ConfigError(
            f"the password of {url.render_as_string(hide_password=True)} must not be written out: "
            f"put it into an environment variable and write ${{VARIABLE}} in its place"
        )
    name = variable["name"]
    if name not in os.environ:
        raise ConfigError(f"the environment variable {name}, which the URL names as its password, is not set")
    return url.set(password=os.environ[name]), os.environ[name]


def _storable(table: pd.DataFrame, source: str) -> pd.DataFrame:
    """Return the table with plain columns of different names."""
    names = [str(name) for name in table.columns]
    doubled = sorted({name for name in names if names.count(name) > 1})
    if doubled:
        raise DataError(f"{source}: column names must differ; doubled: {', '.join(doubled)}: rename them with AS")
    if table.empty:
        raise DataError(f"{source} gave no rows")
    plain = {
        str(name): column.astype(column.cat.categories.dtype) if column.dtype == "category" else column
        for name, column in table.items()
    }
    return pd.DataFrame(plain)


def _write(table: pd.DataFrame, path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(f".{path.name}.tmp")  # hidden, so that a torn file is never read as data
    try:
        table.to_parquet(beside, index=False)
        beside.replace(path)
    except (OSError, ValueError, TypeError) as error:
        raise DataError(f"{path} cannot be written: {_first_line(error)}") from None
    finally:
        beside.unlink(missing_ok=True)
    return path


def _file_name(name: str) -> str:
    return re.sub(r"[^A-Za-z0-9._-]+", "-", name).strip("-.") or "query"


def _first_line(error: BaseException) -> str:
    return next(iter(str(error).splitlines()), type(error).__name__)


SOURCES: dict[str, Callable[[str, str], tuple[str, pd.DataFrame]]] = {
    "sklearn": _bundled,
    "openml": _openml,
    "sql": _sql,
}
