"""The training loop, in three short levels: fit -> run_epoch -> train_step."""

import gc
import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from ann.config.schedules import Plateau
from ann.config.train import TrainParams
from ann.data.batches import TensorData, balanced, batch_sizes, chunks
from ann.errors import ConfigError
from ann.seeding import stream_seed
from ann.training.checkpoints import Checkpoints
from ann.training.distributed import SINGLE, Group
from ann.training.engine import Step, build_step
from ann.training.interrupts import TERMINATED, Interrupts
from ann.training.objective import Objective, build_objective
from ann.training.prediction import pass_through, predict_logits
from ann.training.session import training_session
from ann.training.state import EpochRecord, TrainState
from ann.training.step import DivergenceError, diverged

YOUNG_OBJECTS = 100_000
"""Objects after which Python looks for cycles among them. By default it does every few steps, a step makes so many."""


@dataclass(frozen=True)
class FitResult:
    """How training ended; the network holds the best weights."""

    history: list[EpochRecord]
    best_epoch: int
    best_loss: float
    stopped_early: bool
    objective: Objective


def fit(
    network: nn.Module,
    train: TensorData,
    valid: TensorData,
    params: TrainParams,
    *,
    seed: int,
    objective: Objective | None = None,
    callbacks: Sequence[Callable[[EpochRecord], None]] = (),
    resumed: Callable[[TrainState], None] | None = None,
    checkpoints: Checkpoints | None = None,
    group: Group = SINGLE,
) -> FitResult:
    """Train `network` in place and leave the best weights in it, however training ends.

    `seed` gives the order of rows, dropout masks and augmentation. The data decides the device. Unless an `objective`
    is given, rows have classes, as many as the network has outputs, and `params` name the loss. `callbacks` are told
    each epoch when it ends. With `checkpoints`, a training that was killed goes on where the newest one was written,
    `resumed` is told so, and it ends with the same bits as one that was not killed.

    Raises:
        ConfigError: parameters and data do not fit each other.
        DataError: a label is outside the classes.
        StageError: training diverges, or a checkpoint cannot be resumed.
    """
    _check(train, valid, params)
    objective = objective or build_objective(network, train, params)
    with ExitStack() as stack:
        state = stack.enter_context(training_session(network, train, params, objective, group))
        stack.callback(state.best.restore, network)
        interrupts = stack.enter_context(Interrupts())
        if checkpoints is not None and checkpoints.restore(state):
            if resumed:
                resumed(state)
        else:
            _save(state, checkpoints)
        group.wait()
        step = build_step(state, train)
        while not state.finished:
            with _naming_checkpoint(checkpoints):
                run_epoch(state, step, train, seed, checkpoints, interrupts)
                end_epoch(state, train, valid)
            for callback in callbacks:
                callback(state.history[-1])
            stop = group.any(interrupts.pending)
            if stop or state.finished or (checkpoints and checkpoints.due()):
                _save(state, checkpoints)
            if stop:
                interrupts.act()
                raise SystemExit(TERMINATED)  # another process of the group was told to end
    losses = {record.epoch: record.valid_loss for record in state.history}
    best = state.best.epoch
    return FitResult(state.history, best, losses.get(best, math.nan), state.stopped_early, objective)


def run_epoch(
    state: TrainState,
    step: Step,
    data: TensorData,
    seed: int,
    checkpoints: Checkpoints | None = None,
    interrupts: Interrupts | None = None,
) -> None:
    """Train on the rows of `state.epoch` that are not done yet, leaving the losses of its steps in the state.

    Order and random state of an epoch follow from seed and epoch alone, so that a resumed one is the same.
    """
    state.network.train()
    if state.done == 0:
        torch.manual_seed(stream_seed(seed, f"step/{state.epoch}/{state.group.rank}"))
    on_cpu, alone = state.device.type == "cpu", state.group.size == 1
    waiting: list[Tensor] = []  # on CUDA: reading a loss at each step would wait for the GPU
    with _rare_garbage_collection():
        for index in chunks(epoch_order(state, data, seed), state.batch_size)[state.done :]:
            loss = step(index, state.lr(state.step))
            state.done += 1
            if state.done == max(1, state.steps_per_epoch - 1):
                state.note_norms()  # the last batch may be a few rows
            if on_cpu:
                state.losses.append(loss.item())
            else:
                waiting.append(loss.clone())
            if not alone or state.done == state.steps_per_epoch:
                continue  # the epoch's end looks for the same, with nothing half done
            if (interrupts and interrupts.pending) or (checkpoints and checkpoints.due()):
                _read_losses(state, waiting)
                _save(state, checkpoints)
                if interrupts:
                    interrupts.act()
    _read_losses(state, waiting)


