"""Splits: every row once, no copy on both sides, each class with its share."""

from hashlib import sha256
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from ann.config.split import AutoSplit, Shares, SplitParams
from ann.data.splits import row_groups, split_kind, split_rows
from ann.errors import ConfigError, DataError

MOST_COPIES = 3
seeds = st.integers(0, 2**31 - 1)
shares = st.builds(AutoSplit, valid=st.floats(0.1, 0.3), test=st.floats(0.1, 0.3))


@st.composite
def tables(draw):
    """Draw two to four classes of 40 to 120 distinct rows, some of them several times, in any order."""
    random = np.random.default_rng(draw(seeds))
    frames = []
    for label in range(draw(st.integers(2, 4))):
        rows = draw(st.integers(40, 120))
        frame = pd.DataFrame({"x": random.permutation(rows).astype(float), "y": random.choice(["a", None], rows)})
        frame.loc[frame["x"] == 0, "x"] = np.nan
        frame["label"] = label
        frames.append(frame.loc[np.repeat(frame.index, random.integers(1, MOST_COPIES + 1, rows))])
    return pd.concat(frames).sample(frac=1, random_state=draw(st.integers(0, 99))).reset_index(drop=True)


def split(table: pd.DataFrame, shares: Shares, seed: int) -> dict[str, np.ndarray]:
    return split_rows(table, table["label"].to_numpy(), task="multiclass", split=shares, seed=seed)


def parse(**fields: object) -> SplitParams:
    return TypeAdapter(SplitParams).validate_python(fields)


def part_of_rows(parts: dict[str, np.ndarray]) -> np.ndarray:
    """Return the name of each row's part, after checking that every row has one."""
    assert np.array_equal(np.sort(np.concatenate(list(parts.values()))), np.arange(sum(map(len, parts.values()))))
    return pd.concat([pd.Series(name, index=rows) for name, rows in parts.items()]).sort_index().to_numpy()


def things(rows: int, groups: int, seed: int = 0) -> pd.DataFrame:
    """Return rows of three classes, the rarest 2 % of them, in groups of very different sizes."""
    random = np.random.default_rng(seed)
    return pd.DataFrame(
        {
            "x": random.normal(size=rows),
            "who": (groups * random.random(rows) ** 2).astype(int),
            "label": random.choice(3, rows, p=[0.6, 0.38, 0.02]),
        }
    )


@settings(max_examples=30, deadline=None)
@given(tables(), shares, seeds)
def test_the_parts_hold_every_row_once_in_order(table, shares, seed):
    parts = split(table, shares, seed)
    assert list(parts) == ["train", "valid", "test"]
    assert np.array_equal(np.sort(np.concatenate(list(parts.values()))), np.arange(len(table)))
    assert all((np.diff(rows) > 0).all() for rows in parts.values())


@settings(max_examples=30, deadline=None)
@given(tables(), shares, seeds)
def test_no_row_has_a_copy_in_another_part(table, shares, seed):
    seen = [set(map(str, table.iloc[rows].to_numpy().tolist())) for rows in split(table, shares, seed).values()]
    assert not seen[0] & seen[1]
    assert not seen[0] & seen[2]
    assert not seen[1] & seen[2]


@settings(max_examples=30, deadline=None)
@given(tables(), shares, seeds)
def test_every_part_holds_its_share_of_every_class(table, shares, seed):
    parts = split(table, shares, seed)
    wanted = {"train": 1 - shares.valid - shares.test, "valid": shares.valid, "test": shares.test}
    labels = table["label"].to_numpy()
    for name, rows in parts.items():
        for label in np.unique(labels):
            share = (labels[rows] == label).sum() / (labels == label).sum()
            assert abs(share - wanted[name]) <= 2 * MOST_COPIES / (labels == label).sum()


@settings(max_examples=15, deadline=None)
@given(tables(), seeds)
def test_a_seed_decides_the_parts(table, seed):
    first, second, other = (split(table, AutoSplit(), value) for value in (seed, seed, seed + 1))
    assert all(np.array_equal(first[name], second[name]) for name in first)
    assert any(not np.array_equal(first[name], other[name]) for name in first)


def test_a_row_with_many_copies_neither_bends_the_shares_nor_stops_the_split():
    table = pd.DataFrame({"x": np.r_[np.zeros(300), np.arange(1, 701)], "label": 0})
    for seed in range(6):
        parts = split(table, AutoSplit(valid=0.15, test=0.2), seed)
        assert [len(parts[name]) for name in ("train", "valid", "test")] == pytest.approx([650, 150, 200], abs=2)


