"""What holds while a network is trained, and is given back afterwards however training ends."""

from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from functools import partial

import torch
from torch import nn
from torch.utils.checkpoint import checkpoint

from ann.config.train import TrainParams
from ann.data.batches import TensorData
from ann.errors import ConfigError
from ann.training.batchnorm import synchronised, unnoticed
from ann.training.distributed import SINGLE, Group
from ann.training.linear import adding_gradients
from ann.training.objective import Objective
from ann.training.state import TrainState, start_state


@contextmanager
def training_session(
    network: nn.Module, train: TensorData, params: TrainParams, objective: Objective, group: Group = SINGLE
) -> Iterator[TrainState]:
    """Yield the state before the first step, with the network and this process set up for steps.

    Raises:
        ConfigError: `train.recompute` for a network without blocks; muon for one without a hidden Linear layer.
        StageError: the network's parameters differ in type or device.
    """
    with ExitStack() as stack:
        stack.enter_context(_own_random_state(train.target.device))
        stack.enter_context(_flushed_denormals())
        stack.enter_context(_deterministic(params.deterministic and train.target.is_cuda))
        stack.enter_context(_recomputed(network, params.recompute))
        stack.enter_context(synchronised(network, group))
        state = start_state(network, train, params, objective, group)
        stack.callback(state.flat.release)
        adds = state.device.type == "cpu" and state.precision == "fp32" and params.engine != "compiled"
        stack.enter_context(adding_gradients(network, adds))
        yield state


@contextmanager
def _own_random_state(device: torch.device) -> Iterator[None]:
    """Give torch's global generators, which dropout draws from, back as they were."""
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        yield


@contextmanager
def _flushed_denormals() -> Iterator[None]:
    """Take numbers below 1e-38 for zero: processors are up to a hundred times slower with them."""
    torch.set_flush_denormal(True)
    try:
        yield
    finally:
        torch.set_flush_denormal(False)


@contextmanager
def _deterministic(wanted: bool) -> Iterator[None]:
    """Let CUDA take only kernels that give the same bits again; `ann.environment` gives cuBLAS the memory it needs."""
    before = torch.are_deterministic_algorithms_enabled()
    torch.use_deterministic_algorithms(wanted or before)
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(before)


@contextmanager
def _recomputed(network: nn.Module, wanted: bool) -> Iterator[None]:
    """Let each block forget its activations and compute them again for the gradient (Chen et al. 2016, 1604.06174)."""
    blocks = list(getattr(network, "blocks", ())) if wanted else []
    if wanted and not blocks:
        raise ConfigError("train.recompute: this network has no blocks to compute again: write false")
    for block in blocks:
        contexts = partial(_both_passes, block)
        block.forward = partial(checkpoint, block.forward, use_reentrant=False, context_fn=contexts)
    try:
        yield
    finally:
        for block in blocks:
            del block.forward


def _both_passes(block: nn.Module) -> tuple[AbstractContextManager[None], AbstractContextManager[None]]:
    """Return the contexts of a block's two runs; in the second, BatchNorm must not count the batch again."""
    return nullcontext(), unnoticed(block)
