"""BatchNorm where its statistics need care: over several processes, under averaged weights, computed twice."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.distributed.nn.functional import all_reduce
from torch.nn.modules.batchnorm import _BatchNorm

from ann.models.batchnorm import BatchNorm1d
from ann.training.distributed import Group


def norms_of(network: nn.Module) -> list[_BatchNorm]:
    """Return every BatchNorm layer."""
    return [module for module in network.modules() if isinstance(module, _BatchNorm)]


@contextmanager
def synchronised(network: nn.Module, group: Group) -> Iterator[None]:
    """Let every BatchNorm see the rows of all processes while the block runs, as one process would.

    torch's own SyncBatchNorm is for GPUs alone; this one sums over gloo as well.
    """
    norms = norms_of(network) if group.size > 1 else []
    kinds = [type(norm) for norm in norms]
    for norm in norms:
        norm.__class__ = SummedWithoutCount if isinstance(norm, BatchNorm1d) else SummedBatchNorm
    try:
        yield
    finally:
        for norm, kind in zip(norms, kinds, strict=True):
            norm.__class__ = kind


@contextmanager
def gathering(network: nn.Module) -> Iterator[None]:
    """Let BatchNorm forget its statistics and take the plain mean over the batches to come; all else evaluates."""
    norms = norms_of(network)
    momenta = [norm.momentum for norm in norms]
    network.eval()
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None
        norm.train()
    try:
        yield
    finally:
        for norm, momentum in zip(norms, momenta, strict=True):
            norm.momentum = momentum


@contextmanager
def unnoticed(block: nn.Module) -> Iterator[None]:
    """Run batches that BatchNorm has seen already: its statistics stay as they are."""
    norms = norms_of(block)
    before = [(norm.momentum, norm.num_batches_tracked) for norm in norms]
    for norm in norms:
        norm.momentum = 0.0  # the share of the batch in the running statistics
        norm.num_batches_tracked = None
    try:
        yield
    finally:
        for norm, (momentum, count) in zip(norms, before, strict=True):
            norm.momentum, norm.num_batches_tracked = momentum, count


class SummedBatchNorm(_BatchNorm):
    """BatchNorm over the rows of all processes: sums, squares and counts are added up before mean and variance."""

    counts: ClassVar[bool] = True

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, ...) -> the same; B may differ between processes."""
        if not self.training:
            return super().forward(x)
        axes = [axis for axis in range(x.ndim) if axis != 1]
        count = torch.full((1,), x.numel() / x.shape[1], device=x.device)
        total = all_reduce(torch.cat([x.sum(axes), count]))  # type: ignore[no-untyped-call]
        rows = total[-1].detach()
        mean = total[:-1] / rows
        shape = [1, -1] + [1] * (x.ndim - 2)
        centred = x - mean.view(shape)
        variance = all_reduce((centred**2).sum(axes)) / rows  # type: ignore[no-untyped-call]
        if self.running_mean is not None and self.running_var is not None:
            with torch.no_grad():
                if self.num_batches_tracked is not None and (self.counts or self.momentum is None):
                    self.num_batches_tracked += 1
                share = self.momentum
                if share is None:
                    assert self.num_batches_tracked is not None
                    share = 1 / float(self.num_batches_tracked)
                self.running_mean.lerp_(mean, share)
                self.running_var.lerp_(variance * rows / (rows - 1), share)
        normal = centred * torch.rsqrt(variance + self.eps).view(shape)
        return normal * self.weight.view(shape) + self.bias.view(shape) if self.affine else normal

    def _check_input_dim(self, x: Tensor) -> None:
        if x.ndim < 2:
            raise ValueError(f"BatchNorm needs (B, C, ...), got {tuple(x.shape)}")


class SummedWithoutCount(SummedBatchNorm):
    """Likewise in place of ann.models.batchnorm, which counts no batches either."""

    counts: ClassVar[bool] = False
