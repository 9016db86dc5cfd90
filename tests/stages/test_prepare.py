"""The prepare stage: which rows go where, what may leak, and the arrays of each kind of column against numpy."""

import json
import logging
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from ann.artifacts import load_arrays
from ann.config.data import Column, DataParams
from ann.config.split import AutoSplit, GroupSplit, RandomSplit, TimeSplit
from ann.data.schema import Schema, infer_schema
from ann.data.windows import load_part
from ann.project import Project
from ann.stages import prepare
from ann.stages.prepare import chosen_split

SECTIONS = ("validate", "prepare", "model", "train", "evaluate", "compress", "export", "register", "schedule")
PARTS = ("train", "valid", "test")
Parts = dict[str, dict[str, np.ndarray]]


def prepared(root: Path, table: pd.DataFrame, data: str, settings: str = "{}") -> tuple[Parts, dict[str, Any]]:
    """Prepare a table; return the arrays of each part as the disk holds them, and schema.json."""
    (root / "data").mkdir(parents=True)
    table.to_csv(root / "data" / "rows.csv", index=False)
    text = "".join(f"{name}: {settings if name == 'prepare' else '{}'}\n" for name in SECTIONS)
    (root / "params.yaml").write_text(f"ann: 0.1.0\nseed: 1\ndata: {data}\n{text}", encoding="utf-8")
    project = Project.at(root)
    prepare.run(project.params(), project)
    folder = project.build.folder("prepare")
    return {part: load_arrays(folder / part) for part in PARTS}, json.loads(project.build.schema.read_text())


def findings(root: Path) -> list[dict[str, str]]:
    return json.loads(Project.at(root).build.leakage.read_text())["findings"]


def people(rows: int = 200) -> pd.DataFrame:
    random = np.random.default_rng(0)
    table = pd.DataFrame({"size": random.normal(5, 2, rows), "colour": random.choice(["red", "green", "blue"], rows)})
    table["who"] = [f"p{number // 5}" for number in range(rows)]
    table["when"] = np.arange(rows)[::-1]
    table["bought"] = random.choice(["no", "yes"], rows)
    return table


def schema_of(**roles: str) -> Schema:
    columns = {name: Column(role=role) for name, role in roles.items()}
    return infer_schema(people(), DataParams(target="bought", columns=columns))


def test_a_group_counts_more_than_a_time_and_shares_stay() -> None:
    split = AutoSplit(valid=0.1, test=0.3)
    by_group = GroupSplit(name="group", column="who", valid=0.1, test=0.3)
    assert chosen_split(split, schema_of(who="group", when="time")) == by_group
    by_time = TimeSplit(name="time", column="when", valid=0.1, test=0.3)
    assert chosen_split(split, schema_of(when="time")) == by_time
    assert chosen_split(split, schema_of()) == split


def test_a_split_that_was_named_stays_whatever_the_roles() -> None:
    split = RandomSplit(name="random")
    assert chosen_split(split, schema_of(who="group", when="time")) is split


def test_a_column_with_the_role_group_keeps_its_rows_together(tmp_path: Path) -> None:
    table = people()
    parts, schema = prepared(tmp_path, table, "{target: bought, columns: {who: {role: group}}}")
    things = [set(table["who"].iloc[arrays["rows"]]) for arrays in parts.values()]
    assert sum(map(len, things)) == len(set.union(*things)) == 40
    assert schema["group"] == "who"
    assert "who" not in [feature["name"] for feature in schema["features"]]


def test_a_column_with_the_role_time_puts_the_newest_rows_last(tmp_path: Path) -> None:
    table = people()
    parts, _ = prepared(tmp_path, table, "{target: bought, columns: {when: {role: time}, who: {role: drop}}}")
    train, valid, test = (table["when"].iloc[parts[part]["rows"]] for part in PARTS)
    assert train.max() < valid.min()
    assert valid.max() < test.min()


