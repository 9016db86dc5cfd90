"""Mixed precision: products in bf16 or fp16, weights and sums in fp32 (Micikevicius et al. 2018, arXiv:1710.03740)."""

from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass

import torch
from torch import Tensor

from ann.errors import ConfigError

FIRST_SCALE = 2.0**16
GROWTH_STEPS = 2000
"""Steps without overflow after which the loss scale doubles."""


def pick_precision(wanted: str, device: torch.device) -> str:
    """Return fp32, bf16 or fp16; `auto` is bf16 on a GPU that has it, else fp32.

    Raises:
        ConfigError: bf16 is asked for on a GPU without it.
    """
    has_bf16 = device.type == "cpu" or torch.cuda.is_bf16_supported()
    if wanted == "bf16" and not has_bf16:
        raise ConfigError(f"train.precision: {torch.cuda.get_device_name(device)} has no bf16; write fp16 or fp32")
    if wanted != "auto":
        return wanted
    return "bf16" if device.type == "cuda" and has_bf16 else "fp32"


def autocast(precision: str, device: torch.device) -> AbstractContextManager[object]:
    """Return the context in which forward pass and loss run."""
    if precision == "fp32":
        return nullcontext()
    return torch.autocast(device.type, torch.bfloat16 if precision == "bf16" else torch.float16)


@dataclass
class LossScale:
    """Dynamic loss scaling for fp16, wholly on the device: an overflow skips the step and halves the scale."""

    scale: Tensor
    streak: Tensor

    @classmethod
    def of(cls, precision: str, device: torch.device) -> "LossScale | None":
        """Return a scale for fp16, None for the others, which need none."""
        if precision != "fp16":
            return None
        return cls(torch.tensor(FIRST_SCALE, device=device), torch.zeros((), device=device))

    def update(self, found_inf: Tensor) -> None:
        """Take note of a step; `found_inf` is () float, 1 after an overflow."""
        overflow = found_inf > 0
        self.streak.copy_(torch.where(overflow, 0, self.streak + 1))
        grown = self.streak >= GROWTH_STEPS
        self.scale.mul_(torch.where(overflow, 0.5, torch.where(grown, 2.0, 1.0)))
        self.streak.masked_fill_(grown, 0)
