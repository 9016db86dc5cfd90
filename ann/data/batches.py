"""Prepared rows on the device, and an epoch as row numbers cut into batches."""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import torch
from torch import Tensor

from ann.artifacts import GROUPS


@dataclass(slots=True, eq=False)
class TensorData:
    """N rows: one tensor a column group, and the (N,) class ids.

    It is not frozen, for one is made at each step and that would take twice as long; nothing changes one, though.
    """

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
        """Gather rows; `index` is (B,) int64."""
        inputs = {name: tensor.index_select(0, index) for name, tensor in self.inputs.items()}
        return TensorData(inputs, self.target.index_select(0, index))

    def batches(self, size: int) -> Iterator["TensorData"]:
        """Yield the rows in order."""
        for start in range(0, len(self), size):
            yield self._slice(start, start + size)

    def parts(self, count: int) -> Iterator["TensorData"]:
        """Yield `count` parts whose sizes differ by at most one row; fewer where one would have a single row."""
        count = max(1, min(count, len(self) // 2))
        if count == 1:
            yield self
            return
        edges = [len(self) * part // count for part in range(count + 1)]
        for start, stop in pairwise(edges):
            yield self._slice(start, stop)

    def _slice(self, start: int, stop: int) -> "TensorData":
        part = slice(start, stop)
        return TensorData({name: tensor[part] for name, tensor in self.inputs.items()}, self.target[part])


def balanced(target: Tensor, generator: torch.Generator) -> Tensor:
    """Return (N,) row numbers drawn with replacement so that every class of `target` (N,) comes equally often."""
    by_class = torch.argsort(target, stable=True)
    counts = torch.bincount(target)
    starts = counts.cumsum(0) - counts
    present = counts.nonzero().squeeze(1)
    drawn = present[torch.randint(len(present), target.shape, generator=generator)]
    within = torch.rand(target.shape, generator=generator, dtype=torch.float64) * counts[drawn]
    return by_class[starts[drawn] + within.long()]


def batch_sizes(rows: int, size: int) -> list[int]:
    """Return the number of rows of each batch of an epoch; BatchNorm needs two, so a last single row joins others."""
    full, rest = divmod(rows, size)
    if rest == 1 and full:
        return [size] * (full - 1) + [size + 1]
    return [size] * full + [rest] * (rest > 0)


def chunks(order: Tensor, size: int) -> tuple[Tensor, ...]:
    """Cut row numbers into batches of `batch_sizes`."""
    return order.split_with_sizes(batch_sizes(len(order), size))
