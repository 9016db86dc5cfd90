"""What `ann data schema` tells of each column, hides, prints and proposes to write down."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from ann.config import load_params, write_columns
from ann.config.data import Column, DataParams
from ann.data.schema import Schema, infer_schema
from ann.data.sources import read_table
from ann.project import Project
from ann.report.columns import HIDDEN, ColumnFact, column_facts, corrections, print_schema

PARAMS = """\
ann: 0.1.0
seed: 1
data: {data}
validate: {{}}
prepare: {{}}
model: {{}}
train: {{}}
evaluate: {{}}
compress: {{}}
export: {{}}
register: {{}}
schedule: {{}}
"""


def people(rows: int = 40) -> pd.DataFrame:
    random = np.random.default_rng(0)
    table = pd.DataFrame({"age": random.integers(18, 80, rows), "colour": random.choice(["red", "blue"], rows)})
    table["born"] = pd.Timestamp("1990-01-01") + pd.to_timedelta(random.integers(0, 9999, rows), unit="D")
    table["note"] = [f"a note of {number} words or so" for number in range(rows)]
    table["town"] = random.choice(["north", "south"], rows)
    table["bought"] = np.where(table["age"] > 40, "yes", "no")
    table.loc[:3, "colour"] = None
    return table


def facts_of(table: pd.DataFrame, **data: object) -> tuple[dict[str, ColumnFact], Schema]:
    params = DataParams(**{"target": "bought", **data})
    schema = infer_schema(table, params)
    return {fact.name: fact for fact in column_facts(table, schema, params)}, schema


def printed(table: pd.DataFrame, capsys: pytest.CaptureFixture[str], **data: object) -> str:
    facts, schema = facts_of(table, **data)
    print_schema(list(facts.values()), schema, len(table))
    return capsys.readouterr().out


def test_every_column_is_told_in_the_order_of_the_file() -> None:
    table = people()
    facts, _ = facts_of(table, columns={"town": Column(role="slice")})
    assert list(facts) == list(table.columns)
    assert {name: (fact.role, fact.type) for name, fact in facts.items()} == {
        "age": ("feature", "number"),
        "colour": ("feature", "category"),
        "born": ("feature", "date"),
        "note": ("feature", "text"),
        "town": ("slice", "category"),
        "bought": ("target", "category"),
    }
    for name, fact in facts.items():
        assert fact.missing == table[name].isna().mean()
        assert fact.distinct == table[name].nunique()


def test_an_example_is_short_and_on_one_line() -> None:
    table = people().assign(note="first line\n  and a second one that goes on and on " + people()["age"].astype(str))
    facts, _ = facts_of(table)
    assert facts["note"].example == "first line and a second one…"
    assert facts["colour"].example == table["colour"].dropna().iloc[0]


def test_media_are_told_by_name_or_size(tmp_path: Path) -> None:
    cells = {
        "path": pd.Series([tmp_path / "a.png", tmp_path / "b.png"], dtype=object),
        "bytes": pd.Series([b"\x89PNG" * 300, b"\x89PNG"], dtype=object),
        "array": pd.Series([np.zeros((4, 6, 3), np.uint8)] * 2, dtype=object),
    }
    for kind, shown in {"path": "a.png", "bytes": "1,200 bytes", "array": "4 x 6 x 3"}.items():
        facts, _ = facts_of(pd.DataFrame({"x": cells[kind], "bought": ["yes", "no"]}))
        assert (facts["x"].example, facts["x"].type, facts["x"].distinct) == (shown, "image", 2)


def test_an_empty_column_has_no_example() -> None:
    facts, _ = facts_of(people().assign(empty=np.nan))
    assert (facts["empty"].example, facts["empty"].distinct, facts["empty"].missing) == ("", 0, 1.0)


def test_values_of_sensitive_columns_are_hidden(capsys: pytest.CaptureFixture[str]) -> None:
    columns = {name: Column(sensitive=True) for name in ("town", "bought")}
    facts, _ = facts_of(people(), columns=columns)
    assert facts["town"].example == facts["bought"].example == HIDDEN
    out = printed(people(), capsys, columns=columns)
    assert "binary" in out
    for value in ("north", "south", "yes"):
        assert value not in out


def test_the_task_its_classes_and_the_reason_are_printed(capsys: pytest.CaptureFixture[str]) -> None:
    out = printed(people(), capsys, positive="yes")
    assert "40 rows" in out
    assert "Task  binary: no, yes, since the target's values are names" in out
    assert "data.columns" in out


def test_of_many_classes_ten_are_printed(capsys: pytest.CaptureFixture[str]) -> None:
    out = printed(people().assign(bought=[f"c{number:02d}" for number in range(20)] * 2), capsys)
    assert "c09, ..., since" in out
    assert "c10" not in out


def test_brackets_in_names_and_values_are_no_markup(capsys: pytest.CaptureFixture[str]) -> None:
    table = people().rename(columns={"age": "age [years]"}).assign(colour="[red]", town="[/]")
    out = printed(table.assign(bought=np.where(table["bought"] == "yes", "[y]", "[/n]")), capsys)
    for text in ("age [years]", "[red]", "[/]", "[y]", "[/n]"):
        assert text in out


def test_the_time_that_a_forecast_finds_and_its_targets_are_told() -> None:
    table = pd.DataFrame({"hour": pd.date_range("2024-01-01", periods=60, freq="h"), "load": np.arange(60.0)})
    facts, _ = facts_of(table, target="load", windows={"length": 8, "horizon": 2})
    assert {name: fact.role for name, fact in facts.items()} == {"hour": "time", "load": "target"}


def test_targets_are_not_written_down() -> None:
    facts, _ = facts_of(people(), columns={"town": Column(role="drop")})
    found = corrections(list(facts.values()))
    assert "bought" not in found
    assert found["town"] == {"role": "drop", "type": "category"}


def rows_of_every_kind(folder: Path) -> str:
    table = people().assign(code=[f"{number % 7:03d}" for number in range(40)], gap=np.nan, big=2**40)
    table["day"], table["month"], table["year"] = 5, 6, 2000 + np.arange(40) % 3
    table.to_csv(folder / "rows.csv", index=False)
    dates = "{arrived: {year: year, month: month, day: day}}"
    return f"{{target: bought, dates: {dates}, columns: {{town: {{role: group, sensitive: true}}}}}}"


def parquet(folder: Path) -> str:
    people().assign(yes=[True, False] * 20, whole=pd.array([1, None] * 20, "Int64")).to_parquet(folder / "rows.parquet")
    return "{target: age}"


def several_targets(folder: Path) -> str:
    random = np.random.default_rng(0)
    pd.DataFrame(random.normal(size=(30, 4)), columns=list("abcd")).to_csv(folder / "rows.csv", index=False)
    return "{target: [a, b], quantiles: [0.1, 0.5, 0.9]}"


def series(folder: Path) -> str:
    hours = pd.date_range("2024-01-01", periods=60, freq="h")
    random = np.random.default_rng(0)
    table = pd.DataFrame({"hour": hours, "load": random.normal(size=60), "heat": random.normal(size=60), "who": "me"})
    table.to_csv(folder / "rows.csv", index=False)
    return "{target: load, windows: {length: 8, horizon: 2}, columns: {who: {role: drop}}}"


def pixels(folder: Path) -> str:
    random = np.random.default_rng(0)
    table = pd.DataFrame(random.integers(0, 256, (12, 25)), columns=[f"pixel{number}" for number in range(25)])
    table.assign(digit=np.arange(12) % 3).to_csv(folder / "digits.csv", index=False)
    return "{target: digit}"


def pictures(folder: Path) -> str:
    for number in range(6):
        path = folder / ("cat", "dog")[number % 2] / f"site{number % 3}_{number}.png"
        path.parent.mkdir(exist_ok=True)
        Image.fromarray(np.full((8, 8), 40 * number, np.uint8)).save(path)
    return '{target: animal, reading: {pattern: "(?P<site>site[0-9])_[0-9]+"}}'


def named_pictures(folder: Path) -> str:
    pictures(folder)
    names = [path.relative_to(folder).as_posix() for path in sorted(folder.rglob("*.png"))]
    pd.DataFrame({"file": names, "weight": np.arange(6.0), "kind": ["a", "b"] * 3}).to_csv(
        folder / "animals.csv", index=False
    )
    return "{target: kind, columns: {file: {type: image}}}"


@pytest.mark.parametrize(
    "kind", [rows_of_every_kind, parquet, several_targets, series, pixels, pictures, named_pictures]
)
def test_what_was_written_down_gives_the_same_schema_again(kind: Callable[[Path], str], tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "params.yaml").write_text(PARAMS.format(data=kind(tmp_path / "data")), encoding="utf-8")
    project = Project.at(tmp_path)

    def read() -> tuple[Schema, list[ColumnFact]]:
        data = project.params().data
        table = read_table(data, project)
        schema = infer_schema(table, data)
        return schema, column_facts(table, schema, data)

    schema, facts = read()
    write_columns(project.params_file, corrections(facts))
    assert set(load_params(project.params_file).data.columns) == {fact.name for fact in facts if fact.role != "target"}
    again, facts_again = read()
    assert again.to_json() == schema.to_json()
    assert facts_again == facts
    written = project.params_file.read_bytes()
    write_columns(project.params_file, corrections(facts_again))
    assert project.params_file.read_bytes() == written
