"""Small exported files with random weights, and what torch answers in their place."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn

from ann.config.data import DataParams
from ann.config.model import read_model
from ann.config.stages import PrepareParams
from ann.data.batches import TensorData
from ann.data.examples import Examples
from ann.data.graph import save_model
from ann.data.preparation import fit_statistics, preparation_graph, prepared
from ann.data.schema import Schema, infer_schema
from ann.data.task import target_values
from ann.data.windows import target_channels
from ann.export.join import join
from ann.export.network import export_network
from ann.training.network import new_network
from ann.training.prediction import predict_logits


class Shipped(NamedTuple):
    path: Path
    schema: Schema
    logits: Callable[[dict[str, np.ndarray]], np.ndarray]
    """Raw inputs -> (N, outputs) of torch."""
    channels: int | None
    rate: int | None

    def inputs(self, table: pd.DataFrame) -> dict[str, np.ndarray]:
        """Return the raw inputs of all rows of a table, or of its first window, as training reads them."""
        rows = np.arange(1 if self.schema.windows else len(table))
        return Examples(table, self.schema, self.channels, self.rate).inputs(rows)

    def probabilities(self, table: pd.DataFrame) -> np.ndarray:
        """Return what torch says of the rows of a table."""
        return self.schema.target.answers(self.logits(self.inputs(table)))

    def predictions(self, table: pd.DataFrame) -> np.ndarray:
        """Return (N, H, M, Q) numbers of torch, each in its own unit."""
        target = self.schema.target
        shape = (-1, max(1, target.horizon), len(target.names), max(1, len(target.quantiles)))
        values = self.logits(self.inputs(table)).reshape(shape)
        return values * np.array(target.scale)[:, None] + np.array(target.shift)[:, None]


@pytest.fixture(scope="session")
def ship() -> Callable[..., Shipped]:
    """Return what prepares a table, makes a network for it, and writes both as one file."""
    return _ship


def _ship(path: Path, table: pd.DataFrame, data: DataParams, model: dict[str, Any], **prepare: Any) -> Shipped:
    schema = infer_schema(table, data)
    schema = schema.with_target(schema.target.fitted(target_values(table, schema.target)))
    rows = np.arange(len(table) - (data.windows.length + data.windows.horizon - 1 if data.windows else 0))
    statistics = fit_statistics(Examples(table, schema), rows, PrepareParams(**prepare))
    examples = Examples(table, schema, statistics.channels, statistics.rate)
    preparation = preparation_graph(statistics, schema.features, schema.missing)
    groups = statistics.groups()
    if data.windows:
        ahead = {"channels": len(schema.features[0].columns), "horizon": data.windows.horizon}
        groups["series"] = {"length": data.windows.length, **ahead, "targets": target_channels(schema)}
    network = new_network(read_model(model), {"groups": groups, "target": schema.target.to_json()}, seed=1).eval()
    torch.manual_seed(0)
    for weight in network.parameters():
        nn.init.normal_(weight, std=0.3)

    def logits(inputs: dict[str, np.ndarray]) -> np.ndarray:
        arrays = prepared(preparation, [inputs])
        count = len(next(iter(arrays.values())))
        return predict_logits(network, TensorData.on_device({**arrays, "target": np.zeros(count)})).numpy()

    arrays = prepared(preparation, [examples.inputs(part) for part in examples.chunks(rows, 64)])
    graph = export_network(network, TensorData.on_device({**arrays, "target": np.zeros(len(rows))}))
    tags = {"ann.key": "k"} | ({"ann.rate": str(statistics.rate)} if statistics.rate else {})
    save_model(join(preparation, graph, schema, tags), path)
    return Shipped(path, schema, logits, statistics.channels, statistics.rate)
