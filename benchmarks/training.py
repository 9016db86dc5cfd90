"""Speed of training beside other ways to do the same work: `python -m benchmarks.training [--only ROW] [--quick]`.

Rows named after a peer: a 784-512-256-128-10 perceptron with BatchNorm, dropout 0.3, clipping and AdamW on 60,000 rows.
Both sides train for real, take turns (benchmarks.pairs) and use all cores; the value is how many times as long the peer
takes, with the 95 % interval of a bootstrap over pairs. Both must have learnt something at the end.

mnist-99: seconds of a cold process, imports and reading included, until training has reached 99.0 % on validation
images. Both sides train on the first 55,000 images and look at the last 5,000 after each epoch; the peer stops at the
first epoch that reaches the goal; ours runs the epochs that its schedule was fixed to, and fails if it has not arrived.
The clock then stops, and the test images are read for the first time: both accuracies stand in the note. Ours counts
only if the mean test accuracy over seeds is at least 99.0 % too. Its settings are the best of about forty, judged on
the validation images; the test accuracy was seen beside, so it is no estimate for other images.
"""

import argparse
import atexit
import json
import math
import operator
import os
import subprocess
import sys
from collections import deque
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from time import time

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.data import DataLoader, TensorDataset

from ann.config.losses import CrossEntropy
from ann.config.optimizers import AdamW
from ann.config.schedules import Constant, OneCycle
from ann.config.train import TrainParams
from ann.data.batches import TensorData, chunks
from ann.models.mlp import MLP
from ann.training.checkpoints import Checkpoints
from ann.training.engine import build_step
from ann.training.fit import fit, run_epoch
from ann.training.objective import build_objective
from ann.training.session import training_session
from benchmarks import peers
from benchmarks.data import HOW, MNIST, MNIST_GOAL, fashion_rows, mnist_train
from benchmarks.pairs import Ratio, interleave, ratio
from benchmarks.peers import Side, evaluated, seconds
from benchmarks.rows import REPOSITORY, Row, commit, machine, save, today

SPEED = TrainParams(
    epochs=100_000,
    loss=CrossEntropy(name="cross_entropy"),
    optimizer=AdamW(lr=peers.LR, weight_decay=peers.WEIGHT_DECAY),
    schedule=Constant(name="constant"),
    early_stopping=None,
    clip_norm=peers.CLIP_NORM,
    device="cpu",
)
MNIST_SETTINGS = TrainParams(
    epochs=2,
    batch_size=256,
    loss=CrossEntropy(name="cross_entropy", label_smoothing=0.2),
    optimizer=AdamW(lr=0.03),
    schedule=OneCycle(name="one_cycle"),
    early_stopping=None,
    clip_norm=None,
    device="cpu",
)
OPEN = ExitStack()
atexit.register(OPEN.close)
SAMPLE = 4096
"""Rows on which the sides show what they have learnt."""


def ours(network: nn.Module, data: TensorData, params: TrainParams) -> Side:
    """The project's own epoch: the last `steps` of each, so that any number can be measured.

    The session is left open: this process does nothing else.
    """
    state = OPEN.enter_context(training_session(network, data, params, build_objective(network, data, params)))
    step = build_step(state, data)

    def run(steps: int) -> float:
        state.epoch, state.done, state.losses = state.epoch + 1, state.steps_per_epoch - steps, []
        return seconds(lambda: run_epoch(state, step, data, seed=1))

    logits = evaluated(network)
    return Side(run, lambda some: logits({"numeric": some}))


def resident(rows: Tensor, target: Tensor) -> TensorData:
    """Return rows as a training holds what it has read from files: in memory of NumPy's, which asks for large pages."""
    return TensorData.on_device({"numeric": rows.numpy().copy(), "target": target.numpy().copy()})


