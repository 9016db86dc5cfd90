"""A stranger's torch network: made by a function, filled with weights, behind inputs by name."""

from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from ann.compression.structure import without_units
from ann.errors import ConfigError, DataError
from ann.foreign.networks import Adapter, adapted, as_network_reads, load_torch
from ann.foreign.rows import Rows
from ann.models.chains import groups_of
from ann.models.units import Part, UnitGroup

CODE = """\
from torch import nn


def small():
    return nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 2))


def broken():
    raise ValueError("no such size")


def number():
    return 3
"""


class Own(nn.Module):
    """A network whose layers stand in no nn.Sequential, and which tells its units."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Linear(3, 4), nn.Linear(4, 2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        out: torch.Tensor = self.second(self.first(x).relu())
        return out

    def unit_groups(self) -> list[UnitGroup]:
        return [UnitGroup("first", 4, (Part("first.weight", 0), Part("first.bias", 0), Part("second.weight", 1)))]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "strange_nets.py").write_text(CODE)
    (tmp_path / "strange_syntax.py").write_text("def small(:\n")
    (tmp_path / "strange_import.py").write_text("import no_such_library\n")
    return tmp_path


def saved(folder: Path, network: nn.Module) -> Path:
    save_file(network.state_dict(), folder / "weights.safetensors")
    return folder / "weights.safetensors"


def test_the_network_of_a_function_has_the_weights_of_the_file(folder: Path) -> None:
    plain = nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 2))
    network = load_torch("strange_nets:small", saved(folder, plain), folder)
    x = torch.randn(5, 3)
    assert torch.equal(network(x), plain(x))
    assert not network.training


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("strange_nets:smal", r"has no function 'smal' \(did you mean 'small'\?\)"),
        ("strange_net:small", r"--model: there is no module 'strange_net' .*did you mean 'strange_nets'"),
        ("strange_nets:broken", "strange_nets:broken ended with ValueError: no such size"),
        ("strange_nets:number", "strange_nets:number returned int"),
        ("strange_syntax:small", "ended with SyntaxError"),
        ("strange_import:small", "ended with ModuleNotFoundError: No module named 'no_such_library'"),
    ],
)
def test_a_function_that_makes_none_is_told(folder: Path, name: str, told: str) -> None:
    with pytest.raises(ConfigError, match=told):
        load_torch(name, folder / "weights.safetensors", folder)


def test_weights_that_do_not_fit_are_told(folder: Path) -> None:
    with pytest.raises(ConfigError, match="--weights is missing"):
        load_torch("strange_nets:small", None, folder)
    with pytest.raises(ConfigError, match="there is no file"):
        load_torch("strange_nets:small", folder / "weights.safetensors", folder)
    with pytest.raises(ConfigError, match=r"does not fit what strange_nets:small makes: Missing key\(s\)"):
        load_torch("strange_nets:small", saved(folder, nn.Linear(3, 2)), folder)
    larger = nn.Sequential(nn.Linear(3, 5), nn.ReLU(), nn.Linear(5, 2))
    with pytest.raises(ConfigError, match=r"size mismatch for 0\.weight"):
        load_torch("strange_nets:small", saved(folder, larger), folder)
    (folder / "weights.safetensors").write_text("hello")
    with pytest.raises(ConfigError, match=r"is no \.safetensors file"):
        load_torch("strange_nets:small", folder / "weights.safetensors", folder)


def test_one_input_comes_as_a_tensor_and_several_by_name() -> None:
    class Both(nn.Module):
        def forward(self, inputs: dict[str, torch.Tensor]) -> torch.Tensor:
            return inputs["a"] - inputs["b"]

    a, b = torch.randn(4, 2), torch.randn(4, 2)
    assert torch.equal(Adapter(nn.Identity(), ["a"])({"a": a}), a)
    assert torch.equal(Adapter(Both(), ["a", "b"])({"a": a, "b": b}), a - b)


def test_units_that_a_network_tells_are_removed() -> None:
    network = adapted(Own(), ["x"])
    [group] = groups_of(network, {"x": torch.zeros(2, 3)})
    assert [part.tensor for part in group.parts] == [
        "network.first.weight",
        "network.first.bias",
        "network.second.weight",
    ]
    smaller = without_units(network, {"first": torch.tensor([1, 2])})
    assert smaller.state_dict()["network.first.weight"].shape == (2, 3)
    assert smaller({"x": torch.zeros(2, 3)}).shape == (2, 2)


def test_units_between_the_layers_of_a_plain_network_are_found() -> None:
    plain = nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 2))
    [group] = groups_of(adapted(plain, ["x"]), {"x": torch.zeros(2, 3)})
    assert group.count == 4


def test_a_table_is_one_matrix_and_fractions_are_float32() -> None:
    columns = {"a": np.array([1, 2]), "b": np.array([0.5, 1.5])}
    table = as_network_reads(Rows(columns, np.zeros(2), (), table=True))
    assert {name: values.tolist() for name, values in table.inputs.items()} == {"input": [[1, 0.5], [2, 1.5]]}
    arrays = as_network_reads(Rows(columns, np.zeros(2), ()))
    assert {name: values.dtype for name, values in arrays.inputs.items()} == {"a": np.int64, "b": np.float32}


def test_texts_are_no_input_of_a_torch_network() -> None:
    with pytest.raises(DataError, match="word holds no numbers"):
        as_network_reads(Rows({"word": np.array(["a", "b"])}, np.zeros(2), ()))
    with pytest.raises(DataError, match="word is no column of numbers"):
        as_network_reads(Rows({"word": np.array(["a", "b"])}, np.zeros(2), (), table=True))
