"""Learning rate as a closed function of the step."""

import math

from ann.config.train import Constant, Cosine


def lr_factor(step: int, total: int, schedule: Cosine | Constant) -> float:
    """Return the share of the peak learning rate at `step` of `total`, counted from 0.

    Warmup rises linearly and reaches 1 at its last step; cosine then follows
    final + (1 - final) (1 + cos(pi t)) / 2 with t from 0 to 1 (Loshchilov & Hutter 2017, arXiv:1608.03983).
    """
    warmup = round(schedule.warmup * total)
    if step < warmup:
        return (step + 1) / warmup
    if isinstance(schedule, Constant):
        return 1.0
    progress = (step - warmup) / max(1, total - warmup - 1)
    return schedule.final + (1 - schedule.final) * (1 + math.cos(math.pi * min(progress, 1.0))) / 2