def perceptron() -> MLP:
    """The network of `peers.perceptron`, as the project builds it: without the biases that BatchNorm cancels."""
    return MLP(
        width=784,
        sizes=[],
        outputs=peers.CLASSES,
        hidden=peers.HIDDEN,
        activation="relu",
        norm="batch",
        dropout=peers.DROPOUT,
    )


def compiled(rows: Tensor, target: Tensor, batch_size: int) -> Side:
    """Ours again, through torch.compile."""
    params = SPEED.model_copy(update={"batch_size": batch_size, "engine": "compiled"})
    return ours(perceptron(), resident(rows, target), params)


@dataclass(frozen=True)
class Contest:
    """A peer, the work of one turn, and how much longer it must take than ours."""

    peer: Callable[[Tensor, Tensor, int], Side]
    about: str
    batch_size: int = 64
    steps: int = 400
    pairs: int = 7
    bar: float | None = None
    sign: str = ">="


CONTESTS = {
    "plain-64": Contest(peers.plain, "a plain loop over a DataLoader", pairs=15, bar=1.8),
    "plain-512": Contest(peers.plain, "a plain loop over a DataLoader", batch_size=512, steps=117, bar=1.3),
    "bare-64": Contest(peers.bare, "the bare step; the aim is 1.2", steps=200, pairs=31, bar=0.97),
    "compiled-64": Contest(compiled, "our own step through torch.compile (train.engine: compiled)", steps=200),
    "lightning-64": Contest(peers.with_lightning, "Lightning, barebones", bar=1.0, sign=">"),
    "skorch-64": Contest(peers.with_skorch, "skorch without callbacks", bar=1.0, sign=">"),
    "keras-64": Contest(peers.with_keras, "Keras on torch", bar=1.0, sign=">"),
    "matmul-64": Contest(peers.products, "the matrix products alone: what is left of 1 is the gap to the limit"),
}


