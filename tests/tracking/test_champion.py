"""The registered file as a teacher: what it answers about the training rows, and where it does not fit them."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from ann.artifacts import load_arrays, load_json
from ann.data.examples import Examples
from ann.data.schema import Schema
from ann.data.sources import read_table
from ann.errors import AnnError, ConfigError
from ann.predict import Model
from ann.project import Project
from ann.tracking.champion import answers_of, champion_outputs


@pytest.fixture
def here(built: Path) -> Project:
    return Project.at(built)


def schema_of(project: Project) -> Schema:
    return Schema.from_json(load_json(project.build.schema))


def examples_of(project: Project) -> Examples:
    content = load_json(project.build.schema)
    return Examples(read_table(project.params().data, project), schema_of(project), **content["media"])


def outputs(project: Project) -> torch.Tensor:
    return champion_outputs(project.params(), project, schema_of(project), load_json(project.build.schema)["media"])


def test_the_champion_teaches_what_it_answers_to_a_client(here: Project) -> None:
    rows = load_arrays(here.build.folder("prepare") / "train")["rows"]
    model = Model(here.build.model)
    table = pd.read_csv(here.root / "data" / "shop.csv").iloc[rows]
    expected = model.run(model.inputs(table.to_dict("records")))["probabilities"]
    found = outputs(here)
    assert (found.shape, found.dtype) == ((len(rows), 2), torch.float32)
    np.testing.assert_allclose(found.softmax(dim=1).numpy(), expected, atol=1e-5)


def test_a_project_without_a_champion_is_told(here: Project) -> None:
    text = here.params_file.read_text()
    here.params_file.write_text(text.replace("register: {name: shop}", "register: {name: other}"))
    with pytest.raises(ConfigError, match=r"compress\.recipes: other has no champion yet: write teacher: network"):
        outputs(here)


def test_a_champion_of_other_classes_cannot_teach(here: Project) -> None:
    schema = schema_of(here)
    turned = replace(schema, target=replace(schema.target, classes=("yes", "no")))
    media = load_json(here.build.schema)["media"]
    with pytest.raises(ConfigError, match="it answers no, yes, the data holds yes, no: write teacher: network"):
        champion_outputs(here.params(), here, turned, media)


def test_a_champion_of_another_task_cannot_teach(here: Project) -> None:
    examples = examples_of(here)
    other = replace(examples.schema, target=replace(examples.schema.target, task="regression"))
    with pytest.raises(AnnError, match="it makes a binary answer, the data asks for regression"):
        answers_of(Model(here.build.model), replace(examples, schema=other), np.arange(3))


def test_a_champion_of_other_columns_cannot_teach(here: Project) -> None:
    examples = examples_of(here)
    examples = replace(examples, table=examples.table.rename(columns={"income": "incomes"}))
    with pytest.raises(AnnError, match=r"column 'income' is missing \(did you mean 'incomes'\?\)"):
        answers_of(Model(here.build.model), examples, np.arange(3))
