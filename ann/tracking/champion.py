"""What a registered file answers about the rows of today's data, if it fits them."""

import tempfile
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from ann.artifacts import load_arrays
from ann.config import Params
from ann.data.examples import Examples
from ann.data.schema import Schema
from ann.data.sources import read_table
from ann.data.target import Target
from ann.errors import AnnError, ConfigError
from ann.predict import Model
from ann.project import Project
from ann.tracking.registry import champion_of, download_model
from ann.tracking.store import connect

ROWS_AT_ONCE = 256


def answers_of(model: Model, examples: Examples, rows: np.ndarray) -> np.ndarray:
    """Return a file's answers about rows of the table, as `Target.answers` gives them.

    Raises:
        AnnError: the file reads other columns, or answers another question.
    """
    model.require_columns([str(name) for name in examples.table.columns])
    _require_same_answers(model, examples.schema.target)
    _require_same_media(model, examples)
    parts = [examples.inputs_as(model.types, part) for part in examples.chunks(rows, ROWS_AT_ONCE)]
    return np.concatenate([examples.schema.target.read(model.run(part)) for part in parts])


def champion_outputs(params: Params, project: Project, schema: Schema, media: dict[str, int | None]) -> Tensor:
    """Return (N, outputs) that the champion would give for the N training rows, as a network gives them.

    Raises:
        ConfigError: there is no champion, or it does not fit the data.
    """
    name = params.register_.name
    store = connect(project, name)
    version = champion_of(store, name)
    if version is None:
        raise ConfigError(f"compress.recipes: {name} has no champion yet: write teacher: network")
    examples = Examples(read_table(params.data, project), schema, **media)
    rows = load_arrays(project.build.folder("prepare") / "train")["rows"]
    try:
        with tempfile.TemporaryDirectory() as folder:
            answers = answers_of(Model(download_model(store, version, Path(folder))), examples, rows)
    except AnnError as error:
        raise ConfigError(
            f"compress.recipes: the champion of {name} cannot teach: {error}: write teacher: network"
        ) from error
    return torch.from_numpy(schema.target.outputs_for(answers).astype(np.float32))


def _require_same_answers(model: Model, target: Target) -> None:
    """Raise AnnError where a file answers another question than the data asks."""
    if model.task != target.task:
        raise AnnError(f"it makes a {model.task} answer, the data asks for {target.task}")
    for what, theirs, ours in (
        ("answers", model.classes, target.classes),
        ("predicts", model.targets, target.names),
        ("gives the quantiles", model.quantiles, target.quantiles),
    ):
        if list(theirs) != list(ours):
            raise AnnError(f"it {what} {', '.join(map(str, theirs))}, the data holds {', '.join(map(str, ours))}")
    if target.task == "forecast" and (ahead := model.session.get_outputs()[0].shape[1]) != target.horizon:
        raise AnnError(f"it predicts {ahead} rows ahead, the data asks for {target.horizon}")


def _require_same_media(model: Model, examples: Examples) -> None:
    """Raise AnnError where a file reads images, sounds or windows in another form than the data's."""
    schema = examples.schema
    length = schema.windows.length if schema.windows else None
    series = [list(feature.columns) for feature in schema.of_type("series")]
    channels = [examples.channels for _ in schema.of_type("image")]
    for what, theirs, ours in (
        ("images of channels", [shape[3] for shape in model.shapes.values() if len(shape) == 4], channels),
        ("sounds of rate", model.metadata.get("ann.rate"), str(examples.rate) if examples.rate else None),
        ("rows of a series", (model.series or {}).get("length"), length),
        ("channels", [model.series["series"]] if model.series else [], series),
    ):
        if theirs != ours:
            raise AnnError(f"it reads {what} {theirs}, the data has {ours}")
