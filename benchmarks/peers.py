"""The other sides of `benchmarks.training`: the same work in loops of their own, or as a framework's guide writes it.

Frameworks are imported inside their functions, since any of them may be missing.
"""

import json
import logging
import os
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from itertools import islice, pairwise
from time import perf_counter, time

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils import clip_grad_norm_
from torch.utils.data import DataLoader, TensorDataset

from benchmarks.data import MNIST_GOAL, mnist_test, mnist_train

HIDDEN = [512, 256, 128]
CLASSES, DROPOUT = 10, 0.3
LR, WEIGHT_DECAY, CLIP_NORM = 1e-3, 0.01, 1.0  # decay as torch's AdamW has it by default


@dataclass(frozen=True)
class Side:
    """One of two that are compared; its training goes on from call to call."""

    run: Callable[[int], float]
    """Takes so many steps in a new order of rows, and returns their seconds; set-up does not count."""
    logits: Callable[[Tensor], Tensor] | None
    """(N, F) -> (N, K) with the weights as they are, in evaluation mode; None where nothing is trained."""


def perceptron(width: int) -> nn.Sequential:
    """(B, width) -> (B, K)."""
    layers: list[nn.Module] = []
    for before, after in zip([width, *HIDDEN[:-1]], HIDDEN, strict=True):
        layers += [nn.Linear(before, after), nn.BatchNorm1d(after), nn.ReLU(), nn.Dropout(DROPOUT)]
    return nn.Sequential(*layers, nn.Linear(HIDDEN[-1], CLASSES))


def evaluated(network: nn.Module) -> Callable[[Tensor], Tensor]:
    """Return the network as a function in evaluation mode."""
    return torch.no_grad()(lambda inputs: network.eval()(inputs))


def seconds(action: Callable[[], object]) -> float:
    """Return how long an action takes."""
    before = perf_counter()
    action()
    return perf_counter() - before


def plain(rows: Tensor, target: Tensor, batch_size: int) -> Side:
    """The loop of PyTorch's tutorials: a DataLoader, the default optimizer, the loss read at each step."""
    network = perceptron(rows.shape[1])
    loader = DataLoader(TensorDataset(rows, target), batch_size=batch_size, shuffle=True)
    optimizer = torch.optim.AdamW(network.parameters(), lr=LR)

    def run(steps: int) -> float:
        network.train()
        before, total = perf_counter(), 0.0
        for inputs, labels in islice(loader, steps):
            optimizer.zero_grad()
            loss = functional.cross_entropy(network(inputs), labels)
            loss.backward()
            clip_grad_norm_(network.parameters(), CLIP_NORM)
            optimizer.step()
            total += loss.item()
        return perf_counter() - before

    return Side(run, evaluated(network))


def bare(rows: Tensor, target: Tensor, batch_size: int) -> Side:
    """The same step with nothing around it: rows gathered from tensors, fused AdamW, the loss never read."""
    network = perceptron(rows.shape[1])
    optimizer = torch.optim.AdamW(network.parameters(), lr=LR, fused=True)

    def run(steps: int) -> float:
        network.train()
        before = perf_counter()
        for index in torch.randperm(len(rows)).split(batch_size)[:steps]:
            optimizer.zero_grad()
            functional.cross_entropy(network(rows[index]), target[index]).backward()
            clip_grad_norm_(network.parameters(), CLIP_NORM)
            optimizer.step()
        return perf_counter() - before

    return Side(run, evaluated(network))


def products(rows: Tensor, _target: Tensor, batch_size: int) -> Side:
    """The matrix products of a step alone, into memory that is there: forward, dW, and dx except of the data."""
    widths = [rows.shape[1], *HIDDEN, CLASSES]
    weights = [torch.randn(after, before) for before, after in pairwise(widths)]
    layers = [rows[:batch_size], *(torch.randn(batch_size, width) for width in widths[1:])]
    backwards = list(enumerate(weights))[::-1]
    d_weights, d_layers = [torch.empty_like(weight) for weight in weights], [torch.empty_like(x) for x in layers]

    def run(steps: int) -> float:
        before = perf_counter()
        for _ in range(steps):
            for number, weight in enumerate(weights):
                torch.mm(layers[number], weight.T, out=layers[number + 1])
            for number, weight in backwards:
                torch.mm(layers[number + 1].T, layers[number], out=d_weights[number])
                if number:
                    torch.mm(layers[number + 1], weight, out=d_layers[number])
        return perf_counter() - before

    return Side(run, None)


