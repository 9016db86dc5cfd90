"""Pictures: each is a PNG of a reasonable size, and the same numbers give the same bytes."""

import struct
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from ann.evaluation.curves import calibration_points, confusion, precision_recall_points, roc_points
from ann.report.pictures import (
    draw_calibration,
    draw_confusion,
    draw_diagnosis,
    draw_front,
    draw_precision_recall,
    draw_roc,
    draw_training,
)
from ann.training.diagnostics import Diagnosis, UnitReport, weight_report
from ann.training.state import EpochRecord

Draw = Callable[[Path], None]


def scores(classes: int, rows: int = 400) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(0)
    target = random.permutation(np.arange(rows) % classes)
    raw = random.random((rows, classes)) + 0.5 * np.eye(classes)[target]
    return raw / raw.sum(axis=1, keepdims=True), target


def names(classes: int) -> tuple[str, ...]:
    return tuple(f"class {k}" for k in range(classes))


def history(epochs: int = 5) -> pd.DataFrame:
    epoch = np.arange(1, epochs + 1)
    losses = {"train_loss": 1 / epoch, "valid_loss": 1 / epoch + 0.1}
    return pd.DataFrame({"epoch": epoch, "lr": 0.1 / epoch, **losses, "valid_auc": 1 - 0.1 / epoch})


def diagnosis(path: Path) -> None:
    norms = {"blocks.0.0": 0.1, "head": 1e-7}
    records = [EpochRecord(epoch, 0.1, 1.0, 1.0, 1.0, {}, norms) for epoch in (1, 2, 3)]
    weights = tuple(weight_report(layer, torch.linspace(-1, 1, 60).view(6, 10)) for layer in norms)
    draw_diagnosis(Diagnosis(weights, (UnitReport("blocks.0.1", "ReLU", 6, 0.5),), ()), records, path)


def candidate(name: str, p50: float, value: float, **changes: object) -> dict:
    entry = {"name": name, "latency_ms": {"1": {"p50": p50}, "256": {"p50": 9 * p50}}, "bytes": 1000}
    quality = {"value": value, "low": value - 0.02, "high": value + 0.01}
    told = {"drop": {"value": 0.9 - value}, "front": False, "allowed": True, "chosen": False, "why": "allowed"}
    return {**entry, "quality": quality, **told, **changes}


CANDIDATES = [
    candidate("fp32", 0.4, 0.9, bytes=4000, front=True),
    candidate("int8-static", 0.2, 0.89, front=True, chosen=True),
    candidate("pruned", 0.3, 0.85, allowed=False, why="may lose 0.0612, over max_drop 0.003"),
]
MANY = [candidate(f"variant-{number}", 0.2 + 0.01 * number, 0.9 - 0.001 * number) for number in range(16)]
PICTURES: dict[str, Draw] = {
    "confusion of 2": lambda path: draw_confusion(confusion(*scores(2)), names(2), path),
    "confusion of 20": lambda path: draw_confusion(confusion(*scores(20)), names(20), path),
    "roc of 2": lambda path: draw_roc(roc_points(*scores(2)), names(2), path),
    "roc of 4": lambda path: draw_roc(roc_points(*scores(4)), names(4), path),
    "roc of 20": lambda path: draw_roc(roc_points(*scores(20)), names(20), path),
    "precision and recall": lambda path: draw_precision_recall(precision_recall_points(*scores(3)), names(3), path),
    "calibration": lambda path: draw_calibration(calibration_points(*scores(2)), path),
    "training": lambda path: draw_training(history(), 3, "cross_entropy", path),
    "training of one epoch": lambda path: draw_training(history(1), 1, "mse", path),
    "diagnosis": diagnosis,
    "front": lambda path: draw_front(CANDIDATES, 256, path),
    "front of many": lambda path: draw_front([*CANDIDATES, *MANY], 1, path),
    "front of fp32 alone": lambda path: draw_front(CANDIDATES[:1], 1, path),
}