def test_a_class_of_few_rows_is_refused_with_their_number():
    table = pd.DataFrame({"x": range(102), "label": [0] * 100 + [1] * 2})
    with pytest.raises(DataError, match="class number 1 has only 2 rows: too few to stand in train, valid and test"):
        split(table, AutoSplit(), 1)


def test_a_class_of_equal_rows_is_refused():
    table = pd.DataFrame({"x": [*range(100), *[0] * 50], "label": [0] * 100 + [1] * 50})
    with pytest.raises(DataError, match="class number 1 has only"):
        split(table, AutoSplit(), 1)


def test_equal_rows_share_a_group_and_missing_values_equal_each_other():
    table = pd.DataFrame({"x": [1.0, np.nan, 1.0, np.nan, 1.0], "y": ["a", None, "a", None, "b"]})
    groups = row_groups(table)
    assert groups[0] == groups[2]
    assert groups[1] == groups[3]
    assert len(set(groups)) == 3


def test_the_parts_of_a_project_stay_what_they_were():
    n = np.arange(500)
    table = pd.DataFrame(
        {"x": n * n % 97, "y": np.where(n % 3 == 0, None, (n % 7).astype(str)), "label": n**3 % 11 % 3}
    )
    for seed, digest in ((0, "687ab118c693903a"), (7, "4478b6835c1ba051")):
        rows = np.concatenate(list(split(table, AutoSplit(), seed).values())).astype(np.int64)
        assert sha256(rows.tobytes()).hexdigest().startswith(digest)


def test_fingerprints_that_mean_the_same_give_the_same_parts():
    table = pd.DataFrame({"x": np.arange(300) % 120, "label": np.arange(300) % 120 % 3})
    labels = table["label"].to_numpy()
    found = split_rows(
        table, labels, task="multiclass", split=AutoSplit(), seed=3, fingerprints=-7 * table["x"].to_numpy()
    )
    assert all(np.array_equal(found[name], rows) for name, rows in split(table, AutoSplit(), 3).items())


@pytest.mark.parametrize("name", ["random", "stratified", "group", "hash"])
def test_rows_with_one_fingerprint_stay_together_even_with_different_labels_groups_and_keys(name):
    table, random = things(2000, 600), np.random.default_rng(1)
    labels = random.integers(0, 2, 2000)
    fingerprints = np.r_[np.arange(1900), random.choice(1900, 100, replace=False)]
    fields = {"group": {"column": "who"}, "hash": {"columns": ["who"]}}.get(name, {})
    parts = split_rows(
        table, labels, task="binary", split=parse(name=name, **fields), seed=1, fingerprints=fingerprints
    )
    found = pd.DataFrame({"part": part_of_rows(parts), "print": fingerprints, "who": table["who"]})
    assert found.groupby("print")["part"].nunique().max() == 1
    if fields:
        assert found.groupby("who")["part"].nunique().max() == 1


@pytest.mark.parametrize(
    ("task", "kind"),
    [("binary", "stratified"), ("multilabel", "stratified"), ("regression", "random"), ("forecast", "time")],
)
def test_auto_follows_the_task(task, kind):
    assert split_kind(AutoSplit(), task) == kind
    assert split_kind(parse(name="random"), task) == "random"


def test_numbers_are_split_at_random_by_the_shares():
    table = things(1000, 10)
    parts = split_rows(table, table[["x"]].to_numpy(), task="regression", split=AutoSplit(), seed=1)
    assert [len(rows) for rows in parts.values()] == [650, 150, 200]
    assert abs(table["x"].iloc[parts["test"]].mean()) < 0.25


def test_rare_labels_of_many_have_their_shares_in_every_part():
    random = np.random.default_rng(2)
    target = (random.random((4000, 5)) < [0.5, 0.2, 0.05, 0.01, 0.005]).astype(np.float32)
    table = pd.DataFrame({"x": np.arange(4000)})
    parts = split_rows(table, target, task="multilabel", split=AutoSplit(), seed=1)
    assert [len(rows) for rows in parts.values()] == pytest.approx([2600, 600, 800], abs=2)
    for name, share in (("train", 0.65), ("valid", 0.15), ("test", 0.2)):
        assert np.abs(target[parts[name]].sum(axis=0) - share * target.sum(axis=0)).max() <= 1.5


@pytest.mark.parametrize("seed", range(5))
def test_groups_stay_whole_with_shares_of_rows_and_classes_kept(seed):
    table = things(5000, 300, seed)
    labels = table["label"].to_numpy()
    parts = split_rows(table, labels, task="multiclass", split=parse(name="group", column="who"), seed=seed)
    assert table.groupby("who")["label"].count().max() > 200
    assert pd.Series(part_of_rows(parts)).groupby(table["who"]).nunique().max() == 1
    for name, share in (("train", 0.65), ("valid", 0.15), ("test", 0.2)):
        assert len(parts[name]) / 5000 == pytest.approx(share, abs=0.01)
        held = np.bincount(labels[parts[name]]) / np.bincount(labels)
        assert held == pytest.approx([share] * 3, abs=0.06)


