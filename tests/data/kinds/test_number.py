"""Scaling of numbers inside the graph, against scikit-learn."""

import numpy as np
import onnxruntime as ort
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.preprocessing import MinMaxScaler, QuantileTransformer, StandardScaler

from ann.data.graph import GraphBuilder
from ann.data.kinds import COLUMN
from ann.data.kinds.number import QUANTILES, NumberStatistics, fit_number, number_nodes
from ann.errors import DataError

RNG = np.random.default_rng(0)
SCALINGS = ("standard", "minmax", "quantile")
VALUES = np.concatenate([RNG.lognormal(size=900), [-7.5]])
"""Skewed, without ties."""


def fit(values, scaling: str, *, double: bool = False) -> NumberStatistics:
    return fit_number(pd.Series(values), "x", scaling=scaling, double=double)


def prepare(statistics: NumberStatistics, values) -> tuple[np.ndarray, np.ndarray | None]:
    """Return the (N,) scaled values, and the flags where there are some."""
    builder = GraphBuilder("ann:prepare")
    builder.constant(COLUMN, np.array([-1, 1], dtype=np.int64))
    names = [name for name in number_nodes(builder, 0, statistics) if name]
    for name in names:
        builder.output(name, np.float32, ["N", 1])
    session = ort.InferenceSession(builder.model().SerializeToString(), providers=["CPUExecutionProvider"])
    raw = np.asarray(values, dtype=np.float64 if statistics.double else np.float32)
    scaled, *flags = session.run(names, {"x": raw})
    return scaled[:, 0], flags[0][:, 0] if flags else None


def scikit_learn(values: np.ndarray, scaling: str):
    quantile = QuantileTransformer(n_quantiles=QUANTILES + 1, output_distribution="uniform", subsample=None)
    scaler = {"standard": StandardScaler(), "minmax": MinMaxScaler(), "quantile": quantile}[scaling]
    return scaler.fit(values[:, None])


@pytest.mark.parametrize("double", [False, True])
@pytest.mark.parametrize("scaling", SCALINGS)
def test_values_are_scaled_as_scikit_learn_does_and_those_outside_too(scaling, double):
    unseen = np.concatenate([VALUES, RNG.lognormal(size=500), [-1e4, 1e4, VALUES.min(), VALUES.max()]])
    found, flags = prepare(fit(VALUES, scaling, double=double), unseen)
    expected = scikit_learn(VALUES, scaling).transform(unseen[:, None])[:, 0]
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=3e-6)
    assert found.dtype == np.float32
    assert flags is None


def test_quantile_scaling_makes_the_training_values_uniform_and_keeps_their_order():
    found, _ = prepare(fit(VALUES, "quantile"), np.sort(VALUES))
    np.testing.assert_allclose(found, np.linspace(0, 1, len(VALUES)), atol=1 / QUANTILES)
    assert (np.diff(found) >= 0).all()


def test_a_value_that_fills_several_steps_stands_in_their_middle():
    values = np.concatenate([np.full(400, 5.0), np.linspace(6, 10, 600)])
    found, _ = prepare(fit(np.concatenate([np.linspace(0, 4, 1000), values]), "quantile"), [5.0, 0.0, 10.0])
    np.testing.assert_allclose(found, [0.6, 0, 1], atol=0.01)


@settings(max_examples=40, deadline=None)
@given(st.lists(st.floats(-1000, 1000, width=32), min_size=2, max_size=60))
def test_quantile_scaling_stays_between_zero_and_one_and_rises(values):
    found, _ = prepare(fit([*values, -2000.0, 2000.0], "quantile"), np.sort(values))
    assert ((found >= 0) & (found <= 1)).all()
    assert (np.diff(found) >= -1e-6).all()


@pytest.mark.parametrize("scaling", SCALINGS)
@pytest.mark.parametrize("constant", [0.0, 5.0, 1e9 / 7])
def test_a_constant_becomes_zero_and_another_value_its_distance(scaling, constant):
    statistics = fit(np.full(1000, constant), scaling, double=constant > 2**24)
    assert (statistics.shift, statistics.scale, statistics.edges) == (constant, 1.0, ())
    np.testing.assert_allclose(prepare(statistics, [constant, constant + 1])[0], [0, 1], atol=1e-6)


@pytest.mark.parametrize("scaling", SCALINGS)
def test_missing_values_stand_where_the_median_stands_and_are_flagged(scaling):
    values = np.append(VALUES, [np.nan] * 99)
    statistics = fit(values, scaling)
    filled = np.where(np.isnan(values), np.nanmedian(values), values)
    found, flags = prepare(statistics, [np.nan, np.nanmedian(values), 1.5])
    assert flags.tolist() == [1, 0, 0]
    assert found[0] == found[1]
    if scaling != "quantile":  # where scikit-learn treats ties otherwise
        expected = scikit_learn(filled, scaling).transform(np.array([[np.nanmedian(values)], [1.5]]))[:, 0]
        np.testing.assert_allclose(found[1:], expected, rtol=1e-5, atol=1e-6)
    assert statistics.width == 2
    assert fit(VALUES, scaling).width == 1


@pytest.mark.parametrize("scaling", SCALINGS)
def test_double_keeps_what_float32_would_lose(scaling):
    seconds = 1_700_000_000 + np.arange(1000.0)
    expected = scikit_learn(seconds, scaling).transform(seconds[:, None])[:, 0]
    np.testing.assert_allclose(prepare(fit(seconds, scaling, double=True), seconds)[0], expected, atol=1e-5)


def test_values_that_only_double_tells_apart_stay_finite_in_float32():
    statistics = fit(1.0 + np.arange(10) * 1e-12, "quantile")
    assert np.isfinite(prepare(statistics, [0.0, 1.0, 2.0])[0]).all()


@pytest.mark.parametrize("scaling", SCALINGS)
def test_no_rows_are_scaled_to_no_rows(scaling):
    assert prepare(fit(VALUES, scaling), [])[0].shape == (0,)


@pytest.mark.parametrize("column", [pd.array([1, None, 3], dtype="Int64"), pd.array([1.0, None, 3.0], dtype="Float64")])
def test_nullable_columns_are_read_as_numbers(column):
    assert (fit(column, "standard").fill, fit(column, "standard").flag) == (2.0, True)


def test_what_cannot_be_scaled_is_refused_with_the_way_out():
    with pytest.raises(DataError, match="column 'x' has no value in the training rows: give it the role `drop`"):
        fit([np.nan, np.nan], "standard")
    with pytest.raises(DataError, match="column 'x' holds an infinite number: mend the row, or give the column"):
        fit([1.0, np.inf], "quantile")
