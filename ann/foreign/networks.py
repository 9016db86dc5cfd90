"""A torch network that was not trained here: a function that makes it, its weights, and rows as it reads them."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from ann.errors import AnnError, ConfigError, DataError, did_you_mean
from ann.foreign.rows import TABLE, Rows, as_one
from ann.models.custom import load_module
from ann.models.units import UnitGroup, under

REASON = 200
"""Characters that are told of another library's error."""


class Adapter(nn.Module):
    """A module that takes one tensor, or a mapping of several, as a network that takes inputs by name."""

    def __init__(self, network: nn.Module, names: list[str]) -> None:
        """`names` are those of the inputs in the data."""
        super().__init__()
        self.network, self.names = network, names

    def forward(self, inputs: dict[str, Tensor]) -> Tensor:
        """{name: (B, ..)} -> (B, K)."""
        out: Tensor = self.network(inputs[self.names[0]] if len(self.names) == 1 else inputs)
        return out


class TellingAdapter(Adapter):
    """The same of a network that tells its units."""

    def unit_groups(self) -> list[UnitGroup]:
        """Return the groups that the network tells, with tensors by their names here."""
        told: Any = self.network
        return [
            replace(group, parts=tuple(replace(part, tensor=under("network", part.tensor)) for part in group.parts))
            for group in told.unit_groups()
        ]


def adapted(network: nn.Module, names: list[str]) -> Adapter:
    """Return the network behind inputs by name."""
    kind = TellingAdapter if callable(getattr(network, "unit_groups", None)) else Adapter
    return kind(network, names)


def load_torch(name: str, weights: Path | None, folder: Path) -> nn.Module:
    """Return what the function `package.module:function` makes, with the weights of a .safetensors file.

    Raises:
        ConfigError: there is no such function or file, or they do not go together.
    """
    network = _made(name, folder)
    if weights is None:
        raise ConfigError("--weights is missing: give the .safetensors file of the network that --model builds")
    if not weights.is_file():
        raise ConfigError(f"--weights: there is no file {weights}")
    try:
        network.load_state_dict(load_file(weights))
    except SafetensorError as error:
        raise ConfigError(
            f"--weights: {weights} is no .safetensors file ({reason_of(error)}): "
            f"write it with safetensors.torch.save_file(network.state_dict(), file)"
        ) from None
    except RuntimeError as error:
        lines = [line.strip() for line in str(error).splitlines()]
        told = reason_of("; ".join(lines[1:] or lines))
        raise ConfigError(f"--weights: {weights} does not fit what {name} makes: {told}") from None
    return network.eval()


def _made(name: str, folder: Path) -> nn.Module:
    module, _, function = name.partition(":")
    try:
        code = load_module(module, folder, asked_by="--model")
        make: Callable[[], nn.Module] | None = getattr(code, function, None)
        if not callable(make):
            known = [known for known, value in vars(code).items() if callable(value) and not known.startswith("_")]
            raise ConfigError(f"--model: {module} has no function {function!r}{did_you_mean(function, known)}")
        network = make()
    except AnnError:
        raise
    except Exception as error:
        raise ConfigError(f"--model: {name} ended with {type(error).__name__}: {reason_of(error)}") from error
    if not isinstance(network, nn.Module):
        raise ConfigError(f"--model: {name} returned {type(network).__name__}: it must return a torch.nn.Module")
    return network


def reason_of(error: object) -> str:
    """Return another library's error in one line."""
    told = " ".join(str(error).split())
    return told if len(told) <= REASON else f"{told[:REASON]}..."


def as_network_reads(rows: Rows) -> Rows:
    """Return the rows as a torch network reads them: the columns of a table as one matrix, fractions in float32.

    Raises:
        DataError: an input holds texts.
    """
    inputs = {TABLE: as_one(rows.inputs)} if rows.table else rows.inputs
    for name, values in inputs.items():
        if values.dtype.kind not in "biuf":
            raise DataError(f"{name} holds no numbers, which is all that a torch network reads: give their ids")
    return replace(rows, inputs={name: _narrow(values) for name, values in inputs.items()})


def _narrow(values: np.ndarray) -> np.ndarray:
    return values.astype(np.float32) if values.dtype.kind == "f" else values
