"""One optimizer step: gradients of a batch, clipping, update. Nothing here waits for a GPU."""

import logging
import math
from collections.abc import Callable

import torch
from torch import Tensor, nn

from ann.data.batches import TensorData
from ann.errors import StageError
from ann.training.faults import first_bad_layer
from ann.training.losses import Loss
from ann.training.precision import autocast
from ann.training.state import TrainState

log = logging.getLogger("ann.training")

Forward = Callable[[nn.Module, Loss, TensorData], Tensor]
"""(network, loss, batch) -> () mean loss; torch.compile may stand behind it."""


class DivergenceError(StageError):
    """A loss or a weight is no longer a number."""


def forward_loss(network: nn.Module, loss: Loss, batch: TensorData) -> Tensor:
    """Return the () mean loss of a batch; each member of an ensemble is trained on its own."""
    output, target = network(batch.inputs), batch.target
    if (members := getattr(network, "members", 1)) > 1:
        output, target = output.flatten(0, 1), target.repeat_interleave(members, dim=0)
    return loss(output, target)


def train_step(
    state: TrainState, batch: TensorData, rows: int, lr: float | Tensor, forward: Forward = forward_loss
) -> Tensor:
    """Take one optimizer step; return this process's part of the mean loss before it, ().

    `batch` is what this process computes of a batch of `rows` rows.

    Raises:
        DivergenceError: on a CPU, where looking costs nothing, the loss or the gradient is not finite.
    """
    if state.augment:
        inputs, target = state.augment(batch.inputs, batch.target)
        batch = TensorData(inputs, target)
    loss = _gradients(state, batch, rows, forward)
    state.group.sum_(state.flat.gradients)
    _penalise(state)
    update(state, lr)
    return loss


def update(state: TrainState, lr: float | Tensor) -> None:
    """Move the weights by the gradients in the buffer: clip, step, average."""
    state.divisor, found_inf = _limit(state)
    state.optimizer.step(lr, state.divisor, found_inf)
    if state.scale and found_inf is not None:
        state.scale.update(found_inf)
    if state.average:
        state.average.after_step()


def _gradients(state: TrainState, batch: TensorData, rows: int, forward: Forward) -> Tensor:
    """Fill the gradient buffer; where memory runs out, compute in twice as many parts, keeping the batch."""
    while True:
        try:
            return _accumulate(state, batch, rows, forward)
        except RuntimeError as error:
            if not _out_of_memory(error) or len(batch) // (2 * state.accumulate) < 2:
                raise
        state.accumulate *= 2
        if state.device.type == "cuda":
            torch.cuda.empty_cache()
        log.warning(
            "out of memory: batches of %d rows go through in %d parts from here on",
            state.batch_size,
            state.accumulate,
        )


def _accumulate(state: TrainState, batch: TensorData, rows: int, forward: Forward) -> Tensor:
    state.flat.gradients.zero_()
    total: Tensor | None = None
    for part in batch.parts(state.accumulate):
        with autocast(state.precision, state.device):
            loss = forward(state.network, state.objective.loss, part)
        if state.device.type == "cpu" and not math.isfinite(value := loss.item()):
            raise diverged(state, f"the loss is {value}", part)
        if len(part) != rows:
            loss = loss * (len(part) / rows)
        scaled = loss * state.scale.scale if state.scale else loss
        scaled.backward()  # type: ignore[no-untyped-call]
        total = loss.detach() if total is None else total + loss.detach()
    assert total is not None
    return total


def _penalise(state: TrainState) -> None:
    """Add the gradient of l1 * sum |w| over matrices; the loss that is told is without it, as with weight decay."""
    if state.params.l1:
        part = slice(0, state.flat.decaying)
        slopes = state.flat.weights[part].sign().mul_(state.params.l1)
        state.flat.gradients[part].add_(slopes.mul_(state.scale.scale) if state.scale else slopes)


def _limit(state: TrainState) -> tuple[Tensor | None, Tensor | None]:
    """Return what the gradients are to be divided by, and whether the step must be skipped; both () or None.

    As torch's clip_grad_norm_: g * min(1, clip / (norm + 1e-6)), together with fp16's loss scale in one divisor.
    """
    gradients, params = state.flat.gradients, state.params
    scale = state.scale.scale if state.scale else None
    state.last_norm = None
    if params.clip_norm is None and params.clip_value is None and scale is None:
        return None, None
    norm = torch.linalg.vector_norm(gradients)  # before anything is cut: a clamped infinity looks like a number
    found_inf = None
    if scale is not None:
        found_inf = (~torch.isfinite(norm)).float()
        norm = norm / scale
    elif state.device.type == "cpu" and not math.isfinite(norm.item()):
        raise diverged(state, f"the norm of the gradients is {norm.item()}")
    state.last_norm = norm
    if params.clip_value is not None:
        if scale is not None:
            gradients.div_(scale)
            scale = None
        gradients.clamp_(-params.clip_value, params.clip_value)
        norm = torch.linalg.vector_norm(gradients)
    if params.clip_norm is None:
        return scale, found_inf
    if state.device.type == "cpu" and norm.item() + 1e-6 <= params.clip_norm:
        return scale, found_inf  # the kernels write gradients back when they divide
    divisor = ((norm + 1e-6) / params.clip_norm).clamp(min=1.0).float()  # what the fused kernels take
    return (divisor if scale is None else divisor * scale), found_inf


def diverged(state: TrainState, what: str, batch: TensorData | None = None, step: int | None = None) -> DivergenceError:
    """Return the error that names epoch, step and layer; `step` counts from 0 within the epoch."""
    layer = first_bad_layer(state.network, batch.inputs if batch else None)
    number = (state.done if step is None else step) + 1
    return DivergenceError(
        f"training diverged: {what} in epoch {state.epoch}, step {number} of {state.steps_per_epoch}; "
        f"{layer}; lower train.optimizer.lr, set train.clip_norm, or look for extreme values in the data"
    )


def _out_of_memory(error: RuntimeError) -> bool:
    """CUDA has a type for it; the CPU's allocator says it in words."""
    return isinstance(error, torch.OutOfMemoryError) or "can't allocate memory" in str(error)
