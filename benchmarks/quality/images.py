"""Rows of images, with the official test images."""

from functools import partial
from pathlib import Path

from sklearn.metrics import accuracy_score

from benchmarks.data import FASHION, HOW, MNIST
from benchmarks.quality.kept import Figures, kept
from benchmarks.quality.ours import Answers, figures
from benchmarks.quality.saving import LONGEST, save_row
from benchmarks.quality.settings import FASHION_CNN, FASHION_MLP, MNIST_CNN, MNIST_MLP, Settings


def fashion(seeds: list[int]) -> None:
    """Fashion-MNIST: a convolutional network, and a plain perceptron beside it."""
    if not FASHION.is_dir():
        raise SystemExit("its files are not there: apt install dataset-fashion-mnist")
    cnn = _figures("fashion", "cnn", FASHION, FASHION_CNN, seeds)
    mlp = _figures("fashion", "mlp", FASHION, FASHION_MLP, seeds)
    unit, rows = "test accuracy, mean", "10,000 official test images"
    save_row("fashion, cnn", cnn, "accuracy", unit, seeds, rows, ">= 0.935")
    save_row("fashion, seconds of training", cnn, "seconds", "s, mean", seeds, "", LONGEST)
    save_row("fashion, plain MLP", mlp, "accuracy", unit, seeds, f"{rows}; family mlp with its defaults")


def mnist(seeds: list[int]) -> None:
    """MNIST: a convolutional network and a perceptron, each with its bar."""
    if not MNIST.is_dir():
        raise SystemExit(HOW)
    cnn = _figures("mnist", "cnn", MNIST, MNIST_CNN, seeds)
    mlp = _figures("mnist", "mlp", MNIST, MNIST_MLP, seeds)
    unit, rows = "test accuracy, mean", "10,000 official test images"
    save_row("mnist, cnn", cnn, "accuracy", unit, seeds, rows, ">= 0.995")
    save_row("mnist, seconds of training the cnn", cnn, "seconds", "s, mean", seeds, "", LONGEST)
    save_row("mnist, mlp", mlp, "accuracy", unit, seeds, rows, ">= 0.986")


def _figures(row: str, side: str, data: Path, settings: Settings, seeds: list[int]) -> list[Figures]:
    return [kept(row, side, seed, settings, partial(figures, settings, data, _score)) for seed in seeds]


def _score(part: Answers) -> Figures:
    return {"accuracy": float(accuracy_score(part.truth, part.answers.argmax(axis=1)))}
