"""Prepared rows on the device, and an epoch as a permutation of them."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from ann.artifacts import GROUPS


@dataclass(frozen=True)
class TensorData:
    """N rows: one tensor a column group, and the (N,) class ids."""

    inputs: dict[str, Tensor]
    target: Tensor

    @classmethod
    def on_device(cls, arrays: dict[str, np.ndarray], device: torch.device | str = "cpu") -> "TensorData":
        """Move the arrays of one part to the device."""
        inputs = {name: torch.as_tensor(arrays[name]).to(device) for name in GROUPS if name in arrays}
        return cls(inputs, torch.as_tensor(arrays["target"]).to(device))

    def __len__(self) -> int:
        return len(self.target)

    def rows(self, index: Tensor) -> "TensorData":
        """Gather rows."""
        return TensorData({name: tensor[index] for name, tensor in self.inputs.items()}, self.target[index])

    def shuffled_batches(self, size: int, generator: torch.Generator) -> Iterator["TensorData"]:
        """Yield one epoch; a last batch of a single row joins the one before, since BatchNorm needs two."""
        order = torch.randperm(len(self), generator=generator).to(self.target.device)
        for index in _chunks(order, size):
            yield self.rows(index)

    def batches(self, size: int) -> Iterator["TensorData"]:
        """Yield the rows in order."""
        for start in range(0, len(self), size):
            part = slice(start, start + size)
            yield TensorData({name: tensor[part] for name, tensor in self.inputs.items()}, self.target[part])


def steps_per_epoch(rows: int, size: int) -> int:
    """Return how many batches `shuffled_batches` yields."""
    full, rest = divmod(rows, size)
    return max(1, full + (rest > 1))


def _chunks(order: Tensor, size: int) -> Iterator[Tensor]:
    steps = steps_per_epoch(len(order), size)
    for step in range(steps):
        yield order[step * size : (step + 1) * size if step < steps - 1 else None]
