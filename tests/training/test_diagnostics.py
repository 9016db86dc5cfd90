"""Planted faults are found, and a healthy network is left in peace."""

import numpy as np
import pytest
import torch
from torch import nn

from ann.config.train import TrainParams
from ann.data.batches import TensorData
from ann.models.mlp import MLP
from ann.training.diagnostics import dead_units, diagnose, gradient_warnings, weight_report
from ann.training.fit import fit
from ann.training.profiling import PHASES, profile
from ann.training.state import EpochRecord


def rows(count: int = 200) -> TensorData:
    random = torch.Generator().manual_seed(0)
    x = torch.randn(count, 4, generator=random)
    return TensorData({"numeric": x}, (x[:, 0] > 0).long())


def new_network(**settings: object) -> MLP:
    torch.manual_seed(1)
    return MLP(width=4, sizes=[], outputs=2, **{"hidden": [16, 8], "dropout": 0.2, **settings})


def record(epoch: int, **norms: float) -> EpochRecord:
    return EpochRecord(epoch, 0.1, 1.0, 1.0, 1.0, {}, norms)


def test_a_healthy_training_gives_no_warning() -> None:
    network = new_network()
    result = fit(network, rows(), rows(), TrainParams(epochs=3, batch_size=20), seed=0)
    found = diagnose(network, rows(), result.history)
    assert found.warnings == ()
    assert [report.layer for report in found.weights] == ["blocks.0.0", "blocks.1.0", "head"]
    assert [(report.kind, report.units) for report in found.units] == [("ReLU", 16), ("ReLU", 8)]


def test_a_deep_network_of_small_weights_vanishes_and_the_first_layers_are_named() -> None:
    network = new_network(hidden=[8] * 12, activation="tanh", norm="none", dropout=0.0)
    with torch.no_grad():
        for block in network.blocks:
            block[0].weight.mul_(0.05)
    params = TrainParams(epochs=1, batch_size=50, optimizer={"name": "sgd", "lr": 1e-6})
    result = fit(network, rows(), rows(), params, seed=0)
    warnings = list(gradient_warnings(result.history))
    assert warnings[0].startswith("blocks.0.0: vanishing gradient, norm ")
    assert "(1 of 1 epochs)" in warnings[0]


def test_an_exploding_gradient_is_named_although_it_is_clipped() -> None:
    network = new_network(norm="none", dropout=0.0)
    with torch.no_grad():
        network.head.weight.mul_(3000)
    params = TrainParams(epochs=1, batch_size=50, clip_norm=1.0, optimizer={"name": "sgd", "lr": 1e-9})
    result = fit(network, rows(), rows(), params, seed=0)
    assert result.history[0].grad_norm > 100
    assert any("blocks.0.0: exploding gradient" in warning for warning in gradient_warnings(result.history))


def test_epochs_are_counted_and_the_first_bad_one_is_told() -> None:
    history = [record(1, a=1.0, b=1.0), record(2, a=1e-7, b=1.0), record(3, a=1e-9, b=200.0)]
    assert list(gradient_warnings(history)) == [
        "a: vanishing gradient, norm 1e-07 in epoch 2 (2 of 3 epochs); take another activation, norm or initialisation",
        "b: exploding gradient, norm 2e+02 in epoch 3 (1 of 3 epochs); lower train.optimizer.lr or set train.clip_norm",
    ]


def test_planted_dead_units_are_counted_exactly() -> None:
    network = new_network(norm="none")
    with torch.no_grad():
        network.blocks[0][0].bias[:12] = -1e3
    reports = dead_units(network, rows())
    assert reports[0].dead == 12 / 16
    assert reports[1].dead < 0.5
    warnings = diagnose(network, rows(), []).warnings
    assert warnings[0].startswith("blocks.0.1 (ReLU): 75% of 16 units are the same for every row")


def test_channels_of_images_are_units() -> None:
    class Picture(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv, self.act = nn.Conv2d(1, 5, 3), nn.ReLU()

        def forward(self, inputs: dict[str, torch.Tensor]) -> torch.Tensor:
            return self.act(self.conv(inputs["image"])).mean((2, 3))

    network = Picture()
    with torch.no_grad():
        network.conv.bias[:2] = -1e3
    data = TensorData({"image": torch.randn(30, 1, 8, 8)}, torch.zeros(30, dtype=torch.int64))
    (report,) = dead_units(network, data)
    assert (report.units, report.dead) == (5, pytest.approx(0.4))


def test_the_weight_report_is_numpys() -> None:
    weights = torch.randn(30, 20, generator=torch.Generator().manual_seed(2))
    report, values = weight_report("x", weights), weights.numpy()
    counts, edges = np.histogram(values, bins=40)
    assert (report.mean, report.std) == (pytest.approx(values.mean(), abs=1e-7), pytest.approx(values.std()))
    assert (report.low, report.high) == (pytest.approx(edges[0]), pytest.approx(edges[-1]))
    assert sum(report.counts) == 600
    assert np.abs(np.array(report.counts) - counts).max() <= 1  # values on an edge may fall on either side
    assert weight_report("zeros", torch.zeros(3, 3)).counts == (9,)


@pytest.mark.parametrize("large", [1, 10**9])
def test_a_profile_adds_up(large: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ann.training.linear.LARGE", large)
    network = new_network(hidden=[64, 32])
    found = profile(network, rows(), TrainParams(batch_size=50), steps=5, warmup=2)
    assert tuple(found.phases_ms) == PHASES
    assert all(ms > 0 for ms in found.phases_ms.values())
    products = 2 * 50 * (4 * 64 + 64 * 32 + 32 * 2)
    assert found.flops_per_step == 3 * products - 2 * 50 * 4 * 64  # the inputs need no gradient
    assert found.rows_per_s == pytest.approx(50 / found.step_ms * 1e3)
    assert found.peak_flops_per_s > found.flops_per_s
    assert found.engine == "eager"
    assert ("aten::addmm_" in {op.name for op in found.ops}) == (large == 1)
    assert "aten::mm" in {op.name for op in found.ops}
    assert found.memory_mb > 10