def epoch_order(state: TrainState, data: TensorData, seed: int) -> Tensor:
    """Return the (N,) row numbers of `state.epoch` in order, on the data's device."""
    generator = torch.Generator().manual_seed(stream_seed(seed, f"order/{state.epoch}"))
    if state.params.sampling == "balanced":
        return balanced(data.target.cpu(), generator).to(data.target.device)
    return torch.randperm(len(data), generator=generator).to(data.target.device)


def end_epoch(state: TrainState, train: TensorData, valid: TensorData) -> None:
    """Judge the epoch on validation rows, note it in the history, and go on to the next."""
    losses = state.group.sum_(torch.tensor(state.losses, dtype=torch.float64)).tolist()
    sizes = batch_sizes(len(train), state.batch_size)
    train_loss = math.fsum(loss * size for loss, size in zip(losses, sizes, strict=True)) / len(train)
    lr = state.lr(state.step - 1)
    valid_loss, metrics = _judge(state, train, valid)
    record = EpochRecord(state.epoch, lr, train_loss, valid_loss, state.grad_norm, metrics, state.layer_norms)
    state.history.append(record)
    state.epoch, state.done, state.losses = state.epoch + 1, 0, []


def _judge(state: TrainState, train: TensorData, valid: TensorData) -> tuple[float, dict[str, float]]:
    """Measure the (averaged) weights on validation rows; tell best weights and plateau."""
    calibrated: AbstractContextManager[None] = nullcontext()
    if state.average:
        state.average.after_epoch(state.epoch, state.params.epochs)
        calibrated = state.average.applied(lambda: pass_through(state.network, train))
    with torch.no_grad(), calibrated:
        loss, metrics = state.objective.measure(predict_logits(state.network, valid), valid.target)
        if not math.isfinite(loss):
            raise diverged(state, f"the loss of the validation rows is {loss}", step=state.done - 1)
        watched = state.objective.watched(loss, metrics)
        state.stopped_early = state.best.update(state.epoch, watched, state.network)
    schedule = state.params.schedule
    if state.plateau and isinstance(schedule, Plateau) and state.step >= schedule.warmup * state.total_steps:
        state.plateau.update(watched, schedule, state.params.optimizer.lr)
    return loss, metrics


def _check(train: TensorData, valid: TensorData, params: TrainParams) -> None:
    if params.optimizer.name != "gd" and params.batch_size > len(train):
        raise ConfigError(
            f"train.batch_size: {params.batch_size} is more than the {len(train)} training rows: lower it"
        )
    if len(valid) == 0:
        raise ConfigError("prepare.split: there are no validation rows, which choose the best epoch: raise valid")


def _read_losses(state: TrainState, waiting: list[Tensor]) -> None:
    """Wait for the GPU; before its weights are saved or judged, every loss must be a number."""
    if waiting:
        state.losses += torch.stack(waiting).tolist()
        waiting.clear()
        for number, loss in enumerate(state.losses):
            if not math.isfinite(loss):
                raise diverged(state, f"the loss is {loss}", step=number)


@contextmanager
def _rare_garbage_collection() -> Iterator[None]:
    before = gc.get_threshold()
    gc.set_threshold(YOUNG_OBJECTS, *before[1:])
    try:
        yield
    finally:
        gc.set_threshold(*before)


def _save(state: TrainState, checkpoints: Checkpoints | None) -> None:
    if checkpoints is not None and state.group.leads:
        checkpoints.save(state)


@contextmanager
def _naming_checkpoint(checkpoints: Checkpoints | None) -> Iterator[None]:
    """Tell in an error about divergence which checkpoint is the last good one."""
    try:
        yield
    except DivergenceError as error:
        if checkpoints is None or (newest := checkpoints.newest()) is None:
            raise
        raise DivergenceError(f"{error}; the last good checkpoint is {newest}") from None
