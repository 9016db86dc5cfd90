"""Training in float64 beside the NumPy network: same rows in the same order, same weights after every epoch."""

from typing import Any

import numpy as np
import pytest
import torch

from ann.config.train import TrainParams
from ann.data.batches import TensorData, batch_sizes
from ann.models import reference
from ann.models.mlp import MLP
from ann.seeding import stream_seed
from ann.training.fit import fit

ROWS, FEATURES, CLASSES, HIDDEN, EPOCHS, SEED = 70, 5, 3, (16, 8), 3, 4
OPTIMIZERS: dict[str, dict[str, Any]] = {
    "adam": {"lr": 0.01, "betas": (0.8, 0.95), "weight_decay": 0.05},
    "adamw": {"lr": 0.01, "betas": (0.8, 0.95), "weight_decay": 0.05},
    "gd": {"lr": 0.1, "weight_decay": 0.02},
    "momentum": {"lr": 0.05, "momentum": 0.8, "weight_decay": 0.02},
    "nesterov": {"lr": 0.05, "momentum": 0.8, "weight_decay": 0.02},
    "rmsprop": {"lr": 0.003, "alpha": 0.9, "weight_decay": 0.02},
    "sgd": {"lr": 0.1, "weight_decay": 0.02},
}


def twins(activation: str) -> tuple[MLP, reference.Network]:
    """Return a network of torch and one of NumPy with the same weights."""
    theirs = reference.Network([FEATURES, *HIDDEN, CLASSES], np.random.default_rng(0), hidden=activation)
    mine = MLP(
        width=FEATURES,
        sizes=[],
        outputs=CLASSES,
        hidden=list(HIDDEN),
        activation=activation,
        norm="none",
        dropout=0.0,
    ).double()
    with torch.no_grad():
        for name, parameter in zip(theirs.parameters, mine.parameters(), strict=True):
            parameter.copy_(torch.from_numpy(theirs.parameters[name]))
    return mine, theirs


def reference_epochs(
    network: reference.Network, optimizer: reference.SGD, x: np.ndarray, targets: np.ndarray, lr: float, size: int
) -> list[list[np.ndarray]]:
    """Return the weights after each epoch."""
    found = []
    for epoch in range(1, EPOCHS + 1):
        order = torch.randperm(ROWS, generator=torch.Generator().manual_seed(stream_seed(SEED, f"order/{epoch}")))
        for index in order.split(batch_sizes(ROWS, size)):
            rows = index.numpy()
            gradients = reference.clip_by_norm(network.backward(x[rows], targets[rows]), 0.7)
            optimizer.step(network.parameters, gradients, lr)
        found.append([value.copy() for value in network.parameters.values()])
    return found


@pytest.mark.parametrize("large", [1, 10**9])
@pytest.mark.parametrize("activation", ["relu", "tanh", "gelu", "silu"])
@pytest.mark.parametrize("name", OPTIMIZERS)
def test_every_epoch_gives_the_weights_of_the_reference(
    name: str, activation: str, large: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ann.training.linear.LARGE", large)
    random = np.random.default_rng(1)
    x, labels = random.normal(size=(ROWS, FEATURES)), random.integers(CLASSES, size=ROWS)
    data = TensorData({"numeric": torch.from_numpy(x)}, torch.from_numpy(labels))
    mine, theirs = twins(activation)
    seen: list[list[np.ndarray]] = []
    params = TrainParams(
        epochs=EPOCHS,
        batch_size=16,
        loss="cross_entropy",
        optimizer={"name": name, **OPTIMIZERS[name]},
        schedule="constant",
        early_stopping=None,
        clip_norm=0.7,
    )
    weights = list(mine.parameters())  # what is trained; at the end the best epoch's come back
    fit(
        mine,
        data,
        data,
        params,
        seed=SEED,
        callbacks=(lambda _: seen.append([weight.detach().numpy().copy() for weight in weights]),),
    )
    settings = {key: value for key, value in OPTIMIZERS[name].items() if key != "lr"}
    optimizer = reference.OPTIMIZERS[name](**settings)
    size = ROWS if name == "gd" else 16
    expected = reference_epochs(theirs, optimizer, x, np.eye(CLASSES)[labels], OPTIMIZERS[name]["lr"], size)
    for after, wanted in zip(seen, expected, strict=True):
        for weight, value in zip(after, wanted, strict=True):
            np.testing.assert_allclose(weight, value, rtol=1e-6, atol=1e-8)
