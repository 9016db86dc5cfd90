"""Data, columns and network that do not go together: the stage that meets it says so, and what to do."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from ann.errors import AnnError, ConfigError
from ann.project import Project
from ann.stages import prepare, train, validate
from ann.template import dvc_yaml

SECTIONS = ("validate", "prepare", "model", "train", "evaluate", "compress", "export", "register", "schedule")
SUITE = (
    '{"format": 1, "expectations": [{"type": "expect_table_row_count_to_be_between", "level": "error", '
    '"kwargs": {"min_value": 1}}]}'
)
NETWORK = """\
from torch import nn


def build(groups, outputs):
    return nn.LazyLinear(outputs)
"""


def tiny(root: Path, data: str, **sections: str) -> Project:
    """Write a project of files alone: what a stage reads, without git and DVC; `data/` is the caller's."""
    (root / "data").mkdir(parents=True, exist_ok=True)
    text = "".join(f"{name}: {sections.get(name, '{}')}\n" for name in SECTIONS)
    (root / "params.yaml").write_text(f"ann: 0.1.0\nseed: 1\ndata: {data}\n{text}", encoding="utf-8")
    (root / "data.dvc").write_text(f"outs:\n- md5: {'a' * 32}.dir\n  path: data\n", encoding="utf-8")
    (root / "dvc.yaml").write_text(dvc_yaml(None), encoding="utf-8")
    (root / "suite.json").write_text(SUITE, encoding="utf-8")
    return Project.at(root)


def attempt(project: Project) -> str:
    """Run the first stages until one refuses; return its message. Nothing that it would have written may be there."""
    params = project.params()
    for stage in (validate, prepare, train):
        name = stage.__name__.rpartition(".")[2]
        try:
            stage.run(params, project)
        except AnnError as error:
            assert not list(project.build.root.glob(".*"))
            assert name == "validate" or not project.build.folder(name).exists()
            return f"{name}: {error}"
    return "trained"


def rows(count: int = 60) -> pd.DataFrame:
    random = np.random.default_rng(0)
    table = pd.DataFrame({"size": random.normal(size=count), "kind": random.choice(["a", "b"], count)})
    table["said"] = [f"{word} words were said here" for word in random.choice(["good", "bad", "odd"], count)]
    table["number"] = np.arange(count)
    table["again"] = table["said"] + np.arange(count).astype(str)
    return table


def write_rows(project: Project, columns: list[str]) -> None:
    rows()[columns].to_csv(project.root / "data" / "rows.csv", index=False)


TABLES: dict[str, tuple[list[str], str, dict[str, str], list[str]]] = {
    "images asked of texts": (
        ["said", "again", "kind"],
        "{target: kind, columns: {said: {type: text}}}",
        {"model": "{family: cnn}"},
        [
            "train: model.family: cnn reads image columns, but the data has text",
            "write auto or multimodal or text, or drop the text",
        ],
    ),
    "texts beside numbers for a network of columns": (
        ["size", "again", "kind"],
        "{target: kind}",
        {"model": "{family: mlp}"},
        ["train: model.family: mlp reads numeric and categorical", "write auto or multimodal, or drop the text"],
    ),
    "a forecast of rows": (
        ["size", "kind"],
        "{target: kind}",
        {"model": "{family: forecast}"},
        ["train: model.family: forecast reads series columns", "write auto or densemlp or mlp"],
    ),
    "an id for a label": (
        ["size", "again"],
        "{target: again}",
        {},
        ["prepare: target 'again' has 60 different values in 60 rows: it looks like an id, not a class"],
    ),
    "quantiles of classes": (
        ["size", "kind"],
        "{target: kind, quantiles: [0.1, 0.5, 0.9]}",
        {},
        ["prepare: target 'kind' must hold numbers, but row 0 holds", "data.task: multiclass"],
    ),
    "a loss of numbers for classes": (
        ["size", "kind"],
        "{target: kind}",
        {"train": "{loss: huber, batch_size: 8}"},
        ["train: train.loss: huber does not fit a binary target; write one of auto"],
    ),
    "classes drawn evenly of numbers": (
        ["kind", "size"],
        "{target: size}",
        {"train": "{sampling: balanced, batch_size: 8}"},
        ["train: train.sampling: balanced needs one class a row, not a regression target: write shuffle"],
    ),
    "a metric of another task": (
        ["kind", "size"],
        "{target: size}",
        {"train": "{early_stopping: {watch: auc}, batch_size: 8}"},
        ["train: train.early_stopping.watch: 'auc' is no metric of a regression task", "rmse"],
    ),
    "shares of classes of numbers": (
        ["kind", "size"],
        "{target: size}",
        {"prepare": "{split: {name: stratified}}"},
        ["prepare: prepare.split stratified keeps shares of classes, but numbers are predicted: name: random"],
    ),
    "labels that are not": (
        ["size", "number", "kind"],
        "{target: [size, number], task: multilabel}",
        {},
        ["prepare: target 'size' of a multilabel task must be 0 or 1", "mend it, or name another"],
    ),
    "a type that the values are not": (
        ["size", "said", "kind"],
        "{target: kind, columns: {said: {type: number}}}",
        {},
        ["prepare: column 'said' must hold numbers, but row 0 holds", "data.missing"],
    ),
    "files that are texts": (
        ["size", "said", "kind"],
        "{target: kind, columns: {said: {type: image}}}",
        {},
        ["validate: rows.csv row 0, column 'said': ", "is not there: mend the name, which is relative to the table"],
    ),
    "parts of a date that are not there": (
        ["size", "kind"],
        "{target: kind, dates: {day: {year: y, month: size, day: size}}}",
        {},
        ["prepare: data.dates.day names the column 'y', which is not there"],
    ),
    "two columns of one role": (
        ["size", "number", "again", "kind"],
        "{target: kind, columns: {size: {role: time}, number: {role: time}}}",
        {},
        ["prepare: columns size, number all have the role `time`; one can: give the others another role"],
    ),
    "no feature left": (
        ["size", "kind"],
        "{target: kind, columns: {size: {role: drop}}}",
        {},
        ["prepare: no column is left as a feature: give one the role `feature` in data.columns"],
    ),
    "a network that is not there": (
        ["size", "kind"],
        "{target: kind}",
        {"model": "{family: custom, module: 'nowhere_at_all:build'}", "train": "{batch_size: 8}"},
        ["train: model.module: there is no module 'nowhere_at_all'"],
    ),
}


