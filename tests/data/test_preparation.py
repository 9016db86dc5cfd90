"""The fitted ONNX graph against the same formulas in NumPy and pandas."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ann.config.data import Column, DataParams
from ann.config.stages import PrepareParams
from ann.data.preparation import fit_statistics, preparation_graph, run_preparation
from ann.data.schema import infer_schema
from ann.errors import DataError

ROWS = 12


def frame(columns: dict) -> pd.DataFrame:
    """Put a target of two classes beside some columns."""
    rows = len(next(iter(columns.values())))
    return pd.DataFrame({**columns, "t": (["no", "yes"] * rows)[:rows]})


def prepare(train, rows=None, *, data: dict | None = None, **prepare):
    """Fit on `train` and send `rows`, by default the same, through the graph."""
    train = frame(train)
    schema = infer_schema(train, DataParams(target="t", **(data or {})))
    statistics = fit_statistics(train, schema, PrepareParams(**prepare))
    graph = preparation_graph(statistics, schema.missing)
    return run_preparation(graph, train if rows is None else frame(rows), schema)


def standardised(values: np.ndarray, train: np.ndarray) -> np.ndarray:
    """Fill with the training median, then (x - mean) / deviation of the filled training column."""
    fill = np.nanmedian(train)
    filled = np.where(np.isnan(train), fill, train)
    return (np.where(np.isnan(values), fill, values) - filled.mean()) / filled.std()


@settings(max_examples=40, deadline=None)
@given(st.lists(st.one_of(st.floats(-1000, 1000, width=32), st.just(np.nan)), min_size=4, max_size=40))
def test_numbers_are_standardised_as_the_formula_says(values):
    train = np.array([*values, 1.0, 7.0])
    numeric = prepare({"x": train})["numeric"]
    np.testing.assert_allclose(numeric[:, 0], standardised(train, train), rtol=1e-4, atol=1e-4)


def test_a_standardised_column_has_mean_zero_and_deviation_one(table):
    numeric = prepare({"income": table["income"].to_numpy()})["numeric"][:, 0].astype(np.float64)
    assert (numeric.mean(), numeric.std()) == pytest.approx((0, 1), abs=1e-5)


def test_min_max_scaling_puts_training_rows_between_zero_and_one():
    train, rows = np.array([2.0, 4.0, np.nan, 12.0]), np.array([2.0, 12.0, 7.0, 22.0, np.nan])
    numeric = prepare({"x": train}, {"x": rows}, numbers="minmax")["numeric"]
    np.testing.assert_allclose(numeric[:, 0], [0, 1, 0.5, 2, 0.2], atol=1e-6)  # the median is 4


def test_missing_numbers_are_filled_with_the_training_median_and_flagged():
    train, rows = np.array([1.0, 2.0, 9.0, np.nan]), np.array([np.nan, 2.0, 100.0])
    numeric = prepare({"x": train}, {"x": rows})["numeric"]
    assert numeric.shape == (3, 2)
    assert numeric[0, 0] == numeric[1, 0]
    assert numeric[:, 1].tolist() == [1, 0, 0]


def test_a_column_without_missing_training_values_has_no_flag_and_still_takes_missing_ones():
    numeric = prepare({"x": np.array([1.0, 2.0, 9.0])}, {"x": np.array([np.nan, 2.0])})["numeric"]
    assert numeric.shape == (2, 1)
    assert numeric[0, 0] == numeric[1, 0]


def test_values_stand_before_flags_in_order_of_the_columns():
    train = {"a": [1.0, np.nan, 3.0], "b": [1.0, 2.0, 3.0], "c": [np.nan, 2.0, 4.0]}
    numeric = prepare(train)["numeric"]
    expected = [standardised(np.array(train[name]), np.array(train[name])) for name in "abc"]
    np.testing.assert_allclose(numeric[:, :3], np.stack(expected, axis=1), atol=1e-6)
    assert numeric[:, 3:].tolist() == [[0, 1], [1, 0], [0, 0]]


@pytest.mark.parametrize("constant", [5.0, 0.1, 1e9 / 7])
@pytest.mark.parametrize("numbers", ["standard", "minmax"])
def test_a_constant_column_becomes_zero_and_another_value_stays_finite_and_moderate(constant, numbers):
    train = {"x": np.full(1000, constant), "y": np.arange(1000)}
    numeric = prepare(train, {"x": [constant, constant + 1], "y": [0, 0]}, numbers=numbers)["numeric"][:, 0]
    np.testing.assert_allclose(numeric, [0, 1], atol=0.01)


def test_levels_count_from_two_unknown_is_zero_and_missing_is_one():
    train = {"x": ["b", "a", "a", "b", "c", None, "c", "rare"]}
    ids = prepare(train, {"x": ["a", "b", "c", "rare", "never seen", None, ""]})["categorical"]
    assert ids[:, 0].tolist() == [2, 3, 4, 0, 0, 1, 1]
    assert ids.dtype == np.int64


def test_the_least_count_of_a_level_is_a_parameter():
    train = {"x": ["a", "a", "a", "b", "b", "c"]}
    ids = [prepare(train, {"x": ["a", "b", "c"]}, min_count=count)["categorical"][:, 0] for count in (1, 2, 3)]
    assert [array.tolist() for array in ids] == [[2, 3, 4], [2, 3, 0], [2, 0, 0]]


def test_missing_markers_are_missing_and_no_level_even_when_they_reach_the_graph():
    train = {"x": ["a", "?", "?", "a", "-", "-"]}
    ids = prepare(train, {"x": ["a", "?", "-", ""]}, data={"missing": ("?", "-")})["categorical"]
    assert ids[:, 0].tolist() == [2, 1, 1, 1]


def test_whole_numbers_as_categories_have_one_id_with_and_without_missing_neighbours():
    data = {"columns": {"x": Column(type="category")}}
    train = {"x": [7, 7, 8, 8, 10, 10]}
    assert prepare(train, {"x": [10.0, np.nan, 8.0]}, data=data)["categorical"][:, 0].tolist() == [2, 1, 4]


def test_numbers_beyond_float32_keep_their_differences():
    base = 1_700_000_000
    train = np.array([base, base + 1, base + 2, base + 3], dtype=np.int64)
    numeric = prepare({"x": train})["numeric"]
    assert numeric.dtype == np.float32
    np.testing.assert_allclose(numeric[:, 0], standardised(train.astype(float), train.astype(float)), rtol=1e-6)


def test_only_training_rows_are_learned_from():
    train = {"x": [1.0, 2.0, 3.0, 6.0], "c": ["a", "a", "b", "b"]}
    rows = {"x": [1e6, np.nan], "c": ["z", "a"]}
    prepared = prepare(train, rows)
    known = np.array(train["x"])
    np.testing.assert_allclose(prepared["numeric"][:, 0], standardised(np.array(rows["x"]), known), rtol=1e-6)
    assert prepared["categorical"][:, 0].tolist() == [0, 2]


def test_widths_and_sizes_say_what_the_graph_gives(table):
    schema = infer_schema(table, DataParams(target="bought"))
    statistics = fit_statistics(table, schema, PrepareParams())
    prepared = run_preparation(preparation_graph(statistics, schema.missing), table, schema)
    assert prepared["numeric"].shape == (len(table), statistics.width) == (600, 3)
    assert statistics.sizes == [5, 4, 5]  # red, green, blue; north, south; y, n, ?
    assert prepared["categorical"].max(axis=0).tolist() == [size - 1 for size in statistics.sizes]


def test_a_row_alone_is_prepared_as_in_a_big_batch(table):
    schema = infer_schema(table, DataParams(target="bought", missing=("?",)))
    graph = preparation_graph(fit_statistics(table, schema, PrepareParams()), schema.missing)
    together = run_preparation(graph, table, schema)
    for row in range(ROWS):
        alone = run_preparation(graph, table.iloc[[row]], schema)
        assert all(np.array_equal(alone[group][0], together[group][row]) for group in ("numeric", "categorical"))


def test_equal_statistics_give_equal_bytes(table):
    schema = infer_schema(table, DataParams(target="bought"))
    fitted = [fit_statistics(table, schema, PrepareParams()) for _ in range(2)]
    first, second = (preparation_graph(statistics, schema.missing) for statistics in fitted)
    assert first.SerializeToString(deterministic=True) == second.SerializeToString(deterministic=True)


@pytest.mark.parametrize("name", ["column", "numeric", "categorical", "fill_0", "ids_0", "prepare", "a b/c", "größe"])
def test_a_column_may_have_any_name(name):
    prepared = prepare({name: [1.0, 3.0, np.nan], "word": ["a", "a", "b"]})
    assert prepared["numeric"][:, 1].tolist() == [0, 0, 1]
    assert prepared["categorical"][:, 0].tolist() == [2, 2, 0]


def test_a_column_without_a_value_is_refused_by_name():
    with pytest.raises(DataError, match="column 'x' has no value in the training rows: give it the role `drop`"):
        prepare({"x": [np.nan, np.nan], "y": [1, 2]})


@pytest.mark.parametrize("infinite", [np.inf, -np.inf])
def test_an_infinite_number_is_refused_by_name(infinite):
    with pytest.raises(DataError, match="column 'x' holds an infinite number: mend the row, or give"):
        prepare({"x": [1.0, infinite], "y": [1, 2]})
