"""Every family with every task that it can answer: it learns 64 rows by heart, exports, and the graph agrees."""

from pathlib import Path

import numpy as np
import pytest
import torch

from ann.config.model import Architecture, read_model
from ann.config.train import TrainParams
from ann.data.batches import TensorData
from ann.data.target import Target, classification
from ann.export.network import export_network, run_network, verify_network
from ann.models import FAMILIES
from ann.models.tabular import Tabular
from ann.training.fit import FitResult, fit
from ann.training.network import load_network, new_network, save_network
from ann.training.objective import build_objective

ROWS, WORDS, FRAMES, PAST, AHEAD = 64, 12, 12, 12, 3
GROUPS: dict[str, dict[str, object]] = {
    "numeric": {"width": 6},
    "categorical": {"sizes": [5, 4]},
    "text": {"words": WORDS, "length": 8},
    "image": {"channels": 1, "height": 8, "width": 8},
    "audio": {"mels": 6, "frames": FRAMES},
    "series": {"length": PAST, "channels": 2, "horizon": AHEAD, "targets": [0, 1]},
}
TASKS: dict[str, Target] = {
    "binary": classification(2),
    "multiclass": classification(3),
    "multilabel": Target("multilabel", ("a", "b")),
    "two numbers": Target("regression", ("a", "b"), shift=(0.0, 0.0), scale=(1.0, 1.0)),
    "quantiles": Target("regression", ("a",), quantiles=(0.1, 0.5, 0.9), shift=(0.0,), scale=(1.0,)),
    "forecast": Target("forecast", ("a", "b"), horizon=AHEAD, shift=(0.0, 0.0), scale=(1.0, 1.0)),
}
PLAIN = {"dropout": 0.0}
MODELS: dict[str, dict[str, object]] = {
    "cnn": {"stages": [16], "hidden": [64], **PLAIN},
    "custom": {"module": "networks.nets:build", "arguments": {"units": 128}},
    "densemlp": {"hidden": [64, 64], **PLAIN},
    "forecast": {"head": {"name": "mlp", "hidden": [128], "channels": "together", **PLAIN}, "normalise": "none"},
    "mlp": {"hidden": [64, 64], **PLAIN},
    "multimodal": {
        "width": 16,
        "columns": {"hidden": [32], **PLAIN},
        "text": {"encoder": {"name": "mean"}, "embedding": 16, "spatial_dropout": 0.0, **PLAIN},
        "image": {"stages": [8], **PLAIN},
        "audio": {"channels": [16], "cell": "none", **PLAIN},
        "hidden": [64],
        **PLAIN,
    },
    "resmlp": {"hidden": [64, 64], **PLAIN},
    "resnet": {"stages": [16], **PLAIN},
    "speech": {"channels": [32], "units": 16, "hidden": [64], **PLAIN},
    "tabular": {"hidden": [64], "members": 4, "bins": 8, "dimension": 8, **PLAIN},
    "text": {"encoder": {"name": "mean"}, "embedding": 64, "hidden": [64], "spatial_dropout": 0.0, **PLAIN},
}
NETWORK = """\
import torch
from torch import nn


class Own(nn.Module):
    def __init__(self, width, outputs, units):
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(width, units), nn.ReLU(), nn.Linear(units, outputs))

    def forward(self, inputs):
        return self.layers(inputs["numeric"])


def build(groups, outputs, units):
    return Own(groups["numeric"]["width"], outputs, units)
"""
KNOWING_NOTHING = {
    "binary": 0.69,
    "multiclass": 1.1,
    "multilabel": 0.69,
    "two numbers": 1,
    "quantiles": 0.3,
    "forecast": 1,
}
"""Loss of the answer that is best without looking at a row."""
LEARNED = 0.2
"""Share of that loss which a network that knows its rows by heart must fall below."""
SLOW = ("cnn", "multimodal", "resnet", "speech")
"""Families that take long for a step; they need fewer."""


def reads(family: str) -> tuple[str, ...]:
    return FAMILIES[family].reads or ("numeric",)


