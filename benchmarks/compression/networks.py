"""The networks that are made smaller, trained here, and the bench on which recipes work on them.

Pixels of MNIST and Fashion-MNIST; of the 60,000 official training images the last 5,000 validate. Settings of recipes
were chosen on those; test images are only scored.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import onnx
import torch
from torch import Tensor, nn

from ann.compression.bench import Bench
from ann.compression.judge import judge
from ann.config.train import TrainParams
from ann.data.batches import TensorData
from ann.data.target import classification
from ann.export.network import run_network
from ann.models.cnn import CNN
from ann.models.mlp import MLP
from ann.training.fit import fit
from benchmarks.data import FASHION, HOW, MNIST, images

VALID = 5_000
TEN = classification(10)


@dataclass(frozen=True, eq=False)
class Images:
    """Scaled rows of a set of images."""

    train: TensorData
    valid: TensorData
    test: TensorData


def read_images(folder: Path, *, flat: bool) -> Images:
    """Return (N, 784) rows of `numeric`, or (N, 1, 28, 28) of `image`, by mean and deviation of all training pixels."""
    if not folder.is_dir():
        raise SystemExit(HOW if folder == MNIST else "apt install dataset-fashion-mnist")
    pixels, target = images(folder, "train")
    rows = pixels[:-VALID].float()
    scale = partial(_scaled, mean=float(rows.mean()), std=float(rows.std()), flat=flat)
    test, truth = images(folder, "test")
    return Images(
        TensorData(scale(pixels[:-VALID]), target[:-VALID]),
        TensorData(scale(pixels[-VALID:]), target[-VALID:]),
        TensorData(scale(test), truth),
    )


def _scaled(pixels: Tensor, *, mean: float, std: float, flat: bool) -> dict[str, Tensor]:
    rows = pixels.float().sub_(mean).div_(std)
    return {"numeric": rows.flatten(1)} if flat else {"image": rows.unsqueeze(1)}


def lenet() -> nn.Module:
    """Return LeNet-300-100: 784-300-100-10, 266,610 parameters of 4 bytes."""
    return MLP(width=784, sizes=[], outputs=10, hidden=[300, 100], norm="none", dropout=0.0)


def perceptron() -> nn.Module:
    """Return 784-512-256-128-10."""
    return MLP(width=784, sizes=[], outputs=10, hidden=[512, 256, 128], norm="none", dropout=0.1)


def convolutional() -> nn.Module:
    """Return a small CNN of four convolutions."""
    return CNN(channels=1, height=28, width=28, outputs=10, stages=[16, 32], dropout=0.1)


def trained_bench(make: Callable[[], nn.Module], rows: Images, settings: TrainParams, seed: int) -> Bench:
    """Train a network, and return the bench of its recipes."""
    torch.manual_seed(seed)
    network = make()
    fit(network, rows.train, rows.valid, settings, seed=seed)
    return bench_of(network, rows, settings, seed)


def bench_of(network: nn.Module, rows: Images, settings: TrainParams, seed: int) -> Bench:
    """Return the bench of a trained network; its drop is one of accuracy."""
    valid = {name: values.numpy() for name, values in rows.valid.inputs.items()}
    judging = partial(
        judge,
        target=TEN,
        metric="accuracy",
        rows={**valid, "target": rows.valid.target.numpy()},
        resamples=1000,
        confidence=0.95,
        seed=seed,
    )
    return Bench(
        network.eval(), None, rows.train, rows.valid, TEN, settings, seed, max_drop=0.002, batch=64, judge_of=judging
    )


def errors(graph: onnx.ModelProto, rows: TensorData) -> np.ndarray:
    """Return (N,) bool, true where the graph is wrong about a row."""
    found = run_network(graph, {name: values.numpy() for name, values in rows.inputs.items()})
    return np.asarray(found.argmax(axis=1) != rows.target.numpy())


def worst_loss(small: list[np.ndarray], full: list[np.ndarray], resamples: int = 5000) -> tuple[float, float]:
    """Return the mean difference of error [percentage points] and its upper 95 % bound.

    Both sides by seed, (N,) each; rows are drawn with replacement, each with all of its seeds.
    """
    difference = np.mean([a.astype(float) - b for a, b in zip(small, full, strict=True)], axis=0)
    random = np.random.default_rng(0)
    means = [random.choice(difference, len(difference)).mean() for _ in range(resamples)]
    return 100 * float(difference.mean()), 100 * float(np.quantile(means, 0.95))


SETS = {"fashion": FASHION, "mnist": MNIST}
