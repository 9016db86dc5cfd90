"""Data sets by name: bundled ones, a real database, and an address that answers nothing."""

import socket
import sqlite3
from contextlib import closing

import pandas as pd
import pytest
from sklearn import datasets

from ann.data.fetch import fetch, url_with_password
from ann.errors import ConfigError, DataError


@pytest.fixture
def shop(tmp_path):
    """The address of a database of three customers."""
    with closing(sqlite3.connect(tmp_path / "my shop.db")) as database, database:
        database.execute("CREATE TABLE customers (age INTEGER, town TEXT, spent REAL)")
        database.executemany("INSERT INTO customers VALUES (?, ?, ?)", [(1, "a", 0.5), (2, None, 1.5), (3, "c", None)])
    return f"sql:sqlite:///{tmp_path / 'my shop.db'}"


@pytest.mark.parametrize("name", ["breast_cancer", "diabetes", "digits", "iris", "wine"])
def test_a_bundled_set_is_written_with_the_names_of_its_classes(tmp_path, name):
    path = fetch(f"sklearn:{name}", tmp_path / "data")
    assert path == tmp_path / "data" / f"{name}.parquet"
    table, bunch = pd.read_parquet(path), getattr(datasets, f"load_{name}")(as_frame=True)
    pd.testing.assert_frame_equal(table.drop(columns="target"), bunch.data)
    target = bunch.target.tolist()
    classes = bunch.get("target_names")
    assert table["target"].tolist() == (target if classes is None else [classes[label] for label in target])


def test_a_query_is_written_as_a_table(shop, tmp_path):
    path = fetch(shop, tmp_path / "data", query="SELECT age, town, spent FROM customers WHERE age > 1")
    assert [file.name for file in (tmp_path / "data").iterdir()] == [path.name] == ["my-shop.parquet"]
    expected = pd.DataFrame({"age": [2, 3], "town": [None, "c"], "spent": [1.5, None]})
    pd.testing.assert_frame_equal(pd.read_parquet(path), expected, check_dtype=False)


def test_a_failed_query_leaves_what_was_there(shop, tmp_path):
    path = fetch(shop, tmp_path / "data", query="SELECT age FROM customers")
    before = path.read_bytes()
    with pytest.raises(DataError, match="no such column: salary"):
        fetch(shop, tmp_path / "data", query="SELECT salary FROM customers")
    assert [file.read_bytes() for file in (tmp_path / "data").iterdir()] == [before]


@pytest.mark.parametrize(
    ("query", "message"),
    [
        ("SELECT age FROM customers WHERE age > 9", "sql:my shop gave no rows"),
        ("SELECT age, age FROM customers", "doubled: age: rename them with AS"),
        ("DELETE FROM customers", "does not return rows"),
    ],
)
def test_a_query_without_a_table_is_refused(shop, tmp_path, query, message):
    with pytest.raises(DataError, match=message):
        fetch(shop, tmp_path, query=query)


def test_the_password_comes_from_its_variable_and_is_never_shown(tmp_path, monkeypatch):
    with closing(socket.socket()) as free:
        free.bind(("127.0.0.1", 0))
        url = f"sql:mysql+pymysql://me:${{SHOP_PASSWORD}}@127.0.0.1:{free.getsockname()[1]}/shop"
        monkeypatch.delenv("SHOP_PASSWORD", raising=False)
        with pytest.raises(
            ConfigError, match="variable SHOP_PASSWORD, which the URL names as its password, is not set"
        ):
            fetch(url, tmp_path, query="SELECT 1")
        monkeypatch.setenv("SHOP_PASSWORD", "hunter2")
        with pytest.raises(DataError, match=r"mysql\+pymysql://me:\*\*\*@127") as caught:
            fetch(url, tmp_path, query="SELECT 1")
    assert "hunter2" not in str(caught.value)
    found, password = url_with_password(url.removeprefix("sql:"))
    assert found.password == password == "hunter2"


@pytest.mark.parametrize(
    "url",
    ["postgresql://me:hunter2@host/shop", "postgresql://host/shop?password=hunter2", "me:hunter2", "a://b:hunter2@c:d"],
)
def test_a_password_that_is_written_out_is_refused_and_not_repeated(tmp_path, url):
    with pytest.raises(ConfigError) as caught:
        fetch(f"sql:{url}", tmp_path, query="SELECT 1")
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize(
    ("source", "query", "error", "message"),
    [
        ("iris", None, ConfigError, "a source is written sklearn:NAME, .*; got 'iris'"),
        ("sklearn:", None, ConfigError, "got 'sklearn'"),
        ("https://me:secret@host", None, ConfigError, "got 'https'"),
        ("sklearn:iriss", None, DataError, r"no data set 'iriss' in its package \(did you mean 'iris'\?\)"),
        ("sklearn:iris", "SELECT 1", ConfigError, "a query belongs to a source sql:URL, and to no other"),
        ("sql:sqlite://", None, ConfigError, "a query belongs to a source sql:URL"),
        ("sql:nosuch://host/shop", "SELECT 1", ConfigError, "nosuch://host/shop cannot be opened"),
        ("openml:adult@two", None, ConfigError, "the version after @ must be a whole number, such as openml:adult@1"),
    ],
)
def test_a_source_that_is_none_is_refused(tmp_path, source, query, error, message):
    with pytest.raises(error, match=message):
        fetch(source, tmp_path, query=query)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("source", ["openml:adult", "openml:adult@2"])
def test_an_openml_that_does_not_answer_is_one_clear_message(tmp_path, monkeypatch, source):
    with closing(socket.socket()) as free:  # bound, not listening: it refuses
        free.bind(("127.0.0.1", 0))
        address = f"http://127.0.0.1:{free.getsockname()[1]}/{{}}"
        for name in ("_SEARCH_NAME", "_DATA_INFO", "_DATA_FEATURES", "_DATA_QUALITIES"):
            monkeypatch.setattr(f"sklearn.datasets._openml.{name}", address)
        with pytest.raises(DataError, match=rf"{source} cannot be fetched: .*refused"):
            fetch(source, tmp_path)
    assert list(tmp_path.iterdir()) == []
