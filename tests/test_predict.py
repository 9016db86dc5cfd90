"""Scoring a file with the shipped model: what comes out, and what is refused."""

import csv
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import pandas as pd
import pytest
import torch

from ann.config.data import Column, DataParams
from ann.config.stages import PrepareParams
from ann.data.batches import TensorData
from ann.data.graph import GraphBuilder
from ann.data.preparation import fit_statistics, preparation_graph, run_preparation
from ann.data.schema import infer_schema
from ann.data.sources import read_file
from ann.errors import ConfigError, DataError
from ann.export.join import join
from ann.export.network import export_network, save_model
from ann.models.mlp import MLP
from ann.predict import CHUNK_ROWS, Model, predict_file

DATA = DataParams(
    target="bought",
    positive="yes",
    missing=("", "?"),
    columns={"town": Column(role="drop"), "zip": Column(type="category"), "label": Column(type="category")},
)
TRAIN = """\
age,income,colour,zip,label,club,town,bought
20,100.5,red,01067,true,1.0,a,no
30,,blue,01067,true,1.0,b,yes
40,300.5,red,80331,false,2.0,c,yes
50,400.5, ?,80331,false,2.0,d,no
60,500.5, ?,20095,true,,e,yes
70,600.5,blue,20095,false,2.0,f,no
"""


@pytest.fixture(scope="module")
def scorer(tmp_path_factory):
    """A small real model, and a function that scores a table the way training read it."""
    folder = tmp_path_factory.mktemp("model")
    (folder / "train.csv").write_text(TRAIN, encoding="utf-8")
    table = read_file(folder / "train.csv", DATA)
    schema = infer_schema(table, DATA.model_copy(update={"columns": {**DATA.columns, "club": Column(type="category")}}))
    statistics = fit_statistics(table, schema, PrepareParams())
    graph = preparation_graph(statistics, schema.missing)
    torch.manual_seed(0)
    network = MLP(width=statistics.width, sizes=statistics.sizes, num_classes=2, hidden=[8]).eval()
    torch.nn.init.normal_(network.embeddings[0].weight)

    def expected(rows: pd.DataFrame) -> np.ndarray:
        """Return the probabilities of the torch network for rows that were read as training data."""
        inputs = {name: torch.as_tensor(array) for name, array in run_preparation(graph, rows, schema).items()}
        with torch.no_grad():
            return network(inputs).softmax(dim=1).numpy()

    arrays = {**run_preparation(graph, table, schema), "target": np.zeros(len(table), np.int64)}
    exported = export_network(network, TensorData.on_device(arrays))
    save_model(join(graph, exported, schema, {"ann.key": "k"}), folder / "model.onnx")
    return Model(folder / "model.onnx", threads=1), expected
