"""Averaged weights, which are evaluated and exported in place of the last ones."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from ann.config.train import EMA, SWA
from ann.training.batchnorm import gathering, norms_of
from ann.training.flat import FlatParameters


@dataclass
class Average:
    """A running average of all floating-point weights and buffers; `count` is how many states it holds."""

    params: EMA | SWA
    flat: FlatParameters
    network: nn.Module
    weights: Tensor
    buffers: list[Tensor]
    count: int = 0

    @classmethod
    def of(cls, params: EMA | SWA | None, flat: FlatParameters, network: nn.Module) -> "Average | None":
        """Return an average that starts as the present weights, or None where `params` is None."""
        if params is None:
            return None
        copies = [buffer.clone() for buffer in _float_buffers(network)]
        return cls(params, flat, network, flat.weights.clone(), copies)

    def after_step(self) -> None:
        """EMA: average <- d average + (1 - d) weights, with d = min(decay, (1 + step) / (10 + step))."""
        if isinstance(self.params, EMA):
            self.count += 1
            share = 1 - min(self.params.decay, (1 + self.count) / (10 + self.count))
            self._move(share)

    def after_epoch(self, epoch: int, epochs: int) -> None:
        """SWA: the plain mean of the weights after each epoch from `start` on."""
        if isinstance(self.params, SWA) and epoch > self.params.start * epochs:
            self.count += 1
            self._move(1 / self.count)

    @contextmanager
    def applied(self, calibrate: Callable[[], None]) -> Iterator[None]:
        """Put the average into the network for the duration of the block, once there is one.

        `calibrate` runs the training rows through the network: SWA's BatchNorm statistics belong to other weights.
        """
        if not self.count:
            yield
            return
        own = [buffer.clone() for buffer in self.network.buffers()]
        last = self.flat.weights.clone()
        self.flat.weights.copy_(self.weights)
        try:
            for buffer, average in zip(_float_buffers(self.network), self.buffers, strict=True):
                buffer.copy_(average)
            if isinstance(self.params, SWA) and norms_of(self.network):
                with gathering(self.network):
                    calibrate()
            yield
        finally:
            self.flat.weights.copy_(last)
            for buffer, value in zip(self.network.buffers(), own, strict=True):
                buffer.copy_(value)

    def tensors(self) -> dict[str, Tensor]:
        """Return the average by name, for a checkpoint."""
        return {"weights": self.weights} | {f"buffer.{number}": buffer for number, buffer in enumerate(self.buffers)}

    def load_tensors(self, tensors: dict[str, Tensor], count: int) -> None:
        """Take back what `tensors` returned."""
        self.count = count
        for name, mine in self.tensors().items():
            mine.copy_(tensors[name])

    def _move(self, share: float) -> None:
        with torch.no_grad():
            self.weights.lerp_(self.flat.weights, share)
            if self.buffers:
                torch._foreach_lerp_(self.buffers, _float_buffers(self.network), share)


def _float_buffers(network: nn.Module) -> list[Tensor]:
    return [buffer for buffer in network.buffers() if buffer.is_floating_point()]
