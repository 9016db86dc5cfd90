"""The trained network as artifacts: built from its parameters, its weights in safetensors."""

from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import nn

from ann.artifacts import Build, load_json
from ann.config.model import Architecture, read_model
from ann.data.batches import TensorData
from ann.data.target import Target
from ann.errors import ConfigError, StageError
from ann.models import build_network
from ann.models.resizing import fit_to
from ann.models.tabular import Tabular
from ann.seeding import stream_seed


def new_network(model: Architecture, schema: dict[str, Any], seed: int, folder: Path | None = None) -> nn.Module:
    """Return the network for a schema.json with weights drawn from `seed`; torch's global generator stays as it was.

    `folder` is the project's, for networks that lie there.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(stream_seed(seed, "weights"))
        return build_network(model, schema["groups"], Target.from_json(schema["target"]), folder)


def first_network(
    model: Architecture, schema: dict[str, Any], seed: int, train: TensorData, folder: Path | None = None
) -> nn.Module:
    """Return `new_network` as training begins: on the rows' device, what it takes from training rows set."""
    network = new_network(model, schema, seed, folder).to(train.target.device)
    if isinstance(network, Tabular):
        network.adapt(train.inputs)
    return network


def load_network(model: Architecture, schema: dict[str, Any], path: Path, folder: Path | None = None) -> nn.Module:
    """Return the network with the weights in `path`, in evaluation mode; `folder` is as in `new_network`.

    Where the weights are of the same network with fewer units, its layers take their sizes.

    Raises:
        StageError: the file is missing, damaged, or of another network.
    """
    network = new_network(model, schema, 0, folder)
    try:
        fit_to(network, load_file(path))
    except (FileNotFoundError, SafetensorError, RuntimeError) as error:
        lines = [line.strip() for line in str(error).splitlines() if line.strip()]
        reason = lines[1 if isinstance(error, RuntimeError) and len(lines) > 1 else 0]  # torch names the tensor there
        raise StageError(f"{path} cannot be loaded: {reason}; run the stage that writes it again") from None
    return network.eval()


def trained_model(build: Build) -> Architecture:
    """Return the architecture that training used, `auto` made plain."""
    return read_model(load_json(build.train_summary)["model"])


def save_network(network: nn.Module, path: Path) -> None:
    """Write the weights."""
    save_file({name: tensor.detach().cpu().contiguous() for name, tensor in network.state_dict().items()}, path)


def pick_device(wanted: str) -> torch.device:
    """Return the device that `train.device` names; `auto` is CUDA where there is one.

    Raises:
        ConfigError: CUDA is asked for where there is none.
    """
    if wanted == "cuda" and not torch.cuda.is_available():
        raise ConfigError("train.device: cuda is not available on this machine; write auto or cpu")
    return torch.device("cuda" if wanted != "cpu" and torch.cuda.is_available() else "cpu")
