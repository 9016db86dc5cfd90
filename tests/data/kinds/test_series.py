"""Standardised channels of a series, against scikit-learn."""

import numpy as np
import onnxruntime as ort
import pytest
from sklearn.preprocessing import StandardScaler

from ann.data.graph import GraphBuilder
from ann.data.kinds.series import SeriesStatistics, fit_series, series_nodes
from ann.errors import DataError

RNG = np.random.default_rng(0)
TIMES = RNG.normal(size=(200, 3)) * [1, 50, 1e-3] + [0, 900, 5]


def prepare(statistics: SeriesStatistics, windows: np.ndarray) -> np.ndarray:
    builder = GraphBuilder("ann:prepare")
    name = series_nodes(builder, statistics)
    builder.output(name, np.float32, ["N", "L", len(statistics.columns)])
    session = ort.InferenceSession(builder.model().SerializeToString(), providers=["CPUExecutionProvider"])
    return session.run([name], {statistics.name: windows.astype(np.float32)})[0]


def test_every_channel_is_standardised_by_the_training_times():
    statistics = fit_series(TIMES, "series", ("a", "b", "c"))
    windows = np.stack([TIMES[:7], TIMES[100:107] + 1])
    expected = StandardScaler().fit(TIMES).transform(windows.reshape(-1, 3)).reshape(2, 7, 3)
    np.testing.assert_allclose(prepare(statistics, windows), expected, atol=2e-3, rtol=1e-5)  # 5 +- 1e-3 in float32
    np.testing.assert_allclose(prepare(statistics, windows)[..., :2], expected[..., :2], atol=1e-5)


@pytest.mark.parametrize("shape", [(1, 200), (5, 1), (0, 4)])
def test_windows_may_be_any_number_and_length(shape):
    statistics = fit_series(TIMES, "series", ("a", "b", "c"))
    assert prepare(statistics, np.zeros((*shape, 3))).shape == (*shape, 3)


def test_a_missing_value_stands_at_the_mean_and_is_not_learnt_from():
    holed = TIMES.copy()
    holed[::3, 1] = np.nan
    statistics = fit_series(holed, "series", ("a", "b", "c"))
    assert statistics.shift[1] == pytest.approx(np.nanmean(holed[:, 1]))
    assert statistics.scale[1] == pytest.approx(np.nanstd(holed[:, 1]))
    found = prepare(statistics, holed[None])[0]
    assert (found[::3, 1] == 0).all()
    assert np.isfinite(found).all()


def test_a_constant_channel_becomes_zero_and_another_value_its_distance():
    statistics = fit_series(np.full((9, 1), 4.0), "series", ("a",))
    assert prepare(statistics, np.array([[[4.0], [7.0]]])).tolist() == [[[0], [3]]]


@pytest.mark.parametrize("constant", [0.1, 1e9 / 7])
def test_a_constant_whose_deviation_is_a_rounding_error_is_not_blown_up(constant):
    statistics = fit_series(np.full((1000, 1), constant), "series", ("a",))
    assert statistics.scale == (1.0,)


def test_a_channel_that_cannot_be_learnt_from_is_refused_with_the_way_out():
    with pytest.raises(DataError, match="column 'b' has no value in the training rows: give it the role `drop`"):
        fit_series(np.array([[1, np.nan], [2, np.nan]]), "series", ("a", "b"))
    with pytest.raises(
        DataError, match="column 'a' holds an infinite number: mend the row, or give it the role `drop`"
    ):
        fit_series(np.array([[1, 2], [-np.inf, 2]]), "series", ("a", "b"))
