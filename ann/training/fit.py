"""The training loop, in three short levels: fit -> run_epoch -> train_step."""

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.utils.checkpoint import checkpoint

from ann.config.schedules import Plateau
from ann.config.train import TrainParams
from ann.data.batches import TensorData, balanced, chunks, shuffled
from ann.errors import ConfigError
from ann.seeding import stream_seed
from ann.training.checkpoints import Checkpoints
from ann.training.distributed import SINGLE, Group, synchronised_norms
from ann.training.engine import Step, build_step
from ann.training.interrupts import TERMINATED, Interrupts
from ann.training.objective import Objective, build_objective
from ann.training.prediction import pass_through, predict_logits
from ann.training.state import EpochRecord, TrainState, start_state
from ann.training.step import DivergenceError, diverged


@dataclass(frozen=True)
class FitResult:
    """How training ended; the network holds the best weights."""

    history: list[EpochRecord]
    best_epoch: int
    best_loss: float
    stopped_early: bool
    objective: Objective


Callback = Callable[[EpochRecord], None]


def fit(
    network: nn.Module,
    train: TensorData,
    valid: TensorData,
    params: TrainParams,
    *,
    seed: int,
    objective: Objective | None = None,
    callbacks: Sequence[Callback] = (),
    checkpoints: Checkpoints | None = None,
    group: Group = SINGLE,
) -> FitResult:
    """Train `network` in place and leave the best weights in it, however training ends.

    `seed` gives the order of rows, dropout masks and augmentation. The data decides the device. `objective` is what
    `params` and the data ask for, unless it is given. With `checkpoints`, a training that was killed goes on where the
    newest one was written and ends with the same bits as one that was not; callbacks are then told the epochs of
    before again.

    Raises:
        ConfigError: parameters and data do not fit each other.
        DataError: a label is outside the classes.
        StageError: training diverges, or a checkpoint cannot be resumed.
    """
    _check(train, valid, params)
    objective = objective or build_objective(network, train, params)
    with ExitStack() as stack:
        stack.enter_context(_own_random_state(train.target.device))
        stack.enter_context(_flushed_denormals())
        stack.enter_context(_deterministic(params.deterministic and train.target.is_cuda))
        stack.enter_context(_recomputed(network, params.recompute))
        stack.enter_context(synchronised_norms(network, group))
        state = start_state(network, train, params, objective, group)
        stack.callback(state.flat.release)
        stack.callback(state.best.restore, network)
        interrupts = stack.enter_context(Interrupts())
        if checkpoints is not None and not checkpoints.restore(state) and group.leads:
            checkpoints.save(state)
        group.wait()
        for record in state.history:
            _tell(callbacks, record)
        step = build_step(state, train)
        while not state.finished:
            with _naming_checkpoint(checkpoints):
                run_epoch(state, step, train, seed, checkpoints, interrupts)
                end_epoch(state, train, valid)
            _tell(callbacks, state.history[-1])
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
    return shuffled(len(data), generator).to(data.target.device)


def end_epoch(state: TrainState, train: TensorData, valid: TensorData) -> None:
    """Judge the epoch on validation rows, note it in the history, and go on to the next."""
    losses = state.group.sum_(torch.tensor(state.losses, dtype=torch.float64)).tolist()
    sizes = [len(index) for index in chunks(torch.empty(len(train)), state.batch_size)]
    train_loss = math.fsum(loss * size for loss, size in zip(losses, sizes, strict=True)) / len(train)
    lr = state.lr(state.step - 1)
    grad_norm = state.norms.pop("")
    valid_loss, metrics = _judge(state, train, valid)
    record = EpochRecord(state.epoch, lr, train_loss, valid_loss, grad_norm, metrics, state.norms)
    state.history.append(record)
    state.epoch, state.done, state.losses, state.norms = state.epoch + 1, 0, [], {}


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


def _tell(callbacks: Sequence[Callback], record: EpochRecord) -> None:
    for callback in callbacks:
        callback(record)


@contextmanager
def _own_random_state(device: torch.device) -> Iterator[None]:
    """Give torch's global generators, which dropout draws from, back as they were."""
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        yield


@contextmanager
def _flushed_denormals() -> Iterator[None]:
    """Take numbers below 1e-38 for zero: processors are up to a hundred times slower with them."""
    torch.set_flush_denormal(True)
    try:
        yield
    finally:
        torch.set_flush_denormal(False)


@contextmanager
def _deterministic(wanted: bool) -> Iterator[None]:
    """Let CUDA take only kernels that give the same bits again; `ann.environment` gives cuBLAS the memory it needs."""
    before = torch.are_deterministic_algorithms_enabled()
    torch.use_deterministic_algorithms(wanted or before)
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(before)


@contextmanager
def _recomputed(network: nn.Module, wanted: bool) -> Iterator[None]:
    """Let each block forget its activations and compute them again for the gradient (Chen et al. 2016, 1604.06174)."""
    blocks = list(getattr(network, "blocks", ())) if wanted else []
    if wanted and not blocks:
        raise ConfigError("train.recompute: this network has no blocks to compute again: write false")
    for block in blocks:
        contexts = partial(_second_pass, block)
        block.forward = partial(checkpoint, block.forward, use_reentrant=False, context_fn=contexts)
    try:
        yield
    finally:
        for block in blocks:
            del block.forward


def _second_pass(block: nn.Module) -> tuple[AbstractContextManager[None], AbstractContextManager[None]]:
    """Return the contexts of a block's two runs; in the second, BatchNorm must not count the batch again."""
    return nullcontext(), _unnoticed(block)


@contextmanager
def _unnoticed(block: nn.Module) -> Iterator[None]:
    norms = [module for module in block.modules() if isinstance(module, _BatchNorm)]
    before = [
        (norm.momentum, norm.num_batches_tracked.clone()) for norm in norms if norm.num_batches_tracked is not None
    ]
    for norm in norms:
        norm.momentum = 0.0  # the share of the batch in the running statistics
    try:
        yield
    finally:
        for norm, (momentum, count) in zip(norms, before, strict=True):
            norm.momentum = momentum
            norm.num_batches_tracked = count
