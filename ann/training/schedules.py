"""Learning rate as a closed function of the step; only the plateau remembers."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from ann.config.schedules import Constant, Cosine, Exponential, OneCycle, Plateau, ScheduleOfLR, Step


def lr_factor(step: int, total: int, steps_per_epoch: int, schedule: ScheduleOfLR) -> float:
    """Return the share of the peak learning rate at `step` of `total`, counted from 0.

    Warmup rises linearly and reaches 1 at its last step; what follows counts from the step after it.
    """
    warmup = round(schedule.warmup * total)
    if step >= warmup:
        return SCHEDULES[schedule.name](step - warmup, total - warmup, steps_per_epoch, schedule)
    if isinstance(schedule, OneCycle):
        return _between(schedule.start, 1.0, step / max(1, warmup - 1))
    return (step + 1) / warmup


def _constant(_step: int, _total: int, _epoch: int, _schedule: Constant | Plateau) -> float:
    return 1.0


def _step(step: int, _total: int, epoch: int, schedule: Step) -> float:
    """factor^floor(epochs / every)."""
    return schedule.factor ** math.floor(step / epoch / schedule.every + 1e-9)  # 3 * (1 / 3) must count as 1


def _exponential(step: int, _total: int, epoch: int, schedule: Exponential) -> float:
    """decay_rate^(epochs / decay_epochs), with epochs as a fraction."""
    return schedule.decay_rate ** (step / epoch / schedule.decay_epochs)


def _cosine(step: int, total: int, _epoch: int, schedule: Cosine) -> float:
    """Final + (1 - final) (1 + cos(pi t)) / 2 with t from 0 to 1 (Loshchilov & Hutter 2017, arXiv:1608.03983)."""
    return _between(1.0, schedule.final, step / max(1, total - 1))


def _one_cycle(step: int, total: int, _epoch: int, schedule: OneCycle) -> float:
    """Half a cosine that leaves the peak at the first step after the warmup and ends at `final`."""
    return _between(1.0, schedule.final, (step + 1) / total)


def _between(first: float, last: float, t: float) -> float:
    """Follow half a cosine from `first` at t = 0 to `last` at t = 1."""
    return last + (first - last) * (1 + math.cos(math.pi * min(t, 1.0))) / 2


@dataclass
class PlateauState:
    """How far the learning rate has fallen, and since when nothing improved; smaller values are better."""

    factor: float = 1.0
    best: float = math.inf
    waited: int = 0

    def update(self, value: float, schedule: Plateau, peak: float) -> None:
        """Take note of an epoch after the warmup; `peak` is the optimizer's learning rate."""
        if value < self.best - schedule.min_delta:
            self.best, self.waited = value, 0
            return
        self.waited += 1
        if self.waited >= schedule.patience:
            floor = min(1.0, schedule.min_lr / peak)
            self.factor, self.waited = max(self.factor * schedule.factor, floor), 0


SCHEDULES: dict[str, Callable[[int, int, int, Any], float]] = {
    "constant": _constant,
    "cosine": _cosine,
    "exponential": _exponential,
    "one_cycle": _one_cycle,
    "plateau": _constant,
    "step": _step,
}
