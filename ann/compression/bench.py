"""What a recipe's steps work on, and what they may look at."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from torch import Tensor, nn

from ann.compression.judge import Judge
from ann.compression.packing import pack
from ann.compression.sparsity import Masks
from ann.config.model import Architecture
from ann.config.train import TrainParams
from ann.data.batches import TensorData
from ann.data.target import Target
from ann.export.network import export_network, verify_network

EXAMPLE_ROWS = 3


@dataclass(frozen=True, eq=False)
class Draft:
    """A float network on its way through a recipe; no step changes the one it is given."""

    network: nn.Module
    """On the device of the rows, in evaluation mode."""
    model: Architecture | None
    """Builds the network as it was before units were removed; None for one that was not built here."""
    masks: Masks | None = None
    """Weights that live; what trains the network further leaves the others at zero."""
    shared: bool = False
    """Whether its weights take few values."""
    done: tuple[str, ...] = ()
    """What each step did, in words."""

    def after(self, done: str, **changes: Any) -> "Draft":
        """Return the draft after one more step."""
        return replace(self, done=(*self.done, done), **changes)


@dataclass(frozen=True, eq=False)
class Bench:
    """Rows, the uncompressed network, and how a graph is judged."""

    network: nn.Module
    model: Architecture | None
    train: TensorData
    valid: TensorData
    target: Target
    settings: TrainParams
    """Of the first training; fine-tuning takes epochs and lr from its step."""
    seed: int
    max_drop: float
    batch: int
    """Rows at which latency is measured where a step asks for it."""
    judge_of: Callable[[onnx.ModelProto], Judge]
    """Makes the judge from the graph of the uncompressed network."""
    schema: dict[str, Any] | None = None
    """schema.json, by which students are built; None where the network was not trained here."""
    folder: Path | None = None
    """The project's, where networks of its own lie."""
    champion: Callable[[], Tensor] | None = None
    """Answers of the registered model about the training rows."""
    untrained: Callable[[], nn.Module] | None = None
    """The network as it was before its first training."""

    @cached_property
    def graph(self) -> onnx.ModelProto:
        """The uncompressed network as ONNX."""
        return self.exported(Draft(self.network, self.model))

    @cached_property
    def judge(self) -> Judge:
        """What says how good a graph is, beside the uncompressed network."""
        return self.judge_of(self.graph)

    @property
    def example(self) -> dict[str, Tensor]:
        """Inputs of a few rows."""
        return {name: tensor[:EXAMPLE_ROWS] for name, tensor in self.train.inputs.items()}

    def exported(self, draft: Draft) -> onnx.ModelProto:
        """Return a draft as ONNX, of which every answer about validation rows was compared.

        Raises:
            StageError: the graph answers something else.
        """
        graph = export_network(draft.network, self.valid)
        verify_network(graph, draft.network, self.valid, self.target)
        draft.network.to(self.valid.target.device)
        return graph

    def arrays(self) -> Mapping[str, np.ndarray]:
        """Return the training rows as ONNX Runtime reads them."""
        return {name: tensor.cpu().numpy() for name, tensor in self.train.inputs.items()}


def packed(graph: onnx.ModelProto, draft: Draft) -> onnx.ModelProto:
    """Return the graph in fewer bytes where a step left zeros or few values in it."""
    return pack(graph) if draft.masks is not None or draft.shared else graph