def test_a_column_that_gives_the_target_away_is_written_down_and_warned_of(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    table = people().assign(code=lambda rows: rows["bought"].map({"no": "n7", "yes": "y7"}))
    with caplog.at_level(logging.WARNING, logger="ann.data"):
        prepared(tmp_path, table, "{target: bought, columns: {who: {role: drop}, when: {role: drop}}}")
    [finding] = findings(tmp_path)
    assert (finding["rule"], finding["column"]) == ("alone", "code")
    assert "role drop" in finding["advice"]
    assert "column 'code'" in caplog.text


def test_where_nothing_leaks_nothing_is_told(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING, logger="ann.data"):
        prepared(tmp_path, people(), "{target: bought, columns: {who: {role: drop}, when: {role: drop}}}")
    assert findings(tmp_path) == []
    assert not caplog.text


def test_rows_of_one_thing_on_both_sides_are_warned_of_where_the_split_was_named(tmp_path: Path) -> None:
    data = "{target: bought, columns: {who: {role: group}, when: {role: drop}}}"
    prepared(tmp_path, people(), data, "{split: {name: random}}")
    [finding] = findings(tmp_path)
    assert (finding["rule"], finding["column"]) == ("group", "who")
    assert "prepare.split: {name: group, column: who}" in finding["advice"]


def series(rows: int = 120) -> pd.DataFrame:
    random = np.random.default_rng(0)
    hours = pd.date_range("2024-01-01", periods=rows, freq="h")
    return pd.DataFrame({"hour": hours, "load": random.normal(50, 9, rows).round(3), "heat": random.normal(size=rows)})


def test_windows_of_a_forecast_are_what_numpy_cuts_of_the_scaled_series(tmp_path: Path) -> None:
    table = series()
    parts, schema = prepared(tmp_path, table, "{target: load, windows: {length: 6, horizon: 3, stride: 2, season: 2}}")
    assert schema["groups"]["series"] == {"length": 6, "channels": 2, "horizon": 3, "targets": [0]}
    values = table[["load", "heat"]].to_numpy()
    seen = values[: parts["train"]["rows"].max() + 9]
    scaled = (values - seen.mean(axis=0)) / seen.std(axis=0)
    folder = Project.at(tmp_path).build.folder("prepare")
    for part in PARTS:
        found = load_part(folder / part, Schema.from_json(schema))
        starts = parts[part]["rows"]
        assert list(np.unique(np.diff(starts))) == [2 if part == "train" else 1]
        np.testing.assert_allclose(
            found["series"], [scaled[start : start + 6] for start in starts], rtol=1e-4, atol=1e-5
        )
        expected = [scaled[start + 6 : start + 9, :1] for start in starts]
        np.testing.assert_allclose(found["target"], expected, rtol=1e-4, atol=1e-5)
    predicted = [set((parts[part]["rows"][:, None] + np.arange(6, 9)).ravel()) for part in PARTS]
    assert not set.intersection(*predicted)
    assert max(predicted[0]) < min(predicted[1]) <= max(predicted[1]) < min(predicted[2])
    naive = np.abs(scaled[2 : len(seen), 0] - scaled[: len(seen) - 2, 0]).mean()
    assert schema["target"]["naive"] == pytest.approx([naive], rel=1e-4)


def test_a_series_that_never_changes_over_a_season_has_no_naive_error(tmp_path: Path) -> None:
    table = series().assign(load=np.tile([1.0, 2.0, 5.0], 40))
    _, schema = prepared(tmp_path, table, "{target: load, windows: {length: 6, horizon: 3, season: 3}}")
    assert schema["target"]["naive"] == []


def test_a_date_in_parts_becomes_what_the_date_in_one_column_becomes(tmp_path: Path) -> None:
    days = pd.Series(pd.date_range("2023-01-01", periods=90, freq="37h"))
    random = np.random.default_rng(0)
    bought = random.choice(["no", "yes"], 90)
    whole = pd.DataFrame({"day": days.dt.strftime("%Y-%m-%dT%H:00:00"), "bought": bought})
    parted = pd.DataFrame({"y": days.dt.year, "m": days.dt.month, "d": days.dt.day, "h": days.dt.hour})
    dates = "{target: bought, dates: {day: {year: y, month: m, day: d, hour: h}}}"
    split = "{split: {name: random}}"
    one, _ = prepared(tmp_path / "one", whole, "{target: bought}", split)
    other, schema = prepared(tmp_path / "other", parted.assign(bought=bought), dates, split)
    [feature] = schema["features"]
    assert (feature["name"], feature["type"], feature["columns"]) == ("day", "date", ["y", "m", "d", "h"])
    for part in PARTS:
        np.testing.assert_array_equal(one[part]["rows"], other[part]["rows"])
        np.testing.assert_allclose(one[part]["numeric"], other[part]["numeric"], atol=1e-4)


def test_quantile_scaling_gives_the_share_of_training_rows_that_are_smaller(tmp_path: Path) -> None:
    table = people()[["size", "bought"]]
    parts, _ = prepared(tmp_path, table, "{target: bought}", "{numbers: quantile}")
    seen = np.sort(table["size"].to_numpy()[parts["train"]["rows"]])
    for part in PARTS:
        found = parts[part]["numeric"][:, 0]
        values = table["size"].to_numpy()[parts[part]["rows"]]
        share = np.searchsorted(seen, values, side="left") / (len(seen) - 1)
        np.testing.assert_allclose(found, np.clip(share, 0, 1), atol=2 / len(seen))
        assert (np.diff(found[np.argsort(values)]) >= -1e-6).all()


def test_one_hot_gives_a_column_of_ones_a_level_and_no_ids(tmp_path: Path) -> None:
    table = people()[["size", "colour", "bought"]]
    table.loc[::9, "colour"] = None
    parts, schema = prepared(tmp_path, table, "{target: bought}", "{categories: onehot}")
    assert set(schema["groups"]) == {"numeric"}
    assert schema["groups"]["numeric"]["width"] == 1 + 2 + 3
    for part in PARTS:
        assert "categorical" not in parts[part]
        ones = parts[part]["numeric"][:, 1:]
        assert set(np.unique(ones)) <= {0.0, 1.0}
        assert (ones.sum(axis=1) == 1).all()
        colours = table["colour"].iloc[parts[part]["rows"]].fillna("none").to_numpy()
        codes = pd.factorize(colours)[0]
        pairs = set(zip(codes.tolist(), ones.argmax(axis=1).tolist(), strict=True))
        assert len(pairs) == len(set(colours))  # a level and its column belong together
        assert not ones[:, 0].any()  # no colour of these is unknown