def with_lightning(rows: Tensor, target: Tensor, batch_size: int) -> Side:
    """Lightning in its barebones mode: no logger, checkpoint, progress bar or summary.

    Its guide advises loader workers; with rows in memory on two cores one worker is slower than none.
    """
    import lightning

    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    warnings.filterwarnings("ignore", module="lightning")  # of too few workers, and of its own use of torch
    network = perceptron(rows.shape[1])
    adamw = torch.optim.AdamW(network.parameters(), lr=LR)

    class Module(lightning.LightningModule):
        def __init__(self) -> None:
            super().__init__()
            self.network, self.seconds = network, 0.0

        def training_step(self, batch: list[Tensor]) -> Tensor:
            return functional.cross_entropy(self.network(batch[0]), batch[1])

        def configure_optimizers(self) -> torch.optim.Optimizer:
            return adamw

        def on_train_start(self) -> None:
            self.seconds = perf_counter()

        def on_train_end(self) -> None:
            self.seconds = perf_counter() - self.seconds

    module = Module()
    loader = DataLoader(TensorDataset(rows, target), batch_size=batch_size, shuffle=True)

    def run(steps: int) -> float:
        trainer = lightning.Trainer(
            barebones=True, accelerator="cpu", max_epochs=1, limit_train_batches=steps, gradient_clip_val=CLIP_NORM
        )
        trainer.fit(module, loader)
        return module.seconds

    return Side(run, evaluated(network))


def with_skorch(rows: Tensor, target: Tensor, batch_size: int) -> Side:
    """Skorch as its page on performance advises: a ready TensorDataset, no output, no callback but clipping."""
    import skorch
    from skorch.callbacks import GradientNormClipping

    net = skorch.NeuralNet(
        perceptron(rows.shape[1]),
        nn.CrossEntropyLoss,
        optimizer=torch.optim.AdamW,
        lr=LR,
        batch_size=batch_size,
        max_epochs=1,
        iterator_train__shuffle=True,
        train_split=None,
        verbose=0,
        callbacks=[GradientNormClipping(CLIP_NORM)],
        **dict.fromkeys(f"callbacks__{name}" for name in ("epoch_timer", "train_loss", "valid_loss", "print_log")),
    ).initialize()

    def run(steps: int) -> float:
        data = TensorDataset(rows[: steps * batch_size], target[: steps * batch_size])
        return seconds(lambda: net.partial_fit(data, None))

    return Side(run, evaluated(net.module_))


def with_keras(rows: Tensor, target: Tensor, batch_size: int) -> Side:
    """Keras 3 on torch: compile and fit on arrays, which is no slower than to hand it a DataLoader."""
    os.environ["KERAS_BACKEND"] = "torch"
    import keras

    make, layers = keras.layers, [keras.Input((rows.shape[1],))]
    for width in HIDDEN:
        layers += [make.Dense(width), make.BatchNormalization(), make.ReLU(), make.Dropout(DROPOUT)]
    model = keras.Sequential([*layers, make.Dense(CLASSES)])
    model.compile(
        optimizer=keras.optimizers.AdamW(LR, weight_decay=WEIGHT_DECAY, global_clipnorm=CLIP_NORM),
        loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True),
    )

    def run(steps: int) -> float:
        x, y = rows[: steps * batch_size].numpy(), target[: steps * batch_size].numpy()
        return seconds(lambda: model.fit(x, y, batch_size=batch_size, epochs=1, verbose=0))

    return Side(run, lambda some: torch.as_tensor(model.predict(some.numpy(), verbose=0)))


def tutorial_mnist(seed: int) -> None:
    """PyTorch's own MNIST example (pytorch/examples, mnist/main.py) until the validation rows are right, then the test.

    Its images come from tensors rather than from torchvision's transforms, which are slower; they are shuffled, as the
    example does on a GPU.
    """
    torch.manual_seed(seed)
    (images, labels), (valid_images, valid_labels) = mnist_train()
    loader = DataLoader(TensorDataset(images, labels), batch_size=64, shuffle=True)
    network = nn.Sequential(
        *(nn.Conv2d(1, 32, 3), nn.ReLU(), nn.Conv2d(32, 64, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Dropout(0.25)),
        *(nn.Flatten(), nn.Linear(9216, 128), nn.ReLU(), nn.Dropout(0.5), nn.Linear(128, 10), nn.LogSoftmax(1)),
    )
    optimizer = torch.optim.Adadelta(network.parameters(), lr=1.0)
    schedule = torch.optim.lr_scheduler.StepLR(optimizer, step_size=1, gamma=0.7)
    shares: list[float] = []
    while len(shares) < 14 and (not shares or shares[-1] < MNIST_GOAL):
        network.train()
        for inputs, target in loader:
            optimizer.zero_grad()
            functional.nll_loss(network(inputs), target).backward()
            optimizer.step()
        schedule.step()
        shares.append(accuracy(evaluated(network), valid_images, valid_labels))
    report_mnist(time(), len(shares), shares[-1], evaluated(network))


def accuracy(logits: Callable[[Tensor], Tensor], images: Tensor, target: Tensor) -> float:
    """Return the share of (N, ...) images whose greatest logit is the target's."""
    right = [
        (logits(some).argmax(1) == of).sum() for some, of in zip(images.split(1000), target.split(1000), strict=True)
    ]
    return float(sum(right)) / len(target)


def report_mnist(reached: float, epochs: int, valid: float, logits: Callable[[Tensor], Tensor]) -> None:
    """Print when training ended (before the test rows are read) and what came out."""
    test = accuracy(logits, *mnist_test())
    print(json.dumps({"reached": reached, "epochs": epochs, "valid": valid, "test": test}))


FRAMEWORKS = {"lightning": with_lightning, "skorch": with_skorch, "keras": with_keras}