def contest(row: str, quick: bool) -> None:
    """Measure one row of CONTESTS."""
    its = CONTESTS[row]
    rows, target, what = fashion_rows()
    params = SPEED.model_copy(update={"batch_size": its.batch_size})
    torch.manual_seed(1)
    sides = ours(perceptron(), resident(rows, target), params), its.peer(rows, target, its.batch_size)
    steps, pairs = (its.steps // 10, 3) if quick else (its.steps, its.pairs)
    for side in sides:
        side.run(steps)  # memory, kernels and optimizer state are there when the clock starts
    times = interleave(*(partial(side.run, steps) for side in sides), pairs)
    losses = [_loss(side, rows[:SAMPLE], target[:SAMPLE]) for side in sides]
    ms = [sorted(turn)[pairs // 2] / steps * 1000 for turn in zip(*times, strict=True)]
    note = (
        f"against {its.about}; {pairs} pairs of {steps} steps, batch {its.batch_size}, {what}; "
        f"{ms[0]:.2f} and {ms[1]:.2f} ms a step; loss in the end {losses[0]:.2f} and {losses[1]:.2f}"
    )
    _save(row, ratio(times), its.bar, note, sign=its.sign)


def _loss(side: Side, rows: Tensor, target: Tensor) -> float:
    """Return the loss of what a side has trained."""
    if side.logits is None:
        return math.nan
    loss = functional.cross_entropy(side.logits(rows), target).item()
    if not loss < 0.8 * math.log(peers.CLASSES):
        raise SystemExit(f"a side does not learn: its loss is {loss:.3f} after training")
    return loss


def data_path(row: str, quick: bool) -> None:
    """Shuffled batches alone, against a DataLoader."""
    rows, target, what = fashion_rows()
    data = resident(rows, target)
    loader = DataLoader(TensorDataset(rows, target), batch_size=64, shuffle=True)

    def ours_alone() -> float:
        return seconds(lambda: deque(map(data.rows, chunks(torch.randperm(len(data)), 64)), maxlen=0))

    pairs = 2 if quick else 51
    times = interleave(ours_alone, lambda: seconds(lambda: deque(loader, maxlen=0)), pairs)
    note = f"against DataLoader(TensorDataset, shuffle=True); {pairs} epochs each, batch 64, {what}"
    _save(row, ratio(times), 15, note)


class Timed:
    """A function and the seconds spent in it."""

    def __init__(self, function: Callable[..., None]) -> None:
        self.function, self.seconds = function, 0.0

    def __call__(self, *arguments: object) -> None:
        """Call the function."""
        self.seconds += seconds(lambda: self.function(*arguments))


def logging(row: str, quick: bool) -> None:
    """Share of a fit that goes into telling MLflow of its epochs, in a fresh local database."""
    from ann.project import STATE_VARIABLE, Project
    from ann.tracking.runs import EpochLogger
    from ann.tracking.store import connect

    def share(fitted: Callable[..., None], folder: Path) -> float:
        os.environ[STATE_VARIABLE] = str(folder)
        os.environ.pop("MLFLOW_TRACKING_URI", None)
        store = connect(Project(folder), "benchmark")
        logger = EpochLogger(store, store.client.create_run(store.experiment_id).info.run_id)
        told, flushed = Timed(logger), Timed(logger.flush)
        whole = seconds(lambda: (fitted(callbacks=(told,)), flushed()))
        return (told.seconds + flushed.seconds) / whole

    _share_of_fit(row, quick, share, 1)


def checkpoint(row: str, quick: bool) -> None:
    """Share of a fit that goes into saving checkpoints."""

    def share(fitted: Callable[..., None], folder: Path) -> float:
        checkpoints = Checkpoints(folder, "benchmark")
        checkpoints.save = saved = Timed(checkpoints.save)
        whole = seconds(lambda: fitted(checkpoints=checkpoints))
        return saved.seconds / whole

    _share_of_fit(row, quick, share, 2)


def _share_of_fit(row: str, quick: bool, share: Callable[[Callable[..., None], Path], float], bar: float) -> None:
    rows, target, what = fashion_rows()
    data, valid = (resident(rows[part], target[part]) for part in (slice(5000, None), slice(5000)))
    params = SPEED.model_copy(update={"epochs": 2 if quick else 10, "batch_size": 512})
    shares = []
    for seed in range(1 if quick else 3):
        with TemporaryDirectory() as folder:
            fitted = partial(fit, perceptron(), data, valid, params, seed=seed)
            shares.append(100 * share(fitted, Path(folder)))
    middle = Ratio(sorted(shares)[len(shares) // 2], min(shares), max(shares))
    note = f"of a fit of {params.epochs} epochs, batch 512, {what}; range of {len(shares)} fits"
    _save(row, middle, bar, note, sign="<=", unit="% of the time")


class SmallCNN(nn.Module):
    """Two strided convolutions and a hidden layer: 0.3 million multiplications an image where the tutorial has 12."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            *(nn.Conv2d(1, 16, 6, stride=3, padding=2, bias=False), nn.BatchNorm2d(16), nn.ReLU()),
            *(nn.Conv2d(16, 48, 3, stride=2, padding=1, bias=False), nn.BatchNorm2d(48), nn.ReLU()),
            *(nn.Flatten(), nn.Linear(48 * 25, 96, bias=False), nn.BatchNorm1d(96), nn.ReLU(), nn.Linear(96, 10)),
        )

    def forward(self, inputs: dict[str, Tensor]) -> Tensor:
        """{"image": (B, 1, 28, 28)} -> (B, 10) logits."""
        logits: Tensor = self.layers(inputs["image"])
        return logits


def our_mnist(seed: int) -> None:
    """Train SmallCNN by MNIST_SETTINGS; `cold` starts this in a process of its own."""
    torch.manual_seed(seed)
    network = SmallCNN()
    train, valid = (TensorData({"image": images}, target) for images, target in mnist_train())
    result = fit(network, train, valid, MNIST_SETTINGS, seed=seed)
    accuracy = result.history[result.best_epoch - 1].metrics["accuracy"]
    reached = time()
    logits = evaluated(network)
    peers.report_mnist(reached, len(result.history), accuracy, lambda images: logits({"image": images}))


def mnist_99(row: str, quick: bool) -> None:
    """Cold processes of both sides in turn, over seeds."""
    if not MNIST.is_dir():
        print(f"skipped: {row} (python -m benchmarks.data mnist FOLDER: {HOW})")
        return
    seeds = [1] if quick else [1, 2, 3]
    found: dict[str, list[dict[str, float]]] = {"training.our_mnist": [], "peers.tutorial_mnist": []}
    turns = (partial(_cold, name, runs) for name, runs in found.items())
    times = interleave(*turns, len(seeds))
    parts = []
    for side, spent, runs in zip(("ours", "the tutorial"), zip(*times, strict=True), found.values(), strict=True):
        tests, epochs = (", ".join(f"{run[key]:.4g}" for run in runs) for key in ("test", "epochs"))
        parts.append(f"{side} {', '.join(f'{second:.1f}' for second in spent)} s, {epochs} epochs, test {tests}")
    mean = sum(run["test"] for run in found["training.our_mnist"]) / len(seeds)
    ratios = [theirs / mine for mine, theirs in times]
    middle = Ratio(sorted(ratios)[len(ratios) // 2], min(ratios), max(ratios))
    _save(row, middle, 8 if mean >= MNIST_GOAL else math.inf, "; ".join(parts), seeds=seeds)


def _cold(name: str, runs: list[dict[str, float]]) -> float:
    """Run a side in a new process; return the seconds from its start to the goal."""
    module, function = name.split(".")
    code = f"from benchmarks.{module} import {function}; {function}({len(runs) + 1})"
    before = time()
    done = subprocess.run([sys.executable, "-c", code], cwd=REPOSITORY, stdout=subprocess.PIPE, text=True, check=True)
    runs.append(json.loads(done.stdout.splitlines()[-1]))
    if runs[-1]["valid"] < MNIST_GOAL:
        raise SystemExit(f"{name}, seed {len(runs)}: {runs[-1]['valid']:.4f} of the validation images is not the goal")
    return runs[-1]["reached"] - before


def _save(
    row: str,
    found: Ratio,
    bar: float | None,
    note: str,
    *,
    sign: str = ">=",
    unit: str = "times as fast",
    seeds: list[int] | None = None,
) -> None:
    compare = {">=": operator.ge, ">": operator.gt, "<=": operator.le}[sign]
    met = None if bar is None else bool(compare(found.median, bar))
    save(
        "training",
        Row(
            row=row,
            value=found.median,
            low=found.low,
            high=found.high,
            unit=unit,
            bar="" if bar is None else f"{sign} {bar:g}",
            met=met,
            seeds=seeds or [],
            note=note,
            machine=machine(),
            commit=commit(),
            date=today(),
        ),
    )


ROWS: dict[str, Callable[[str, bool], None]] = {
    **dict.fromkeys(CONTESTS, contest),
    "checkpoint": checkpoint,
    "data-path": data_path,
    "logging": logging,
    "mnist-99": mnist_99,
}

if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", choices=ROWS, metavar="ROW", help=f"measure this row alone: {', '.join(ROWS)}")
    parser.add_argument("--quick", action="store_true", help="few steps, one seed: whether it runs, not how fast it is")
    arguments = parser.parse_args()
    torch.set_num_threads(os.cpu_count() or 1)
    for name in [arguments.only] if arguments.only else ROWS:
        try:
            ROWS[name](name, arguments.quick)
        except ModuleNotFoundError as error:
            if error.name not in peers.FRAMEWORKS:
                raise
            print(f"skipped: {error.name} (pip install -r benchmarks/requirements.txt)")