def size(path: Path) -> tuple[int, int]:
    """Return width and height from the header of a PNG file."""
    content = path.read_bytes()
    assert content[:8] == b"\x89PNG\r\n\x1a\n"
    assert content[-8:-4] == b"IEND"
    return struct.unpack(">II", content[16:24])


@pytest.mark.parametrize("name", PICTURES)
def test_a_picture_is_a_png_of_a_reasonable_size(name: str, tmp_path: Path) -> None:
    path = tmp_path / "pictures" / "one.png"  # the folder is made
    PICTURES[name](path)
    width, height = size(path)
    assert 400 < width < 1500
    assert 400 < height < 1000
    assert 5_000 < path.stat().st_size < 200_000


@pytest.mark.parametrize("name", PICTURES)
def test_the_same_numbers_give_the_same_bytes(name: str, tmp_path: Path) -> None:
    for file in ("one.png", "two.png"):
        PICTURES[name](tmp_path / file)
    assert (tmp_path / "one.png").read_bytes() == (tmp_path / "two.png").read_bytes()


def test_other_numbers_give_another_picture(tmp_path: Path) -> None:
    drawn = set()
    for best_epoch in (2, 3):
        draw_training(history(), best_epoch, "focal", tmp_path / "training.png")
        drawn.add((tmp_path / "training.png").read_bytes())
    for batch in (1, 256):
        draw_front(CANDIDATES, batch, tmp_path / "front.png")
        drawn.add((tmp_path / "front.png").read_bytes())
    assert len(drawn) == 4


def test_a_class_without_rows_can_be_drawn(tmp_path: Path) -> None:
    draw_confusion(np.array([[3, 1], [0, 0]]), names(2), tmp_path / "confusion.png")
    assert size(tmp_path / "confusion.png")


def test_a_value_outside_its_bootstrap_interval_can_be_drawn(tmp_path: Path) -> None:
    """The percentile interval of a calibration error often lies above the error itself."""
    quality = {"value": 0.016, "low": 0.019, "high": 0.048}
    draw_front([candidate("fp32", 0.4, 0.0, quality=quality)], 1, tmp_path / "front.png")
    assert size(tmp_path / "front.png")


def test_what_the_picture_of_the_variants_says_of_each_changes_it(tmp_path: Path) -> None:
    drawn = set()
    changes = (
        {},
        {"front": True},
        {"chosen": True},
        {"allowed": False},
        {"allowed": False, "why": "too slow"},
        {"bytes": 9},
    )
    for changed in changes:
        draw_front([*CANDIDATES[:2], candidate("pruned", 0.3, 0.85, **changed)], 1, tmp_path / "front.png")
        drawn.add((tmp_path / "front.png").read_bytes())
    assert len(drawn) == len(changes)


@pytest.mark.parametrize("label", ["$_$", "_other", "50% \\alpha", "<=50K", "größer", "{x}"])
def test_any_text_can_be_a_class(label: str, tmp_path: Path) -> None:
    draw_confusion(confusion(*scores(2)), ("no", label), tmp_path / "confusion.png")
    draw_roc(roc_points(*scores(2)), ("no", label), tmp_path / "roc.png")
    assert size(tmp_path / "confusion.png")
    assert size(tmp_path / "roc.png")


def test_a_dollar_sign_is_drawn_as_it_stands_and_not_as_a_formula(tmp_path: Path) -> None:
    sizes = []
    for label in ("$0-$50K", "0-50K"):
        draw_confusion(confusion(*scores(2)), ("no", label), tmp_path / "confusion.png")
        sizes.append(dark_pixels(tmp_path / "confusion.png"))
    assert sizes[0] > sizes[1]  # two signs more on each axis


def dark_pixels(path: Path) -> int:
    from matplotlib.image import imread

    return int((imread(path)[..., :3].max(axis=2) < 0.4).sum())
