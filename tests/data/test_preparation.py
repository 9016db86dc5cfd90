"""The fitted ONNX graph against the same formulas in NumPy and pandas."""

import numpy as np
import onnx
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ann.config.data import Column, DataParams
from ann.config.stages import PrepareParams
from ann.data.examples import Examples
from ann.data.preparation import Statistics, fit_statistics, joined, preparation_graph, run_preparation
from ann.data.schema import Schema, infer_schema
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
    graph = graph_of(fit(train, schema, **prepare), schema)
    return send(graph, train if rows is None else frame(rows), schema)


def fit(train: pd.DataFrame, schema: Schema, **prepare) -> Statistics:
    return fit_statistics(Examples(train, schema), np.arange(len(train)), PrepareParams(**prepare))


def graph_of(statistics: Statistics, schema: Schema) -> onnx.ModelProto:
    return preparation_graph(statistics, schema.features, schema.missing)


def send(graph: onnx.ModelProto, rows: pd.DataFrame, schema: Schema) -> dict[str, np.ndarray]:
    """Send every row of a table through the graph."""
    return run_preparation(graph, Examples(rows, schema), np.arange(len(rows)))


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
    statistics = fit(table, schema)
    prepared = send(graph_of(statistics, schema), table, schema)
    assert prepared["numeric"].shape == (len(table), statistics.width) == (600, 3)
    assert statistics.sizes == [5, 4, 5]  # red, green, blue; north, south; y, n, ?
    assert prepared["categorical"].max(axis=0).tolist() == [size - 1 for size in statistics.sizes]


def test_a_row_alone_is_prepared_as_in_a_big_batch(table):
    schema = infer_schema(table, DataParams(target="bought", missing=("?",)))
    graph = graph_of(fit(table, schema), schema)
    together = send(graph, table, schema)
    for row in range(ROWS):
        alone = send(graph, table.iloc[[row]], schema)
        assert all(np.array_equal(alone[group][0], together[group][row]) for group in ("numeric", "categorical"))


def test_equal_statistics_give_equal_bytes(table):
    schema = infer_schema(table, DataParams(target="bought"))
    first, second = (graph_of(fit(table, schema), schema) for _ in range(2))
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


def test_dates_stand_behind_numbers_and_flags_of_numbers_behind_both():
    days = pd.date_range("2026-01-01", periods=400, freq="D")
    numbers = np.where(np.arange(400) == 3, np.nan, np.arange(400.0))
    numeric = prepare({"d": days, "x": numbers})["numeric"]
    assert numeric.shape == (400, 1 + 5 + 1)  # sin and cos of week and of year, the trend
    np.testing.assert_allclose(numeric[:, 0], standardised(numbers, numbers), atol=1e-5)
    weeks = 2 * np.pi * np.arange(400) / 7 + 2 * np.pi * (days[0].timestamp() / 86_400 % 7) / 7
    np.testing.assert_allclose(numeric[:, 1], np.sin(weeks), atol=1e-5)
    np.testing.assert_allclose(numeric[:, 5], standardised(np.arange(400.0), np.arange(400.0)), atol=1e-5)
    assert numeric[:, 6].tolist() == np.isnan(numbers).tolist()


def test_a_date_in_parts_is_prepared_as_the_same_date_in_one_column():
    days = pd.Series(pd.date_range("2023-11-05 00:00", periods=300, freq="31h"))
    parts = {"y": days.dt.year, "m": days.dt.month, "d": days.dt.day, "h": days.dt.hour}
    dates = {"when": {"year": "y", "month": "m", "day": "d", "hour": "h"}}
    whole, in_parts = prepare({"when": days})["numeric"], prepare(parts, data={"dates": dates})["numeric"]
    assert whole.shape == (300, 7)
    np.testing.assert_array_equal(in_parts, whole)


def test_one_hot_levels_stand_behind_numbers_and_there_are_no_ids():
    train = {"c": ["a", "b", "a", "b"], "x": [1.0, 2.0, 3.0, np.nan]}
    prepared = prepare(train, {"c": ["b", "new", "", "a"], "x": [1.0, 2.0, 3.0, np.nan]}, categories="onehot")
    assert list(prepared) == ["numeric"]
    assert prepared["numeric"][:, 1:5].tolist() == [[0, 0, 0, 1], [1, 0, 0, 0], [0, 1, 0, 0], [0, 0, 1, 0]]
    assert prepared["numeric"][:, 5].tolist() == [0, 0, 0, 1]


def test_groups_describe_what_the_graph_gives():
    random = np.random.default_rng(0)
    train = frame(
        {
            "x": random.normal(size=6),
            "c": ["a", "b"] * 3,
            "words": [f"some words of row {i}" for i in range(6)],
            "picture": [random.integers(0, 256, (5, 4, 3), dtype=np.uint8) for _ in range(6)],
            "clip": [random.normal(size=400 + i).astype(np.float32) for i in range(6)],
        }
    )
    schema = infer_schema(train, DataParams(target="t"))
    statistics = fit(train, schema, audio={"rate": 8000, "mels": 5}, text={"length": 3})
    examples = Examples(train, schema, channels=statistics.channels, rate=statistics.rate)
    prepared = run_preparation(graph_of(statistics, schema), examples, np.arange(6))
    assert {name: array.shape[1:] for name, array in prepared.items()} == {
        "numeric": (1,),
        "categorical": (1,),
        "text": (3,),
        "image": (3, 5, 4),
        "audio": (3, 5),
        "audio_frames": (),
    }
    assert statistics.groups() == {
        "numeric": {"width": 1},
        "categorical": {"sizes": [4]},
        "text": {"words": 5, "length": 3},  # some, words, of
        "image": {"channels": 3, "height": 5, "width": 4},
        "audio": {"mels": 5, "frames": 3},
    }
    assert (statistics.channels, statistics.rate) == (3, 8000)


def test_a_series_goes_through_as_a_whole_from_its_first_time_to_the_last_that_is_predicted():
    load = np.arange(30.0) ** 2
    load[4] = np.nan
    table = pd.DataFrame({"load": load, "heat": np.arange(30.0)})
    schema = infer_schema(table[["heat", "load"]], DataParams(target="heat", windows={"length": 5, "horizon": 2}))
    examples, starts = Examples(table, schema), np.arange(3, 10)
    statistics = fit_statistics(examples, starts, PrepareParams())
    prepared = run_preparation(graph_of(statistics, schema), examples, starts)
    learnt = table.iloc[3:16]
    assert list(prepared) == ["series"]
    expected = ((learnt - learnt.mean()) / learnt.std(ddof=0)).fillna(0)[["heat", "load"]]
    np.testing.assert_allclose(prepared["series"], expected, atol=1e-5)


def test_shorter_arrays_are_padded_with_zeros_when_they_are_joined():
    found = joined([np.ones((2, 3, 2)), np.full((1, 5, 2), 2.0), np.ones((1, 1, 2))])
    assert found.shape == (4, 5, 2)
    assert [int((row[:, 0] != 0).sum()) for row in found] == [3, 3, 5, 1]
    assert found.sum() == 2 * 6 + 20 + 2
    assert joined([np.zeros(2, np.int64), np.ones(1, np.int64)]).tolist() == [0, 0, 1]


def test_a_column_named_as_the_lengths_of_sounds_is_refused():
    clips = [np.zeros(400, np.float32)] * 4
    with pytest.raises(DataError, match="'clip_lengths' has the name of the input for the lengths of 'clip': rename"):
        prepare({"clip": clips, "clip_lengths": [1, 2, 3, 4]}, audio={"rate": 8000})
