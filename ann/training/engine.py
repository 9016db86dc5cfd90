"""How a step runs: operator by operator, through torch.compile, or replayed as one CUDA graph."""

import logging
from collections.abc import Callable

import torch
from torch import Tensor

from ann.config.augment import Cutmix, Mixup
from ann.data.batches import TensorData
from ann.training.state import TrainState
from ann.training.step import DivergenceError, Forward, forward_loss, train_step

log = logging.getLogger("ann.training")

Step = Callable[[Tensor, float], Tensor]
"""(row numbers of a batch, learning rate) -> () this process's part of the mean loss."""

WARMUP_STEPS = 3
"""Steps before a graph is recorded, in which libraries choose their kernels and take their memory."""


def build_step(state: TrainState, data: TensorData) -> Step:
    """Return the step that `train.engine` names; one that cannot run here is replaced, and the log says by what.

    `auto` is a graph on CUDA and eager on a CPU, where compiling takes longer than it saves on small networks
    (docs/benchmarks.md).
    """
    wanted = state.params.engine
    if wanted == "auto":
        wanted = "eager" if state.device.type == "cpu" or graph_obstacle(state) else "graphed"
    if wanted == "graphed":
        if (obstacle := graph_obstacle(state)) is None:
            return GraphedStep(state, data)
        log.warning("train.engine: graphed needs %s; steps run eagerly", obstacle)
        wanted = "eager"
    if wanted == "compiled":
        return CompiledStep(state, data)
    return EagerStep(state, data)


def graph_obstacle(state: TrainState) -> str | None:
    """Return what a CUDA graph needs that is not there, or None where one can be recorded."""
    needs = {
        "a CUDA device": state.device.type == "cuda",
        "an optimizer other than muon": state.params.optimizer.name != "muon",
        "a single process": state.group.size == 1,
        "batches computed whole (accumulate: 1)": state.accumulate == 1,
        "no ema, whose first steps differ": state.average is None or state.average.params.name != "ema",
        "no mixup or cutmix": not any(isinstance(entry, Mixup | Cutmix) for entry in state.params.augment),
    }
    return next((need for need, met in needs.items() if not met), None)


class EagerStep:
    """Operator by operator."""

    def __init__(self, state: TrainState, data: TensorData, forward: Forward = forward_loss) -> None:
        self._state, self._data, self._forward = state, data, forward

    def __call__(self, index: Tensor, lr: float) -> Tensor:
        """Gather this process's rows and take a step."""
        batch = self._data.rows(self._state.group.share(index))
        return train_step(self._state, batch, len(index), lr, self._forward)


class CompiledStep:
    """Forward pass, loss and their gradients as code that torch.compile writes for this network and batch size."""

    def __init__(self, state: TrainState, data: TensorData) -> None:
        self._state, self._data = state, data
        self._step = EagerStep(state, data, torch.compile(forward_loss))
        self._proven = False

    def __call__(self, index: Tensor, lr: float) -> Tensor:
        """Take a step; where the first cannot be compiled, this and all later ones run eagerly."""
        if self._proven:
            return self._step(index, lr)
        dice = torch.random.get_rng_state()
        try:
            loss = self._step(index, lr)
        except DivergenceError:
            raise
        except Exception as error:  # noqa: BLE001 - compilers fail in many ways, and all of them mean: run eagerly
            log.warning("train.engine: compiled does not work here (%s); steps run eagerly", _first_line(error))
            torch.random.set_rng_state(dice)
            self._step = EagerStep(self._state, self._data)
            loss = self._step(index, lr)
        self._proven = True
        return loss


class GraphedStep:
    """A whole step recorded once and replayed by one call, so that the CPU no longer limits small networks.

    Row numbers and learning rate are written into the tensors that the recording reads. A batch of another size than
    the recorded one, the last of an epoch, runs eagerly.
    """

    def __init__(self, state: TrainState, data: TensorData) -> None:
        self._state = state
        self._eager = EagerStep(state, data)
        self._index = torch.zeros(state.batch_size, dtype=torch.int64, device=state.device)
        self._lr = torch.zeros((), device=state.device)
        self._taken = 0
        self._graph: torch.cuda.CUDAGraph | None = None
        self._loss = torch.zeros((), device=state.device)
        self._data = data

    def __call__(self, index: Tensor, lr: float) -> Tensor:
        """Replay the recorded step on other rows."""
        self._lr.fill_(lr)
        if len(index) != len(self._index):
            return self._run(index)
        if self._taken < WARMUP_STEPS:
            self._taken += 1
            return self._warm_up(index)
        self._index.copy_(index)
        if self._graph is None:
            self._graph = torch.cuda.CUDAGraph()
            with torch.cuda.graph(self._graph):  # recording runs nothing
                self._loss = self._run(self._index)
        self._graph.replay()
        return self._loss

    def _run(self, index: Tensor) -> Tensor:
        return train_step(self._state, self._data.rows(index), len(index), self._lr)

    def _warm_up(self, index: Tensor) -> Tensor:
        """A real step, on a stream of its own as recording needs it."""
        stream = torch.cuda.Stream()  # type: ignore[no-untyped-call]
        stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(stream):
            loss = self._run(index)
        torch.cuda.current_stream().wait_stream(stream)
        return loss


def _first_line(error: Exception) -> str:
    return next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__)