@pytest.mark.parametrize("case", TABLES)
def test_a_table_that_does_not_fit_is_told_with_the_way_out(case: str, tmp_path: Path) -> None:
    columns, data, sections, expected = TABLES[case]
    project = tiny(tmp_path / "project", data, **sections)
    write_rows(project, columns)
    message = attempt(project)
    for text in expected:
        assert text in message


@pytest.mark.parametrize(
    ("count", "data", "sections", "expected"),
    [
        (
            60,
            "{target: load, windows: {length: 8, horizon: 200}}",
            {},
            "too few to read 8 and predict 200: shorten data.windows, or give it a larger share in prepare.split",
        ),
        (
            60,
            "{target: load, windows: {length: 8, horizon: 2}}",
            {"prepare": "{split: {name: random}}"},
            "prepare: prepare.split random would tear a series apart, and test on times before those trained on",
        ),
        (
            60,
            "{target: load, windows: {length: 8, horizon: 2}}",
            {"model": "{family: tabular}"},
            "train: model.family: tabular reads numeric and categorical columns, but the data has series",
        ),
    ],
)
def test_a_series_that_does_not_fit_is_told_with_the_way_out(
    count: int, data: str, sections: dict[str, str], expected: str, tmp_path: Path
) -> None:
    project = tiny(tmp_path / "project", data, **sections)
    hours = pd.date_range("2024-01-01", periods=count, freq="h")
    values = np.sin(np.arange(count))
    pd.DataFrame({"hour": hours, "load": values}).to_csv(project.root / "data" / "rows.csv", index=False)
    assert expected in attempt(project)


def write_images(folder: Path, count: int = 24) -> None:
    for number in range(count):
        path = folder / ("cat", "dog")[number % 2] / f"{number:02d}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.random.default_rng(number).integers(0, 255, (8, 8), dtype=np.uint8)).save(path)


def torn(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:12])


def torn_behind_its_header(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-40])


@pytest.mark.parametrize(
    ("spoil", "expected"),
    [
        (torn, ["validate: ", "07.png cannot be read as an image", "save it again as .png or .jpg, or remove the row"]),
        (torn_behind_its_header, ["prepare: ", "07.png cannot be read as an image"]),
        (lambda path: path.write_text("no image"), ["validate: ", "07.png cannot be read as an image"]),
        (lambda path: path.write_bytes(b""), ["validate: ", "07.png is empty (0 bytes): replace or remove it"]),
    ],
)
def test_one_broken_image_of_a_folder_is_named_at_once(
    spoil: Callable[[Path], object], expected: list[str], tmp_path: Path
) -> None:
    project = tiny(tmp_path / "project", "{target: animal}")
    write_images(project.root / "data")
    spoil(project.root / "data" / "dog" / "07.png")
    message = attempt(project)
    for text in expected:
        assert text in message


def test_columns_asked_of_images_are_told(tmp_path: Path) -> None:
    project = tiny(tmp_path / "project", "{target: animal}", model="{family: tabular}")
    write_images(project.root / "data")
    assert "train: model.family: tabular reads numeric and categorical columns, but the data has image" in attempt(
        project
    )


@pytest.mark.parametrize("where", ["nets.py", "own/deep.py"])
def test_a_network_of_the_project_that_nobody_watches_is_refused(where: str, tmp_path: Path) -> None:
    module = where.removesuffix(".py").replace("/", ".")
    project = tiny(tmp_path / "project", "{target: kind}", model=f"{{family: custom, module: '{module}:build'}}")
    write_rows(project, ["size", "kind"])
    (project.root / where).parent.mkdir(exist_ok=True)
    (project.root / where).write_text(NETWORK)
    message = attempt(project)
    assert f"train: model.module: {module}:build must lie in the folder networks/, which dvc.yaml watches" in message


def test_a_folder_of_networks_that_dvc_does_not_watch_is_refused_and_one_that_it_does_is_not(tmp_path: Path) -> None:
    project = tiny(tmp_path / "project", "{target: kind}", model="{family: custom, module: 'networks.nets:build'}")
    write_rows(project, ["size", "kind"])
    (project.root / "networks").mkdir()
    (project.root / "networks" / "nets.py").write_text(NETWORK)
    assert "dvc.yaml does not watch networks/, so a change there would go unseen: add `- networks`" in attempt(project)
    (project.root / "dvc.yaml").write_text(dvc_yaml(None, networks=True))
    train._require_watched("networks.nets:build", project)
    train._require_watched("torch.nn:Identity", project)  # an installed package is the environment's
    (project.root / "torch.py").touch()
    with pytest.raises(ConfigError, match="must lie in the folder networks/"):
        train._require_watched("torch.nn:Identity", project)
