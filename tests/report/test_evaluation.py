"""What evaluation writes of each kind of task: figures against numpy and scikit-learn, and a picture beside each."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from sklearn import metrics

from ann.data.target import Target
from ann.report.evaluation import DRAWN, POINTS, draw_evaluation

BINARY = Target("binary", ("bought",), classes=("no", "yes"))
THREE = Target("multiclass", ("kind",), classes=("a", "b", "c"))
LABELS = Target("multilabel", ("red", "round"))
PRICE = Target("regression", ("price",), shift=(10.0,), scale=(2.0,))
TWO = Target("regression", ("x", "y"), quantiles=(0.1, 0.5, 0.9))
FORECAST = Target("forecast", ("load", "heat"), horizon=3)


def draw(target: Target, answers: np.ndarray, truth: np.ndarray, folder: Path, **context: np.ndarray) -> list[str]:
    """Draw into a folder that is not there yet, and return the names of all files."""
    draw_evaluation(target, answers, truth, context, folder / "plots", seed=3)
    files = sorted((folder / "plots").iterdir())
    for file in files:
        assert file.suffix == ".csv" or file.read_bytes().startswith(b"\x89PNG"), file
    return [file.name for file in files]


def table(folder: Path, name: str) -> pd.DataFrame:
    return pd.read_csv(folder / "plots" / f"{name}.csv")


def probabilities(rows: int, classes: int, truth: np.ndarray) -> np.ndarray:
    raw = np.random.default_rng(1).random((rows, classes)) + 0.4 * np.eye(classes)[truth]
    return raw / raw.sum(axis=1, keepdims=True)


def forecasts(rows: int) -> dict[str, np.ndarray]:
    random = np.random.default_rng(2)
    return {
        "truth": random.normal(size=(rows, 6)),
        "answers": random.normal(size=(rows, 6, 1)),
        "past": random.normal(size=(rows, 8)),
        "naive": random.normal(size=(rows, 3, 2)),
    }


def test_every_task_is_drawn() -> None:
    assert set(DRAWN) == {"binary", "forecast", "multiclass", "multilabel", "regression"}


@pytest.mark.parametrize("target", [BINARY, THREE], ids=lambda target: target.task)
def test_classes_get_their_curves_and_pairs_by_label(target: Target, tmp_path: Path) -> None:
    classes = len(target.classes)
    truth = np.arange(60) % classes
    answers = probabilities(60, classes, truth)
    names = draw(target, answers, truth, tmp_path)
    assert names == sorted(
        f"{name}.{suffix}"
        for name in ("roc", "precision_recall", "calibration", "confusion")
        for suffix in ("csv", "png")
    )
    roc = table(tmp_path, "roc").query("`class` == 1")
    assert metrics.auc(roc["fpr"], roc["tpr"]) == pytest.approx(metrics.roc_auc_score(truth == 1, answers[:, 1]))
    pairs = table(tmp_path, "confusion")
    labels = np.array(target.classes)
    expected = metrics.confusion_matrix(labels[truth], labels[answers.argmax(axis=1)], labels=labels)
    found = metrics.confusion_matrix(pairs["actual"], pairs["predicted"], labels=labels)
    np.testing.assert_array_equal(found, expected)
    assert table(tmp_path, "calibration")["rows"].sum() == 60


def test_each_label_gets_its_ranking_metrics_and_how_often_it_is_set(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    truth = (random.random((50, 2)) < [0.5, 0.1]).astype(float)
    answers = random.random((50, 2))
    assert draw(LABELS, answers, truth, tmp_path) == ["labels.csv", "labels.png"]
    found = table(tmp_path, "labels").set_index("label")
    assert list(found.index) == ["red", "round"]
    for i, name in enumerate(LABELS.names):
        row = found.loc[name]
        assert row["auc"] == pytest.approx(metrics.roc_auc_score(truth[:, i], answers[:, i]), rel=1e-5)
        assert row["ap"] == pytest.approx(metrics.average_precision_score(truth[:, i], answers[:, i]), rel=1e-5)
        assert row["share"] == pytest.approx(truth[:, i].mean(), rel=1e-5)


def test_a_single_number_is_drawn_point_by_point(tmp_path: Path) -> None:
    truth = np.linspace(0, 9, 40)[:, None]
    answers = truth[:, :, None] + np.random.default_rng(0).normal(size=(40, 1, 1))
    assert draw(PRICE, answers, truth, tmp_path) == ["predictions.csv", "predictions.png", "residuals.png"]
    found = table(tmp_path, "predictions")
    np.testing.assert_allclose(found["target"], truth[:, 0], rtol=1e-5)
    np.testing.assert_allclose(found["predicted"], answers[:, 0, 0], rtol=1e-5)


def test_several_numbers_get_a_picture_each_and_a_table_of_all_by_the_middle_quantile(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    truth = random.normal(size=(30, 2))
    answers = np.sort(random.normal(size=(30, 2, 3)), axis=2)
    assert draw(TWO, answers, truth, tmp_path) == [
        *(f"predictions_{i}.{suffix}" for i in (0, 1) for suffix in ("csv", "png")),
        "residuals_0.png",
        "residuals_1.png",
        "targets.csv",
    ]
    found, middle = table(tmp_path, "targets"), answers[:, :, 1]
    assert list(found["target"]) == ["x", "y"]
    np.testing.assert_allclose(found["mae"], np.abs(middle - truth).mean(axis=0), rtol=1e-5)
    np.testing.assert_allclose(found["rmse"], np.sqrt(((middle - truth) ** 2).mean(axis=0)), rtol=1e-5)
    for i, r2 in enumerate(found["r2"]):
        assert r2 == pytest.approx(metrics.r2_score(truth[:, i], middle[:, i]), rel=1e-5)
        np.testing.assert_allclose(table(tmp_path, f"predictions_{i}")["predicted"], middle[:, i], rtol=1e-5)


def test_of_many_rows_a_sample_is_written_which_the_seed_decides(tmp_path: Path) -> None:
    truth = np.arange(POINTS + 500, dtype=float)[:, None]
    for name in ("one", "two"):
        draw(PRICE, truth[:, :, None], truth, tmp_path / name)
    found = table(tmp_path / "one", "predictions")
    assert len(found) == POINTS
    assert found["target"].is_unique
    pd.testing.assert_frame_equal(found, table(tmp_path / "two", "predictions"))


def test_a_forecast_gets_its_error_by_the_step_beside_the_naive_one(tmp_path: Path) -> None:
    given = forecasts(12)
    names = draw(FORECAST, given["answers"], given["truth"], tmp_path, past=given["past"], naive=given["naive"])
    assert names == ["forecasts.png", "horizon.csv", "horizon.png"]
    found = table(tmp_path, "horizon")
    assert list(found["step"]) == [1, 2, 3]
    for step in range(3):  # outputs are step by step, in each the channels
        columns = slice(2 * step, 2 * step + 2)
        missed = np.abs(given["answers"][:, columns, 0] - given["truth"][:, columns])
        assert found["mae"][step] == pytest.approx(missed.mean(), rel=1e-5)
        missed = np.abs(given["naive"][:, step] - given["truth"][:, columns])
        assert found["naive_mae"][step] == pytest.approx(missed.mean(), rel=1e-5)


def test_windows_of_a_forecast_are_those_of_its_first_channel(tmp_path: Path) -> None:
    given = forecasts(4)
    first, second = (np.isin(np.arange(6) % 2, channel) for channel in (0, 1))
    pictures: list[bytes] = []
    for changed in (None, second, first):
        answers = given["answers"].copy()
        if changed is not None:
            answers[:, changed] += 5
        folder = tmp_path / str(len(pictures))
        draw(FORECAST, answers, given["truth"], folder, past=given["past"], naive=given["naive"])
        pictures.append((folder / "plots" / "forecasts.png").read_bytes())
    assert pictures[0] == pictures[1] != pictures[2]


def test_a_single_window_can_be_drawn(tmp_path: Path) -> None:
    given = forecasts(1)
    names = draw(FORECAST, given["answers"], given["truth"], tmp_path, past=given["past"], naive=given["naive"])
    assert "forecasts.png" in names
