"""Train the NumPy network of `ann.models.reference` on handwritten digits: `python examples/reference_network.py`.

1,797 images of 8 x 8 pixels in ten classes come with scikit-learn; four fifths train, the others test. The network has
two hidden layers and learns by AdamW; every gradient and every step is a formula in `ann/models/reference.py`.
"""
# ruff: noqa: T201  # the prints are the result

import sys

import numpy as np
from numpy.typing import NDArray

from ann.models.reference import OPTIMIZERS, Array, Network, train

SEED = 0
EPOCHS, EVERY = 12, 3
"""Epochs in all, and between two lines of output."""
MISSING = 2
"""Exit code where scikit-learn is not installed."""


def main() -> int:
    """Train, print the test accuracy every few epochs, and return the exit code."""
    random = np.random.default_rng(SEED)
    try:
        x, labels = load(random)
    except ModuleNotFoundError:
        print("this example reads scikit-learn's digits: python -m pip install scikit-learn", file=sys.stderr)
        return MISSING
    rows = len(x) * 4 // 5
    targets = np.eye(10)[labels[:rows]]

    network = Network([64, 64, 32, 10], random, hidden="relu", output="softmax", initialiser="he_normal")
    optimizer = OPTIMIZERS["adamw"](weight_decay=0.01)
    for epoch in range(EVERY, EPOCHS + 1, EVERY):
        losses = train(network, optimizer, x[:rows], targets, random, lr=3e-3, epochs=EVERY, batch_size=32)
        accuracy = np.mean(network.predict(x[rows:]).argmax(axis=1) == labels[rows:])
        print(f"epoch {epoch:2d}: training loss {losses[-1]:.4f}, test accuracy {100 * accuracy:.1f} %")
    return 0


def load(random: np.random.Generator) -> tuple[Array, NDArray[np.int64]]:
    """Return (1797, 64) pixels from 0 to 1 and (1797,) digits, shuffled."""
    from sklearn.datasets import load_digits

    images, digits = load_digits(return_X_y=True)
    order = random.permutation(len(images))
    return images[order] / 16, digits[order]


if __name__ == "__main__":
    sys.exit(main())
