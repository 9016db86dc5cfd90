"""The initialisation study on MNIST: measured beside published accuracies, as an MLflow experiment of this project.

The network and its training are those of ann/studies/initialisation.py. Five epochs and the learning rate were chosen
on validation images; the figures are of test images.
"""

import argparse

import numpy as np

from ann.data.batches import TensorData
from ann.data.target import classification
from ann.environment import prepare_environment
from ann.project import Project
from ann.report.initialisation import draw_initialisation
from ann.studies.initialisation import BATCH_SIZE, PUBLISHED, StudyRows, run_study
from benchmarks.data import HOW, MNIST, REPOSITORY, mnist_test, mnist_train
from benchmarks.rows import measured, save

EPOCHS, LR = 5, 0.01
PICTURE = REPOSITORY / "build" / "benchmarks" / "initialisation.png"


def measure(seeds: list[int]) -> None:
    """Train from each strategy with each seed, and save a row each."""
    if not MNIST.is_dir():
        raise SystemExit(HOW)
    train, valid = mnist_train()
    parts = (TensorData({"numeric": images.flatten(1)}, target) for images, target in (train, valid, mnist_test()))
    learnt, watched, judged = parts
    project = Project.at(REPOSITORY)
    prepare_environment(project.state)
    rows = StudyRows(learnt, watched, classification(10), test=judged)
    outcome = run_study(rows, project, "mnist", seeds=seeds, epochs=EPOCHS, lr=LR, told=print)
    draw_initialisation(outcome.epochs, PICTURE)
    for strategy, published in PUBLISHED.items():
        row = measured(
            outcome.final[strategy].tolist(),
            row=strategy,
            unit="test accuracy, mean",
            bar=f"published {published}",
            met=None,
            seeds=seeds,
            note=f"MNIST, 784-128-64-10, relu, plain SGD {LR}, batch {BATCH_SIZE}, {EPOCHS} epochs; "
            f"always the most frequent class: {outcome.majority:.4f}",
            middle=np.mean,
        )
        save("initialisation", row)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=3, help="trainings of each strategy")
    parser.add_argument("--quick", action="store_true", help="one of each")
    arguments = parser.parse_args()
    measure(list(range(1, 2 if arguments.quick else 1 + arguments.seeds)))
