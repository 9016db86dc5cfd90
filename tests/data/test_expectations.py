"""The suite that is proposed from a good table."""

import math

import numpy as np
import pandas as pd
import pytest

from ann.config.data import Column, DataParams
from ann.data.expectations import propose_suite
from ann.data.schema import infer_schema
from ann.data.validation import explain, load_suite, save_suite, validate_table

ROWS = 200


def propose(table: pd.DataFrame, **columns: Column) -> list[dict]:
    target = "bought" if "bought" in table else "t"
    return propose_suite(table, infer_schema(table, DataParams(target=target, columns=columns)))


def find(entries: list[dict], kind: str, column: str | None = None) -> dict:
    """Return the arguments of the only entry of this kind and column."""
    (kwargs,) = [e["kwargs"] for e in entries if e["type"] == kind and e["kwargs"].get("column") == column]
    return kwargs


def kinds(entries: list[dict], column: str) -> set[str]:
    return {entry["type"] for entry in entries if entry["kwargs"].get("column") == column}


COLUMNS = {
    "constant": np.full(ROWS, 3.5),
    "one word": ["same"] * ROWS,
    "true or false": np.arange(ROWS) % 3 == 0,
    "ids": [f"id-{i}" for i in range(ROWS)],
    "whole with gaps": np.where(np.arange(ROWS) % 5 == 0, np.nan, np.arange(ROWS)),
    "nullable": pd.array([None, *range(1, ROWS)], dtype="Int64"),
    "negative": np.linspace(-5, -1, ROWS),
    "few whole numbers": [1, 2, 3, 4] * (ROWS // 4),
    "tiny": np.linspace(0, 1e-9, ROWS),
    "large": np.arange(ROWS, dtype=np.int64) + 2**53,
    "words with gaps": [None if i % 4 == 0 else "ab"[i % 2] for i in range(ROWS)],
    "levels": pd.Categorical(["a", "b"] * (ROWS // 2)),
    "nothing": np.full(ROWS, np.nan),
}


@pytest.mark.parametrize("name", COLUMNS)
def test_the_proposed_suite_passes_on_its_own_table_after_a_trip_through_its_file(name, tmp_path):
    table = pd.DataFrame({name: COLUMNS[name], "other": range(ROWS), "t": ["no", "yes"] * (ROWS // 2)})
    save_suite(tmp_path / "suite.json", propose(table))
    verdicts = validate_table(table, load_suite(tmp_path / "suite.json"), examples=3, sensitive=())
    assert explain([verdict for verdict in verdicts if not verdict.success]) == ""


def test_the_suite_of_customers_passes_on_other_customers(table):
    verdicts = validate_table(table.sample(frac=0.9, random_state=1), propose(table), examples=3, sensitive=())
    assert explain([verdict for verdict in verdicts if not verdict.success]) == ""


def test_a_table_with_copies_of_rows_may_keep_them():
    table = pd.DataFrame({"x": [1, 2, 3, 4, 5] * 40, "t": ["no", "yes"] * 100})
    verdicts = validate_table(table, propose(table), examples=3, sensitive=())
    assert all(verdict.success for verdict in verdicts)


def test_the_columns_and_half_of_the_rows_must_be_there(table):
    entries = propose(table)
    assert find(entries, "expect_table_columns_to_match_ordered_list")["column_list"] == list(table.columns)
    assert find(entries, "expect_table_row_count_to_be_between")["min_value"] == 300


def test_a_complete_column_must_stay_so_and_another_may_lose_two_rows_in_a_hundred_more(table):
    entries = propose(table)
    assert find(entries, "expect_column_values_to_not_be_null", "age")["mostly"] == 1
    known = table["income"].notna().mean()
    assert find(entries, "expect_column_values_to_not_be_null", "income")["mostly"] == pytest.approx(
        known - 0.02, abs=1e-3
    )


def test_numbers_may_leave_their_range_by_a_quarter_of_it_and_whole_ones_round_outwards():
    table = pd.DataFrame({"f": [-2.0, 2.0, 0.0, 1.0], "i": [-10, 11, 0, 1], "t": list("abab")})
    entries = propose(table)
    floats, whole = (find(entries, "expect_column_values_to_be_between", name) for name in "fi")
    assert (floats["min_value"], floats["max_value"]) == (-3, 3)
    assert (whole["min_value"], whole["max_value"]) == (math.floor(-10 - 21 / 4), math.ceil(11 + 21 / 4))


def test_what_was_never_negative_must_stay_so(table):
    ages = table.assign(age=table["age"] - 18)
    assert find(propose(ages), "expect_column_values_to_be_between", "age")["min_value"] == 0


def test_quantiles_may_move_by_a_part_of_the_deviation(table):
    ranges = find(propose(table), "expect_column_quantile_values_to_be_between", "income")["quantile_ranges"]
    for quantile, (low, high) in zip(ranges["quantiles"], ranges["value_ranges"], strict=True):
        assert (low + high) / 2 == pytest.approx(np.nanquantile(table["income"], quantile), rel=1e-2)
        assert high - low == pytest.approx(2 * 0.15 * table["income"].std(), rel=1e-3)


def test_categories_must_keep_their_levels_and_shares(table):
    entries = propose(table)
    assert find(entries, "expect_column_values_to_be_in_set", "colour")["value_set"] == ["blue", "green", "red"]
    shares = find(entries, "expect_column_kl_divergence_to_be_less_than", "colour")["partition_object"]
    counted = [float((table["colour"] == level).mean()) for level in shares["values"]]
    assert shares["weights"] == pytest.approx(counted, abs=1e-5)
    assert sum(shares["weights"]) == pytest.approx(1, abs=1e-12)


def test_a_column_of_many_levels_is_only_counted_and_only_warned_about():
    table = pd.DataFrame({"id": [f"id-{i}" for i in range(ROWS)], "t": ["no", "yes"] * (ROWS // 2)})
    entries = [entry for entry in propose(table) if entry["kwargs"].get("max_value") == 2 * ROWS]
    assert [(entry["type"], entry["level"]) for entry in entries] == [
        ("expect_column_unique_value_count_to_be_between", "warning")
    ]
    assert "expect_column_values_to_be_in_set" not in kinds(propose(table), "id")


def test_a_numeric_target_is_a_set_of_classes():
    table = pd.DataFrame({"x": range(6), "t": [0, 1, 0, 1, 0, 1]})
    assert find(propose(table), "expect_column_values_to_be_in_set", "t")["value_set"] == [0, 1]
    assert "expect_column_values_to_be_between" not in kinds(propose(table), "t")


def test_a_dropped_column_must_only_be_there(table):
    entries = propose(table, income=Column(role="drop"))
    assert kinds(entries, "income") == {
        "expect_column_values_to_not_be_null",
        "expect_column_unique_value_count_to_be_between",
    }


def test_a_target_of_numbers_keeps_its_range_and_may_take_any_value_in_it():
    table = pd.DataFrame({"x": range(ROWS), "t": np.linspace(0, 10, ROWS)})
    entries = propose(table)
    assert find(entries, "expect_column_values_to_be_between", "t")["max_value"] == pytest.approx(12.5)
    assert "expect_column_values_to_be_in_set" not in kinds(entries, "t")
    assert find(entries, "expect_column_values_to_not_be_null", "t")["mostly"] == 1


def days(zone: str | None = None) -> pd.DataFrame:
    dates = pd.date_range("2026-01-01", periods=ROWS, tz=zone)
    return pd.DataFrame({"day": dates, "x": range(ROWS), "t": ["no", "yes"] * (ROWS // 2)})


@pytest.mark.parametrize("zone", [None, "Europe/Berlin"])
def test_the_suite_of_dates_passes_on_later_dates(zone):
    suite = propose(days(zone))
    for table in (days(zone), days(zone).assign(day=days(zone)["day"] + pd.Timedelta(days=900))):
        verdicts = validate_table(table, suite, examples=1, sensitive=())
        assert explain([verdict for verdict in verdicts if not verdict.success]) == ""


def test_a_column_of_dates_must_stay_one():
    suite = propose(days())
    assert find(suite, "expect_column_values_to_be_of_type", "day")["type_"] == str(days()["day"].dtype)
    verdicts = validate_table(days().assign(day="soon"), suite, examples=1, sensitive=())
    assert "day" in {verdict.column for verdict in verdicts if not verdict.success}