@pytest.mark.parametrize("people", [3, 4, 5])
def test_a_few_large_groups_still_fill_every_part(people):
    table = pd.DataFrame({"who": np.arange(600) % people, "digit": np.arange(600) // people % 10})
    labels = table["digit"].to_numpy()
    parts = split_rows(table, labels, task="multiclass", split=parse(name="group", column="who"), seed=1)
    assert [len(set(table["who"].iloc[parts[name]])) for name in ("valid", "test")] == [1, 1]


def sizes_by_group(sizes: list[int], seed: int) -> list[int]:
    table = pd.DataFrame({"who": np.repeat(np.arange(len(sizes)), sizes)})
    split = parse(name="group", column="who")
    parts = split_rows(table, np.zeros((len(table), 1)), task="regression", split=split, seed=seed)
    return [len(parts[name]) for name in ("train", "valid", "test")]


@pytest.mark.parametrize("seed", range(4))
def test_large_groups_go_where_there_is_room_for_them(seed):
    assert sizes_by_group([1] * 600 + [400], seed) == [650, 150, 200]
    assert sizes_by_group([200, 300, 200, 300], seed) == [600, 200, 200]


def test_a_class_in_two_groups_cannot_be_split_by_group():
    table = pd.DataFrame({"who": [*range(50), 0, 1], "label": [0] * 50 + [1, 1]})
    with pytest.raises(DataError, match=r"class number 1 has 2 rows, but none in .*add groups"):
        split_rows(table, table["label"].to_numpy(), task="binary", split=parse(name="group", column="who"), seed=1)


def test_a_row_without_group_is_refused():
    table = pd.DataFrame({"who": ["a", "b", None, "c"], "label": [0, 1, 0, 1]})
    with pytest.raises(DataError, match="'who' is missing in 1 rows, first in row 2"):
        split_rows(table, table["label"].to_numpy(), task="binary", split=parse(name="group", column="who"), seed=1)


def by_time(column: pd.Series, **fields: object) -> list[pd.Series]:
    table = pd.DataFrame({"when": column})
    target = np.zeros((len(table), 1))
    parts = split_rows(table, target, task="regression", split=parse(name="time", column="when", **fields), seed=1)
    assert len(part_of_rows(parts)) == len(table)
    return [column.iloc[rows] for rows in parts.values()]


DAYS = pd.Series(pd.Timestamp("2024-01-01") + pd.to_timedelta(np.random.default_rng(0).integers(0, 90, 900), unit="D"))


@pytest.mark.parametrize(
    "column",
    [DAYS, DAYS.dt.strftime("%Y-%m-%d"), DAYS.dt.tz_localize("UTC"), (DAYS - DAYS.min()).dt.days / 7],
    ids=["dates", "texts", "zone", "numbers"],
)
def test_the_oldest_rows_train_the_newest_test_and_no_day_is_cut_apart(column):
    train, valid, test = by_time(column)
    assert train.max() < valid.min()
    assert valid.max() < test.min()
    assert [len(part) for part in (train, valid, test)] == pytest.approx([585, 135, 180], abs=10)


def test_times_of_different_zones_are_sorted_by_the_moment():
    texts = ["2024-01-01T12:00+09:00", "2024-01-01T11:00-05:00", "2024-01-01T04:00Z"]
    assert [part.index.tolist() for part in by_time(pd.Series(texts))] == [[0], [2], [1]]


def test_a_day_of_most_rows_leaves_a_day_for_every_part():
    parts = by_time(pd.Series([1] + [2] * 98 + [3]))
    assert [set(part) for part in parts] == [{1}, {2}, {3}]


@pytest.mark.parametrize("column", [[1.0, np.nan, 3.0, 4.0], ["2024-01-01", "soon", "2024-01-03", "2024-01-04"]])
def test_a_row_without_time_is_refused_by_number(column):
    with pytest.raises(DataError, match=r"'when' must hold a number or a date .* 1 rows do not, first row 1"):
        by_time(pd.Series(column))


def test_two_times_are_too_few():
    with pytest.raises(DataError, match="at least three different times, got 2"):
        by_time(pd.Series([1, 1, 2, 2]))


def test_a_forecast_is_cut_into_blocks_in_the_order_of_rows_or_of_the_time_column():
    table = pd.DataFrame({"x": np.zeros(200), "when": np.arange(200)[::-1]})
    series = table[["x"]].to_numpy()
    parts = split_rows(table, series, task="forecast", split=AutoSplit(), seed=1)
    assert [(rows[0], rows[-1]) for rows in parts.values()] == [(0, 129), (130, 159), (160, 199)]
    parts = split_rows(table, series, task="forecast", split=AutoSplit(), seed=1, time="when")
    assert [(rows[0], rows[-1]) for rows in parts.values()] == [(70, 199), (40, 69), (0, 39)]


@pytest.mark.parametrize("fields", [{"name": "random"}, {"name": "group", "column": "x"}])
def test_a_series_is_not_torn_apart(fields):
    with pytest.raises(ConfigError, match=r"would tear a series apart.*name: time"):
        split_rows(pd.DataFrame({"x": range(9)}), np.zeros((9, 1)), task="forecast", split=parse(**fields), seed=1)


def test_numbers_have_no_strata():
    with pytest.raises(ConfigError, match=r"stratified keeps shares of classes.*name: random"):
        split_rows(
            pd.DataFrame({"x": range(9)}), np.zeros((9, 1)), task="regression", split=parse(name="stratified"), seed=1
        )


def by_hash(table: pd.DataFrame, seed: int = 1, **fields: object) -> np.ndarray:
    split = parse(name="hash", **{"columns": ["id"], **fields})
    return part_of_rows(split_rows(table, np.zeros((len(table), 1)), task="regression", split=split, seed=seed))


def test_a_row_keeps_its_hashed_part_whatever_rows_join_it_and_whatever_the_seed():
    table = pd.DataFrame({"id": np.arange(3000), "x": 0.5})
    more = pd.concat([table.sample(frac=1, random_state=1), pd.DataFrame({"id": [None, *range(5000, 6000)]})])
    grown = by_hash(more.reset_index(drop=True), seed=2)
    assert np.array_equal(by_hash(table), grown[np.argsort(more["id"].to_numpy(dtype=float)[:3000])])
    assert pd.Series(by_hash(table)).value_counts(normalize=True)[["train", "valid", "test"]].to_list() == (
        pytest.approx([0.65, 0.15, 0.2], abs=0.03)
    )


HASHED = ["valid", "train", "valid", "train", "test", "test", "train", "valid"]
"""Of the keys a to h, by the first eight bytes of blake2b over 2^64: below .2 test, below .35 valid."""


def test_a_hashed_part_is_the_same_on_every_machine_and_in_every_version():
    assert by_hash(pd.DataFrame({"id": list("abcdefgh")})).tolist() == HASHED
    assert set(by_hash(pd.DataFrame({"id": ["a", "b", "a", *"cdefgh"]}))[[0, 2]]) == {HASHED[0]}


def test_a_smaller_share_only_takes_rows_away():
    table = pd.DataFrame({"id": np.arange(2000)})
    few, many = by_hash(table, test=0.1), by_hash(table, test=0.2)
    assert (many[few == "test"] == "test").all()
    assert (few == "test").sum() < (many == "test").sum()


def test_media_cannot_be_hashed():
    with pytest.raises(ConfigError, match="'id' holds media"):
        by_hash(pd.DataFrame({"id": [Path("/a.png"), Path("/b.png"), Path("/c.png")]}))


def test_keys_that_are_all_the_same_leave_a_part_empty():
    with pytest.raises(DataError, match=r"split by hash of 9 rows leaves none for .*name columns"):
        by_hash(pd.DataFrame({"id": ["a"] * 9}))


def official(values: list[object], labels: list[int], **fields: object) -> dict[str, np.ndarray]:
    table = pd.DataFrame({"part": values, "x": np.arange(len(values))})
    split = parse(name="column", column="part", **fields)
    return split_rows(table, np.array(labels), task="binary", split=split, seed=1)


def test_a_column_says_the_parts_in_its_own_words():
    parts = official(["a", "b", "c"] * 2, [0, 0, 0, 1, 1, 1], train="b", valid="c", test="a")
    assert {name: rows.tolist() for name, rows in parts.items()} == {"train": [1, 4], "valid": [2, 5], "test": [0, 3]}


def test_a_column_without_validation_rows_lets_a_stratified_share_of_training_be_drawn():
    labels = [0] * 1600 + [1] * 400 + [0, 1]
    parts = official([0] * 2000 + [1] * 2, labels, train="0", test="1", valid_share=0.1)
    assert parts["test"].tolist() == [2000, 2001]
    assert np.bincount(np.array(labels)[parts["valid"]]).tolist() == [160, 40]


def test_drawn_validation_rows_hold_their_share_of_rare_labels():
    target = np.stack([np.arange(1000) % 2, np.arange(1000) % 50 == 0], axis=1).astype(np.float32)
    table = pd.DataFrame({"part": ["train"] * 900 + ["test"] * 100, "x": np.arange(1000)})
    split = parse(name="column", column="part", valid_share=1 / 6)
    parts = split_rows(table, target, task="multilabel", split=split, seed=1)
    assert target[parts["valid"]].sum(axis=0).tolist() == [75, 3]
    assert len(parts["valid"]) == 150


@pytest.mark.parametrize("odd", ["holdout", None])
def test_a_part_that_is_none_is_refused(odd):
    with pytest.raises(DataError, match=f"'part' must say the part .*row 1 holds {odd or ''!r}"):
        official(["train", odd, "test"], [0, 1, 0])


def test_a_column_that_names_no_test_row_is_refused():
    with pytest.raises(DataError, match="leaves none for test"):
        official(["train", "valid"] * 4, [0, 0, 1, 1] * 2)


def from_files(files: list[str] | None, **fields: object) -> dict[str, np.ndarray]:
    table = pd.DataFrame({"x": np.arange(12)})
    names = None if files is None else np.array(files)
    split = parse(name="files", **fields)
    return split_rows(table, np.arange(12) % 2, task="binary", split=split, seed=1, files=names)


FILES = ["train/a/1.png"] * 8 + ["test/a/1.png"] * 2 + ["dev.csv"] * 2


def test_patterns_of_files_say_the_parts():
    parts = from_files(FILES, test=["test/*"], valid=["d?v.csv", "dev*"])
    assert [rows.tolist() for rows in parts.values()] == [list(range(8)), [10, 11], [8, 9]]
    drawn = from_files(FILES, test=["test/*", "dev.csv"], valid_share=0.25)
    assert [len(rows) for rows in drawn.values()] == [6, 2, 4]
    assert set(drawn["valid"]) <= set(range(8))


@pytest.mark.parametrize(
    ("files", "fields", "message"),
    [
        (None, {"test": ["*"]}, "do not come from files"),
        (FILES, {"test": ["tests/*"]}, "test: no file matches 'tests/[*]' .*the first file is 'dev.csv'"),
        (FILES, {"test": ["test/*"], "valid": ["te*"]}, "match the same file"),
    ],
)
def test_patterns_that_cannot_be_meant_are_refused(files, fields, message):
    with pytest.raises(ConfigError, match=message):
        from_files(files, **fields)


def test_validation_drawn_of_a_series_is_its_newest_training_block():
    table = pd.DataFrame({"part": ["train"] * 20 + ["test"] * 5})
    split = parse(name="column", column="part", valid_share=0.2)
    parts = split_rows(table, np.zeros((25, 1)), task="forecast", split=split, seed=1)
    assert parts["valid"].tolist() == [16, 17, 18, 19]


def test_a_column_that_is_not_there_is_refused_with_the_nearest_name():
    with pytest.raises(ConfigError, match=r"column 'lable', which the data lacks .did you mean 'label'"):
        split_rows(things(9, 3), np.zeros(9), task="regression", split=parse(name="group", column="lable"), seed=1)


def test_a_class_that_came_up_late_cannot_be_split_by_time():
    labels = np.r_[np.zeros(80, int), np.ones(20, int)]
    with pytest.raises(DataError, match="class number 0 has 80 rows, but none in test; change the shares"):
        split_rows(pd.DataFrame({"x": range(100)}), labels, task="binary", split=parse(name="time"), seed=1)


def test_three_rows_are_the_fewest():
    with pytest.raises(DataError, match="split by random of 2 rows leaves none for train"):
        split_rows(pd.DataFrame({"x": range(2)}), np.zeros((2, 1)), task="regression", split=AutoSplit(), seed=1)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"valid": 0.6, "test": 0.4}, "valid . test must be below 1"),
        ({"name": "hash", "columns": []}, "at least 1 item"),
        ({"name": "group"}, "column"),
        ({"name": "column", "column": "part", "valid": "train"}, "must differ"),
        ({"name": "kfold"}, "'auto', 'random', 'stratified', 'group', 'time', 'hash', 'column', 'files'"),
    ],
)
def test_a_split_that_makes_no_sense_is_refused(fields, message):
    with pytest.raises(ValidationError, match=message):
        parse(**fields)


def test_shares_alone_and_a_bare_name_are_enough():
    assert parse(valid=0.1) == AutoSplit(valid=0.1)
    assert TypeAdapter(SplitParams).validate_python("time").name == "time"
