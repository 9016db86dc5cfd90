"""Data-parallel training under torchrun: each process takes its rows of every batch, gradients are summed."""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from subprocess import Popen

import torch
from torch import Tensor, distributed

from ann.errors import StageError


@dataclass(frozen=True)
class Group:
    """This process's place among those that train together."""

    rank: int
    size: int

    @property
    def leads(self) -> bool:
        """Whether this process writes files and logs; exactly one does."""
        return self.rank == 0

    def share(self, index: Tensor) -> Tensor:
        """Return this process's part of a batch's row numbers."""
        return index if self.size == 1 else index[self.rank :: self.size]

    def sum_(self, tensor: Tensor) -> Tensor:
        """Add up a tensor over all processes, in place."""
        if self.size > 1:
            distributed.all_reduce(tensor)
        return tensor

    def any(self, flag: bool) -> bool:
        """Return whether the flag is set in any process."""
        return flag if self.size == 1 else bool(self.sum_(torch.tensor(float(flag))).item())

    def wait(self) -> None:
        """Wait for all."""
        if self.size > 1:
            distributed.barrier()


SINGLE = Group(rank=0, size=1)


def launched() -> bool:
    """Return whether torchrun started this process."""
    return "TORCHELASTIC_RUN_ID" in os.environ


def launch(module: str, processes: int, folder: Path) -> None:
    """Run a module under torchrun in `folder`, and wait; when this process is told to end, so are they.

    Raises:
        StageError: one of them failed; it said why itself.
    """
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(processes)]
    with Popen([*command, "-m", module], cwd=folder) as group:
        try:
            code = group.wait()
        except BaseException:
            group.terminate()
            raise
    if code:
        raise StageError(f"training in {processes} processes ended with code {code}; the reason stands above")


@contextmanager
def process_group(device: torch.device) -> Iterator[Group]:
    """Join the processes that torchrun started (gloo on CPUs, nccl on GPUs), or be alone where it did not."""
    if not launched():
        yield SINGLE
        return
    # Losses and flags are exchanged from the CPU also where gradients lie on GPUs.
    distributed.init_process_group("cpu:gloo,cuda:nccl" if device.type == "cuda" else "gloo")
    try:
        yield Group(distributed.get_rank(), distributed.get_world_size())
    finally:
        distributed.destroy_process_group()


def local_device(device: torch.device) -> torch.device:
    """Return this process's GPU of several."""
    return torch.device("cuda", int(os.environ.get("LOCAL_RANK", "0"))) if device.type == "cuda" else device
