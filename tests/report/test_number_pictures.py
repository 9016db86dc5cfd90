"""Pictures of numbers, forecasts and labels: PNG files, nothing cut off, the same numbers give the same bytes."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from matplotlib.image import imread

from ann.report.number_pictures import (
    MAX_LABELS,
    MAX_SCATTERED,
    MAX_WINDOWS,
    draw_forecasts,
    draw_horizon,
    draw_labels,
    draw_predictions,
    draw_residuals,
)

LONG = "$PRICE of a house in $ per m^2_{net} and year, with all the taxes that there are"


def points(rows: int, scale: float = 1.0) -> pd.DataFrame:
    random = np.random.default_rng(0)
    target = scale * random.normal(3, 1, rows)
    return pd.DataFrame({"target": target, "predicted": target + scale * random.normal(0, 0.3, rows)})


def windows(count: int, past: int, horizon: int, quantiles: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    random = np.random.default_rng(0)
    series = 1e5 * (np.sin(np.arange(past + horizon) / 4) + 0.1 * random.normal(size=(count, past + horizon)))
    ahead = series[:, past:]
    return series[:, :past], ahead, ahead[:, :, None] + 2e4 * (np.arange(quantiles) - quantiles // 2)


def labels(count: int, name: str = "label") -> pd.DataFrame:
    random = np.random.default_rng(0)
    auc, ap, share = random.uniform([0.5, 0.2, 0.0], [1.0, 0.9, 0.5], (count, 3)).T
    return pd.DataFrame({"label": [f"{name} {k}" for k in range(count)], "auc": auc, "ap": ap, "share": share})


CONSTANT = pd.DataFrame({"target": [2.0] * 3000, "predicted": [2.0] * 3000})
PICTURES: dict[str, Callable[[Path], None]] = {
    "predictions": lambda path: draw_predictions(points(300), "price", path),
    "many predictions": lambda path: draw_predictions(points(5000, 1e6), LONG, path),
    "a single prediction": lambda path: draw_predictions(points(1), "price", path),
    "constant predictions": lambda path: draw_predictions(CONSTANT, "price", path),
    "constant large predictions": lambda path: draw_predictions(1e18 * CONSTANT, "price", path),
    "residuals": lambda path: draw_residuals(points(300), "price", path),
    "many residuals": lambda path: draw_residuals(points(5000, 1e-7), LONG, path),
    "constant residuals": lambda path: draw_residuals(CONSTANT, "price", path),
    "forecasts with quantiles": lambda path: draw_forecasts(*windows(6, 200, 24, 3), [LONG] * 6, path),
    "forecasts of a point": lambda path: draw_forecasts(*windows(4, 48, 12, 1), list("abcd"), path),
    "a forecast of one step": lambda path: draw_forecasts(*windows(1, 5, 1, 3), ["a"], path),
    "forecasts from one step": lambda path: draw_forecasts(*windows(2, 1, 3, 3), ["a", "b"], path),
    "horizon": lambda path: draw_horizon(np.linspace(2e7, 5e7, 24), np.linspace(4e7, 6e7, 24), path),
    "horizon without naive": lambda path: draw_horizon(np.linspace(0.2, 0.5, 3), None, path),
    "horizon of one step": lambda path: draw_horizon(np.array([0.3]), np.array([0.2]), path),
    "labels": lambda path: draw_labels(labels(5), path),
    "one label": lambda path: draw_labels(labels(1), path),
    "many labels": lambda path: draw_labels(labels(60, LONG), path),
    "labels of one class": lambda path: draw_labels(labels(3).assign(auc=[np.nan, 0.7, 0.8], ap=[np.nan, 0, 1]), path),
}


def drawn(draw: Callable[[Path], None], path: Path) -> np.ndarray:
    """Return the (H, W, 3) pixels, 0 to 1."""
    draw(path)
    return imread(path)[..., :3]


@pytest.mark.parametrize("name", PICTURES)
def test_a_picture_is_a_png_of_a_reasonable_size_with_nothing_cut_off(name: str, tmp_path: Path) -> None:
    path = tmp_path / "pictures" / "one.png"  # the folder is made
    pixels = drawn(PICTURES[name], path)
    assert 200 < pixels.shape[0] < 1000
    assert 400 < pixels.shape[1] < 1500
    assert 5_000 < path.stat().st_size < 300_000
    for border in (pixels[0], pixels[-1], pixels[:, 0], pixels[:, -1]):
        assert (border == 1).all()


@pytest.mark.parametrize("name", PICTURES)
def test_the_same_numbers_give_the_same_bytes(name: str, tmp_path: Path) -> None:
    for file in ("one.png", "two.png"):
        PICTURES[name](tmp_path / file)
    assert (tmp_path / "one.png").read_bytes() == (tmp_path / "two.png").read_bytes()


@pytest.mark.parametrize("name", ["$_$", "$\\bad{$", "_other", "50% \\alpha", "<=50K", "größer", "{x}"])
def test_any_text_can_be_a_name(name: str, tmp_path: Path) -> None:
    draw_predictions(points(5), name, tmp_path / "one.png")
    draw_residuals(points(5), name, tmp_path / "one.png")
    draw_forecasts(*windows(1, 5, 3, 3), [name], tmp_path / "one.png")
    draw_labels(labels(2).assign(label=name), tmp_path / "one.png")


def test_a_name_is_cut_after_32_characters(tmp_path: Path) -> None:
    same, cut, other = (
        drawn(lambda path, name=name: draw_predictions(points(5), name, path), tmp_path / "one.png")
        for name in (31 * "a" + "bc", 31 * "a" + "de", 31 * "a" + "b")
    )
    np.testing.assert_array_equal(same, cut)
    assert (same != other).any()


@pytest.mark.parametrize("length", [22, 23, 24, 25])
def test_a_title_that_just_reaches_the_power_of_ten_of_an_axis_is_not_cut_off(length: int, tmp_path: Path) -> None:
    pixels = drawn(lambda path: draw_predictions(points(3000, 1e6), length * "n", path), tmp_path / "one.png")
    assert (pixels[0] == 1).all()


def test_more_rows_than_can_be_told_apart_are_counted_in_hexagons(tmp_path: Path) -> None:
    few, many = (
        drawn(lambda path, rows=rows: draw_predictions(points(rows), "price", path), tmp_path / "one.png")
        for rows in (MAX_SCATTERED, MAX_SCATTERED + 1)
    )
    darkest = np.array([23, 37, 84]) / 255  # of the colour bar
    assert not np.isclose(few, darkest, atol=0.004).all(axis=2).any()
    assert np.isclose(many, darkest, atol=0.004).all(axis=2).any()


def test_right_predictions_lie_on_the_diagonal_of_a_square_range(tmp_path: Path) -> None:
    exact = pd.DataFrame({"target": [0.0, 1.0, 5.0], "predicted": [0.0, 1.0, 5.0]})
    wrong = exact.assign(predicted=[5.0, 1.0, 0.0])
    orange = [
        np.isclose(pixels, np.array([234, 88, 12]) / 255, atol=0.1).all(axis=2)
        for table in (exact, wrong)
        for pixels in [drawn(lambda path, table=table: draw_predictions(table, "price", path), tmp_path / "one.png")]
    ]
    assert orange[0].sum() > 100
    np.testing.assert_array_equal(np.argwhere(orange[0]).min(axis=0), np.argwhere(orange[1]).min(axis=0))
    np.testing.assert_array_equal(np.argwhere(orange[0]).max(axis=0), np.argwhere(orange[1]).max(axis=0))


def test_windows_beyond_the_first_ones_are_not_drawn(tmp_path: Path) -> None:
    past, truth, answers = windows(MAX_WINDOWS + 2, 20, 5, 3)
    names = [f"window {number}" for number in range(MAX_WINDOWS + 2)]
    for count in (MAX_WINDOWS, MAX_WINDOWS + 2):
        draw_forecasts(past[:count], truth[:count], answers[:count], names[:count], tmp_path / f"{count}.png")
    assert (tmp_path / f"{MAX_WINDOWS}.png").read_bytes() == (tmp_path / f"{MAX_WINDOWS + 2}.png").read_bytes()


def test_only_three_horizons_of_the_past_are_drawn(tmp_path: Path) -> None:
    past, truth, answers = windows(1, 40, 5, 3)
    for length in (14, 15, 40):
        draw_forecasts(past[:, -length:], truth, answers, ["a"], tmp_path / f"{length}.png")
    assert (tmp_path / "15.png").read_bytes() == (tmp_path / "40.png").read_bytes()
    assert (tmp_path / "15.png").read_bytes() != (tmp_path / "14.png").read_bytes()


@pytest.mark.parametrize("quantile", [0, 1, 2, 3, 4])
def test_the_middle_and_the_outer_quantiles_are_drawn_and_no_other(quantile: int, tmp_path: Path) -> None:
    past, truth, answers = windows(1, 20, 5, 5)
    plain = drawn(lambda path: draw_forecasts(past, truth, answers, ["a"], path), tmp_path / "one.png")
    answers[..., quantile] += 1e4
    moved = drawn(lambda path: draw_forecasts(past, truth, answers, ["a"], path), tmp_path / "one.png")
    assert (plain != moved).any() == (quantile in (0, 2, 4))


def test_the_naive_forecast_is_drawn_beside_the_network(tmp_path: Path) -> None:
    errors = np.linspace(0.2, 0.5, 10)
    grey = [
        np.isclose(pixels, np.array([148, 163, 184]) / 255, atol=0.01).all(axis=2).sum()
        for naive in (None, errors + 0.1)
        for pixels in [drawn(lambda path, naive=naive: draw_horizon(errors, naive, path), tmp_path / "one.png")]
    ]
    assert grey[0] == 0
    assert grey[1] > 100


def test_of_many_labels_the_worst_are_drawn_whatever_their_order(tmp_path: Path) -> None:
    table = labels(MAX_LABELS + 10)
    best = table["ap"].nlargest(10).index
    changed = table.assign(auc=table["auc"].where(~table.index.isin(best), 0.1))
    shuffled = table.sample(frac=1, random_state=0)
    first, second, third = (
        drawn(lambda path, part=part: draw_labels(part, path), tmp_path / "one.png")
        for part in (table, changed, shuffled)
    )
    np.testing.assert_array_equal(first, second)
    np.testing.assert_array_equal(first, third)
