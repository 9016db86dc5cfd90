"""Where the time of a step goes, and how far it is from what the hardware can do."""

import resource
import sys
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from statistics import median
from time import perf_counter

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from ann.config.train import TrainParams
from ann.data.batches import TensorData, chunks
from ann.data.target import Target
from ann.training.engine import build_step
from ann.training.objective import build_objective
from ann.training.session import training_session
from ann.training.state import TrainState
from ann.training.step import forward_loss, update

PHASES = ("data", "forward", "backward", "optimizer")
SQUARE = 2048
"""Side of the matrices whose product measures the peak."""


@dataclass(frozen=True)
class OpTime:
    """One operator's own time, summed over the profiled steps."""

    name: str
    share: float
    calls: int


@dataclass(frozen=True)
class Profile:
    """Medians over steps; times in milliseconds."""

    step_ms: float
    """A whole step by the engine that training would take."""
    phases_ms: dict[str, float]
    """The same step taken apart, operator by operator."""
    rows_per_s: float
    flops_per_step: int
    """Of the matrix products and convolutions, forwards and backwards."""
    flops_per_s: float
    peak_flops_per_s: float
    """Of a large fp32 matrix product, measured beside."""
    memory_mb: float
    """Peak: of the GPU where there is one, else of this process."""
    ops: tuple[OpTime, ...]
    engine: str


def profile(
    network: nn.Module,
    train: TensorData,
    params: TrainParams,
    *,
    target: Target | None = None,
    steps: int = 60,
    warmup: int = 10,
) -> Profile:
    """Train a few steps and measure them; the network's weights change. `target` is as in `build_objective`."""
    with training_session(network, train, params, build_objective(network, train, params, target)) as state:
        network.train()
        order = torch.randperm(len(train), generator=torch.Generator().manual_seed(0)).to(train.target.device)
        batches = chunks(order, state.batch_size)
        indices = [batches[number % max(1, len(batches) - 1)] for number in range(warmup + steps)]
        step = build_step(state, train)
        whole = [_timed(partial(step, index, params.optimizer.lr), state.device) for index in indices]
        parts = [_phases(state, train, index) for index in indices]
        with FlopCounterMode(display=False, custom_mapping={torch.ops.aten.addmm_: _added_product}) as flops:
            _phases(state, train, indices[0])
        step_s = median(whole[warmup:])
        return Profile(
            step_ms=step_s * 1e3,
            phases_ms={name: median(part[name] for part in parts[warmup:]) * 1e3 for name in PHASES},
            rows_per_s=len(indices[0]) / step_s,
            flops_per_step=flops.get_total_flops(),
            flops_per_s=flops.get_total_flops() / step_s,
            peak_flops_per_s=peak_flops(state.device),
            memory_mb=_peak_memory_mb(state.device),
            ops=_op_table(state, train, indices[:20]),
            engine=type(step).__name__.removesuffix("Step").lower(),
        )


def peak_flops(device: torch.device, repeats: int = 7) -> float:
    """Return the floating-point operations a second of a large fp32 matrix product, the best of a few."""
    left, right = (torch.rand(SQUARE, SQUARE, device=device) for _ in range(2))
    out = torch.empty_like(left)
    return 2 * SQUARE**3 / min(_timed(lambda: torch.mm(left, right, out=out), device) for _ in range(repeats))


def _added_product(_: torch.Size, left: torch.Size, right: torch.Size, **__: object) -> int:
    """Count the operations of the product in ann.training.linear, which torch's counter does not know."""
    return 2 * left[0] * left[1] * right[1]


def _phases(state: TrainState, data: TensorData, index: torch.Tensor) -> dict[str, float]:
    """Take one step in four timed parts."""
    found: list[object] = []
    seconds = {"data": _timed(lambda: found.append(data.rows(index)), state.device)}
    batch = found.pop()
    assert isinstance(batch, TensorData)
    loss = state.objective.loss
    seconds["forward"] = _timed(lambda: found.append(forward_loss(state.network, loss, batch)), state.device)
    value = found.pop()
    assert isinstance(value, torch.Tensor)

    def backward() -> None:
        state.flat.gradients.zero_()
        value.backward()  # type: ignore[no-untyped-call]

    seconds["backward"] = _timed(backward, state.device)
    seconds["optimizer"] = _timed(lambda: update(state, state.params.optimizer.lr), state.device)
    return seconds


def _timed(work: Callable[[], object], device: torch.device) -> float:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    began = perf_counter()
    work()
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return perf_counter() - began


def _op_table(state: TrainState, data: TensorData, indices: list[torch.Tensor], rows: int = 12) -> tuple[OpTime, ...]:
    with torch.autograd.profiler.profile(use_device="cuda" if state.device.type == "cuda" else None) as taken:
        for index in indices:
            _phases(state, data, index)
    events = [(event.key, event.self_cpu_time_total, event.count) for event in taken.key_averages()]
    total = sum(time for _, time, _ in events)
    ordered = sorted(events, key=lambda event: -event[1])[:rows]
    return tuple(OpTime(name, time / total, count) for name, time, count in ordered)


def _peak_memory_mb(device: torch.device) -> float:
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) / 2**20
    kib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss  # macOS counts bytes
    return kib / 2**20 if sys.platform == "darwin" else kib / 2**10
