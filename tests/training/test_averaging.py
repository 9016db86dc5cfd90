"""Averaged weights against the average of what was seen, and that they are what is evaluated and kept."""

import numpy as np
import torch
from torch import nn

from ann.config.train import EMA, SWA, TrainParams
from ann.data.batches import TensorData
from ann.models.mlp import MLP
from ann.training.averaging import Average
from ann.training.fit import fit
from ann.training.flat import FlatParameters
from ann.training.objective import build_objective
from ann.training.prediction import predict_logits


def rows(count: int, seed: int) -> TensorData:
    random = torch.Generator().manual_seed(seed)
    x = torch.randn(count, 4, generator=random)
    return TensorData({"numeric": x}, (x[:, 0] > 0).long())


def nothing() -> None:
    """No BatchNorm, nothing to calibrate."""


def test_ema_follows_its_formula() -> None:
    network = nn.Linear(3, 2)
    flat = FlatParameters.of(network)
    average = Average.of(EMA(name="ema", decay=0.6), flat, network)
    expected, random = flat.weights.double().numpy().copy(), np.random.default_rng(0)
    for step in range(1, 8):
        values = random.normal(size=flat.weights.shape)
        flat.weights.copy_(torch.from_numpy(values))
        average.after_step()
        decay = min(0.6, (1 + step) / (10 + step))
        expected = decay * expected + (1 - decay) * values
    np.testing.assert_allclose(average.weights.numpy(), expected, rtol=1e-5, atol=1e-6)


def test_swa_is_the_mean_over_the_late_epochs() -> None:
    network = nn.Linear(3, 2)
    flat = FlatParameters.of(network)
    average = Average.of(SWA(name="swa", start=0.5), flat, network)
    for epoch in range(1, 9):
        flat.weights.fill_(float(epoch))
        average.after_epoch(epoch, 8)
    np.testing.assert_allclose(average.weights.numpy(), 6.5)  # epochs 5, 6, 7, 8


def test_the_average_is_in_the_network_only_inside_the_block() -> None:
    network = nn.Linear(3, 2)
    flat = FlatParameters.of(network)
    average = Average.of(EMA(name="ema"), flat, network)
    average.after_step()
    flat.weights.fill_(7)
    with average.applied(nothing):
        assert not (network.weight == 7).any()
    assert (network.weight == 7).all()


def test_an_average_of_nothing_leaves_the_weights() -> None:
    network = nn.Linear(3, 2)
    flat = FlatParameters.of(network)
    average = Average.of(SWA(name="swa"), flat, network)
    flat.weights.fill_(7)
    with average.applied(nothing):
        assert (network.weight == 7).all()


def test_what_is_kept_is_the_average_and_its_loss_is_what_was_reported() -> None:
    train, valid = rows(200, 0), rows(100, 1)
    for average in ("ema", {"name": "swa", "start": 0.4}):
        torch.manual_seed(0)
        network = MLP(width=4, sizes=[], outputs=2, hidden=[16], norm="batch", dropout=0.2)
        params = TrainParams(epochs=5, batch_size=20, average=average, early_stopping=None)
        result = fit(network, train, valid, params, seed=1)
        objective = build_objective(network, valid, params)
        loss, _ = objective.measure(predict_logits(network, valid), valid.target)
        assert abs(loss - result.best_loss) < 1e-6


def test_batchnorm_statistics_of_swa_are_those_of_the_averaged_weights() -> None:
    train = rows(500, 0)
    torch.manual_seed(0)
    network = MLP(width=4, sizes=[], outputs=2, hidden=[16], norm="batch", dropout=0.2)
    params = TrainParams(epochs=4, batch_size=50, average={"name": "swa", "start": 0.0}, early_stopping=None)
    fit(network, train, train, params, seed=1)
    linear, norm = network.blocks[0][0], network.blocks[0][1]
    hidden = linear(train.inputs["numeric"])
    torch.testing.assert_close(norm.running_mean, hidden.mean(0), rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(norm.running_var, hidden.var(0), rtol=1e-4, atol=1e-5)
    assert norm.momentum == 0.1
