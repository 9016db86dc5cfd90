"""The training loop, in three short levels: fit -> run_epoch -> train_step."""

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.optim import Optimizer

from ann.config.train import TrainParams
from ann.data.batches import TensorData, steps_per_epoch
from ann.errors import ConfigError, StageError
from ann.seeding import stream_seed
from ann.training.optimizers import build_optimizer
from ann.training.schedules import lr_factor
from ann.training.stopping import BestWeights

EVALUATION_ROWS = 8192
"""Rows at once when only the forward pass runs."""


@dataclass
class TrainState:
    """All that changes while a network is fitted."""

    network: nn.Module
    optimizer: Optimizer
    shuffle: torch.Generator
    total_steps: int
    step: int = 0


@dataclass(frozen=True)
class EpochRecord:
    """What one epoch gave; losses are means over rows, `accuracy` is on validation rows."""

    epoch: int
    lr: float
    train_loss: float
    valid_loss: float
    valid_accuracy: float


@dataclass(frozen=True)
class FitResult:
    """How training ended; the network holds the best weights."""

    history: list[EpochRecord]
    best_epoch: int
    best_loss: float
    stopped_early: bool


Callback = Callable[[EpochRecord], None]


def fit(
    network: nn.Module,
    train: TensorData,
    valid: TensorData,
    params: TrainParams,
    *,
    seed: int,
    callbacks: tuple[Callback, ...] = (),
) -> FitResult:
    """Train `network` in place and leave the best weights in it, however training ends.

    `seed` gives the order of rows and the dropout masks. The data decides the device.

    Raises:
        ConfigError: the batch is larger than the data.
        StageError: a loss is not finite.
    """
    if params.batch_size > len(train):
        raise ConfigError(
            f"train.batch_size: {params.batch_size} is more than the {len(train)} training rows: lower it"
        )
    state = start_state(network, len(train), params, seed)
    best = BestWeights(*_patience(params))
    history: list[EpochRecord] = []
    stop = False
    with _seeded(stream_seed(seed, "dropout"), train.target.device):
        try:
            for epoch in range(1, params.epochs + 1):
                train_loss, lr = run_epoch(state, train, params)
                valid_loss, accuracy = evaluate_loss(network, valid)
                history.append(EpochRecord(epoch, lr, train_loss, valid_loss, accuracy))
                _require_finite(history[-1])
                stop = best.update(epoch, valid_loss, network)
                for callback in callbacks:
                    callback(history[-1])
                if stop:
                    break
        finally:
            best.restore(network)
    return FitResult(history, best.epoch, best.loss, stop)


def start_state(network: nn.Module, rows: int, params: TrainParams, seed: int) -> TrainState:
    """Return the state before the first step."""
    shuffle = torch.Generator().manual_seed(stream_seed(seed, "shuffle"))
    total = params.epochs * steps_per_epoch(rows, params.batch_size)
    return TrainState(network, build_optimizer(network, params.optimizer), shuffle, total)


def run_epoch(state: TrainState, data: TensorData, params: TrainParams) -> tuple[float, float]:
    """Train on every row once; return the mean loss over rows and the last learning rate."""
    state.network.train()
    total = torch.zeros((), device=data.target.device)  # summed on the device: one transfer an epoch
    lr = 0.0
    for batch in data.shuffled_batches(params.batch_size, state.shuffle):
        lr = params.optimizer.lr * lr_factor(state.step, state.total_steps, params.schedule)
        total += train_step(state, batch, params, lr) * len(batch)
    return total.item() / len(data), lr


def train_step(state: TrainState, batch: TensorData, params: TrainParams, lr: float) -> Tensor:
    """Take one optimizer step; return the () loss before it."""
    for group in state.optimizer.param_groups:
        group["lr"] = lr
    state.optimizer.zero_grad(set_to_none=True)
    logits = state.network(batch.inputs)
    loss = functional.cross_entropy(logits, batch.target, label_smoothing=params.label_smoothing)
    loss.backward()  # type: ignore[no-untyped-call]
    if params.clip_norm is not None:
        nn.utils.clip_grad_norm_(state.network.parameters(), params.clip_norm)
    state.optimizer.step()
    state.step += 1
    return loss.detach()


@torch.no_grad()
def evaluate_loss(network: nn.Module, data: TensorData) -> tuple[float, float]:
    """Return mean cross entropy and accuracy over all rows."""
    logits = predict_logits(network, data)
    loss = functional.cross_entropy(logits, data.target)
    return loss.item(), (logits.argmax(dim=1) == data.target).float().mean().item()


@torch.no_grad()
def predict_logits(network: nn.Module, data: TensorData) -> Tensor:
    """Return (N, K) logits of all rows, in order, in evaluation mode."""
    network.eval()
    return torch.cat([network(batch.inputs) for batch in data.batches(EVALUATION_ROWS)])


def _patience(params: TrainParams) -> tuple[int | None, float]:
    stopping = params.early_stopping
    return (stopping.patience, stopping.min_delta) if stopping else (None, 0.0)


def _require_finite(record: EpochRecord) -> None:
    for name in ("train_loss", "valid_loss"):
        if not math.isfinite(value := getattr(record, name)):
            raise StageError(
                f"{name} is {value} in epoch {record.epoch}: training diverged; "
                f"lower train.optimizer.lr or set train.clip_norm"
            )


@contextmanager
def _seeded(seed: int, device: torch.device) -> Iterator[None]:
    """Seed torch's global generators, which dropout draws from, and give them back as they were."""
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        torch.manual_seed(seed)
        yield
