"""A network that a function of the project makes: a torch module, or a Keras 3 model on the torch backend."""

import os
import sys
from collections.abc import Mapping
from importlib import import_module, invalidate_caches
from importlib.machinery import PathFinder
from pathlib import Path
from types import ModuleType
from typing import Any

from torch import Tensor, nn

from ann.errors import ConfigError, did_you_mean


def custom_network(
    *,
    module: str,
    groups: Mapping[str, Mapping[str, Any]],
    outputs: int,
    arguments: Mapping[str, Any] | None = None,
    folder: str | Path = ".",
) -> nn.Module:
    """Return what `factory(groups=groups, outputs=outputs, **arguments)` makes; `module` is `package.module:factory`.

    The module is looked for in `folder`, the project's, and then among installed packages.

    Raises:
        ConfigError: there is no such module or function, or it makes no network.
    """
    name, colon, factory = module.partition(":")
    if not (name and colon and factory):
        raise ConfigError(f"model.module: {module!r} names no function: write package.module:function")
    os.environ.setdefault("KERAS_BACKEND", "torch")  # read once, when keras is first imported
    code = load_module(name, Path(folder).resolve())
    make = getattr(code, factory, None)
    if not callable(make):
        known = [known for known, value in vars(code).items() if callable(value) and not known.startswith("_")]
        raise ConfigError(f"model.module: {name} has no function {factory!r}{did_you_mean(factory, known)}")
    if (keras := sys.modules.get("keras")) is not None:
        keras.utils.clear_session(free_memory=False)  # it numbers layers by name, and weights are found by that name
    network = make(groups=groups, outputs=outputs, **(arguments or {}))
    if _is_keras(network):
        return KerasNetwork(network, groups)
    if not isinstance(network, nn.Module):
        raise ConfigError(
            f"model.module: {module} returned {type(network).__name__}: "
            f"it must return a torch.nn.Module, or a Keras model on the torch backend"
        )
    return network


def load_module(name: str, folder: Path, asked_by: str = "model.module") -> ModuleType:
    """Import `name` with `folder` in front of where modules are looked for; `asked_by` begins messages.

    A module of the folder is read again each time: it may have changed, or be another project's.
    """
    top = name.partition(".")[0]
    invalidate_caches()
    if top != "ann" and PathFinder.find_spec(top, [str(folder)]) is not None:
        for known in [known for known in sys.modules if known == top or known.startswith(f"{top}.")]:
            del sys.modules[known]
    sys.path.insert(0, str(folder))
    try:
        return import_module(name)
    except ModuleNotFoundError as error:
        if error.name == "keras":
            raise ConfigError(
                f"{asked_by}: {name} needs keras, which is not installed: pip install ann-pipeline[keras]"
            ) from error
        if error.name is None or not f"{name}.".startswith(f"{error.name}."):
            raise  # one that the user's own code misses
        there = [path.stem for path in sorted(folder.glob("*.py"))]
        raise ConfigError(f"{asked_by}: there is no module {name!r} in {folder}{did_you_mean(name, there)}") from error
    finally:
        sys.path.remove(str(folder))


class KerasNetwork(nn.Module):
    """A Keras model that gets the column groups as its inputs of the same names."""

    def __init__(self, model: nn.Module, groups: Mapping[str, Any]) -> None:
        """`model` is built; one made of `keras.Input`s has names that the groups must have.

        Raises:
            ConfigError: an input is no column group.
        """
        super().__init__()
        self.names = [tensor.name for tensor in getattr(model, "inputs", None) or []]
        if strange := [name for name in self.names if name not in groups]:
            raise ConfigError(
                f"model.module: the Keras model has an input {strange[0]!r} that is no column group: "
                f"name its inputs after {', '.join(groups)}"
            )
        self.model = model

    def forward(self, inputs: dict[str, Tensor]) -> Tensor:
        """{group: (B, ..)} -> (B, K)."""
        given = {name: inputs[name] for name in self.names or inputs}
        if len(self.names) == 1:
            out: Tensor = self.model(given[self.names[0]], training=self.training)
        else:
            out = self.model(given, training=self.training)
        return out


def _is_keras(network: object) -> bool:
    """Say whether it is a Keras model.

    Raises:
        ConfigError: Keras runs on another backend than torch.
    """
    keras = sys.modules.get("keras")
    if keras is None or not isinstance(network, keras.Model):
        return False
    if (backend := keras.backend.backend()) != "torch":
        raise ConfigError(f"model.module: Keras runs on {backend}: set KERAS_BACKEND=torch, or leave it out")
    return True