def pairs() -> list[tuple[str, str]]:
    """Return each family with the tasks that make sense of what it reads: of a series only a forecast."""
    return [
        (family, task) for family in MODELS for task in TASKS if ("series" in reads(family)) == (task == "forecast")
    ]


def rows(family: str, task: str) -> TensorData:
    """Return rows without any rule; of a series windows of two waves."""
    random = torch.Generator().manual_seed(0)
    if task == "forecast":
        time = torch.arange(ROWS)[:, None] + torch.arange(PAST + AHEAD)
        waves = torch.stack([torch.sin(time / 2), torch.cos(time / 3)], dim=2)
        return TensorData({"series": waves[:, :PAST].contiguous()}, waves[:, PAST:].contiguous())
    drawn = {
        "numeric": torch.randn(ROWS, 6, generator=random),
        "categorical": torch.randint(4, (ROWS, 2), generator=random),
        "text": torch.randint(1, WORDS, (ROWS, 8), generator=random),
        "image": torch.randn(ROWS, 1, 8, 8, generator=random),
        "audio": torch.randn(ROWS, FRAMES, 6, generator=random),
        "audio_frames": torch.randint(6, FRAMES + 1, (ROWS,), generator=random),
    }
    drawn["audio"] *= (torch.arange(FRAMES) < drawn["audio_frames"][:, None])[:, :, None]
    target = TASKS[task]
    if target.has_classes:
        truth = torch.randint(len(target.classes), (ROWS,), generator=random)
    elif task == "multilabel":
        truth = torch.randint(2, (ROWS, 2), generator=random).float()
    else:
        truth = torch.randn(ROWS, len(target.names), generator=random)
    return TensorData({name: drawn[name] for name in reads(family)}, truth)


def content(family: str, task: str) -> dict[str, object]:
    """Return what schema.json would hold of these rows."""
    groups = {name: GROUPS[name] for name in reads(family) if name in GROUPS}
    return {"groups": groups, "target": TASKS[task].to_json()}


def learned(family: str, task: str, folder: Path) -> tuple[torch.nn.Module, Architecture, TensorData, FitResult]:
    (folder / "networks").mkdir(exist_ok=True)
    (folder / "networks" / "nets.py").write_text(NETWORK, encoding="utf-8")
    model, data = read_model({"family": family, **MODELS[family]}), rows(family, task)
    network = new_network(model, content(family, task), 0, folder)
    if isinstance(network, Tabular):
        network.adapt(data.inputs)
    optimizer = {"lr": 0.01, "weight_decay": 0.0}
    epochs = 60 if family in SLOW else 200
    params = TrainParams(epochs=epochs, batch_size=32, optimizer=optimizer, early_stopping=None)
    objective = build_objective(network, data, params, TASKS[task])
    return network, model, data, fit(network, data, data, params, seed=0, objective=objective)


EXPORTED = {
    family: own[number % len(own)]
    for number, family in enumerate(MODELS)
    for own in [[task for other, task in pairs() if other == family]]
}
"""The task with which each family is exported, which takes seconds: all tasks come among the families."""


def test_every_family_is_here_but_the_one_whose_libraries_may_be_lacking() -> None:
    assert set(MODELS) == set(FAMILIES) - {"pretrained"}
    assert {family for family, _ in pairs()} == set(MODELS) == set(EXPORTED)
    assert set(EXPORTED.values()) == set(TASKS)


@pytest.mark.parametrize(("family", "task"), pairs())
def test_it_learns_by_heart_and_its_graph_agrees(family: str, task: str, tmp_path: Path) -> None:
    network, model, data, result = learned(family, task, tmp_path)
    assert result.best_loss < LEARNED * KNOWING_NOTHING[task]
    if EXPORTED[family] != task:
        return
    save_network(network, tmp_path / "weights.safetensors")
    again = load_network(model, content(family, task), tmp_path / "weights.safetensors", tmp_path)
    graph, target = export_network(again, data), TASKS[task]
    verify_network(graph, network, data, target)
    outputs = run_network(graph, {name: values.numpy()[:1] for name, values in data.inputs.items()})
    assert outputs.shape == (1, target.outputs)
    assert np.isfinite(target.answers(outputs)).all()
