"""Networks of the user's own: where they are found, what they get, what is refused, Keras models."""

import importlib.util
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from ann.config.networks import CustomParams
from ann.data.batches import TensorData
from ann.errors import ConfigError
from ann.export.network import export_network, run_network
from ann.models.custom import KerasNetwork, custom_network

GROUPS = {"numeric": {"width": 3}, "categorical": {"sizes": [4, 5]}}
NETWORK = """\
from torch import nn

LAYERS = 1


class Own(nn.Module):
    def __init__(self, width, outputs, units):
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(width, units), nn.Tanh(), nn.Linear(units, outputs))

    def forward(self, inputs):
        return self.layers(inputs["numeric"])


def build(groups, outputs, units=8):
    return Own(groups["numeric"]["width"], outputs, units)


def text(groups, outputs):
    return "a network"
"""
KERAS = """\
import keras


def build(groups, outputs, rate=0.0, named=("numeric", "categorical")):
    numbers = keras.Input((groups["numeric"]["width"],), name=named[0])
    ids = keras.Input((len(groups["categorical"]["sizes"]),), name=named[1], dtype="int64")
    embedded = keras.layers.Flatten()(keras.layers.Embedding(max(groups["categorical"]["sizes"]), 4)(ids))
    x = keras.layers.Dense(16, activation="relu")(keras.layers.Concatenate()([numbers, embedded]))
    x = keras.layers.Dropout(rate)(keras.layers.BatchNormalization()(x))
    return keras.Model([numbers, ids], keras.layers.Dense(outputs)(x))


def sequential(groups, outputs):
    return keras.Sequential([keras.Input((groups["numeric"]["width"],), name="numeric"), keras.layers.Dense(outputs)])
"""
needs_keras = pytest.mark.skipif(
    importlib.util.find_spec("keras") is None, reason="keras is not installed: pip install ann-pipeline[keras]"
)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A project with `nets.py` and the package `own`; what is imported from it is forgotten."""
    (tmp_path / "nets.py").write_text(NETWORK)
    (tmp_path / "own").mkdir()
    (tmp_path / "own" / "deep.py").write_text(NETWORK)
    (tmp_path / "kerasnets.py").write_text(KERAS)
    return tmp_path


def build(folder: Path, module: str = "nets:build", outputs: int = 2, **arguments: object) -> nn.Module:
    params = CustomParams(family="custom", module=module, arguments=arguments).model_dump(exclude={"family"})
    return custom_network(groups=GROUPS, outputs=outputs, folder=folder, **params)


def rows(count: int = 64, seed: int = 0) -> dict[str, Tensor]:
    random = torch.Generator().manual_seed(seed)
    return {
        "numeric": torch.randn(count, 3, generator=random),
        "categorical": torch.randint(4, (count, 2), generator=random),
    }


def learn(network: nn.Module, inputs: dict[str, Tensor], labels: Tensor) -> None:
    trained = [parameter for parameter in network.parameters() if parameter.requires_grad]
    optimizer = torch.optim.Adam(trained, lr=0.02)
    for _ in range(300):
        optimizer.zero_grad()
        functional.cross_entropy(network(inputs), labels).backward()
        optimizer.step()


@pytest.mark.parametrize("module", ["nets:build", "own.deep:build"])
def test_a_function_of_the_project_makes_the_network(folder: Path, module: str) -> None:
    network = build(folder, module, outputs=5, units=7)
    assert network(rows(4)).shape == (4, 5)
    assert sum(p.numel() for p in network.parameters()) == 3 * 7 + 7 + 7 * 5 + 5


def test_it_learns_and_exports_like_any_other(folder: Path) -> None:
    network, inputs = build(folder, units=64), {"numeric": rows()["numeric"]}
    labels = (inputs["numeric"].prod(dim=1) > 0).long()
    learn(network, inputs, labels)
    assert torch.equal(network(inputs).argmax(dim=1), labels)
    graph = export_network(network.eval(), TensorData(inputs, labels))
    found = run_network(graph, {"numeric": inputs["numeric"].numpy()})
    np.testing.assert_allclose(found, network(inputs).detach().numpy(), rtol=0, atol=1e-5)


def test_the_folder_is_looked_in_first_and_leaves_no_trace_on_the_path(folder: Path) -> None:
    before = list(sys.path)
    (folder / "this.py").write_text(NETWORK)  # also a module of Python
    assert build(folder, "this:build")(rows(2)).shape == (2, 2)
    assert sys.path == before


def test_a_file_that_changed_or_another_project_is_read_anew(folder: Path, tmp_path: Path) -> None:
    assert len(build(folder).layers) == 3
    (folder / "nets.py").write_text(NETWORK.replace("nn.Tanh(), ", "nn.Tanh(), nn.Identity(), nn.Identity(), "))
    assert len(build(folder).layers) == 5
    other = tmp_path / "other"
    other.mkdir()
    (other / "nets.py").write_text(NETWORK.replace("nn.Tanh(), ", ""))
    assert len(build(other).layers) == 2


@pytest.mark.parametrize(
    ("module", "words"),
    [
        ("nets.build", r"'nets.build' names no function: write package.module:function"),
        (":build", "names no function"),
        ("nets:", "names no function"),
        ("net:build", r"no module 'net' in .*did you mean 'nets'"),
        ("own.dep:build", r"no module 'own.dep' in"),
        ("nets:biuld", r"nets has no function 'biuld' \(did you mean 'build'"),
        ("nets:LAYERS", "nets has no function 'LAYERS'"),
        ("nets:text", r"nets:text returned str: it must return a torch.nn.Module"),
    ],
)
def test_what_is_no_network_is_refused(folder: Path, module: str, words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        build(folder, module)


def test_what_the_users_own_code_misses_or_raises_is_shown_as_it_is(folder: Path) -> None:
    (folder / "needy.py").write_text("import a_package_that_nobody_has\n")
    with pytest.raises(ModuleNotFoundError, match="a_package_that_nobody_has"):
        build(folder, "needy:build")
    with pytest.raises(TypeError, match="colour"):
        build(folder, colour=3)


def test_a_missing_keras_is_one_clear_line(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (folder / "asks.py").write_text("raise ModuleNotFoundError(\"No module named 'keras'\", name='keras')\n")
    with pytest.raises(ConfigError, match=r"needs keras, which is not installed: pip install ann-pipeline\[keras\]"):
        build(folder, "asks:build")


@needs_keras
def test_a_keras_model_gets_the_groups_as_inputs_of_their_names(folder: Path) -> None:
    network = build(folder, "kerasnets:build").eval()
    assert isinstance(network, KerasNetwork)
    inputs = rows(5)
    expected = network.model([inputs["numeric"], inputs["categorical"]], training=False)
    torch.testing.assert_close(network(dict(reversed(inputs.items()))), expected)
    trained = sum(p.numel() for p in network.parameters() if p.requires_grad)
    assert trained == 5 * 4 + (11 * 16 + 16) + 2 * 16 + (16 * 2 + 2)


@needs_keras
def test_a_keras_model_has_the_same_names_of_weights_each_time_it_is_made(folder: Path) -> None:
    first, second = (build(folder, "kerasnets:build").state_dict() for _ in range(2))
    assert list(first) == list(second)


@needs_keras
def test_a_keras_model_trains_drops_and_normalises_in_training_alone(folder: Path) -> None:
    network = build(folder, "kerasnets:build", rate=0.5)
    inputs = rows()
    statistics = next(p for name, p in network.named_parameters() if "moving_mean" in name)
    before = statistics.clone()
    assert torch.equal(network.eval()(inputs), network(inputs))
    assert torch.equal(statistics, before)
    assert not torch.equal(network.train()(inputs), network(inputs))
    assert not torch.equal(statistics, before)


@needs_keras
def test_a_keras_model_learns_and_exports(folder: Path) -> None:
    network, inputs = build(folder, "kerasnets:build"), rows()
    labels = (inputs["numeric"].prod(dim=1) > 0).long()
    learn(network, inputs, labels)
    assert (network(inputs).argmax(dim=1) == labels).float().mean() > 0.95
    graph = export_network(network.eval(), TensorData(inputs, labels))
    for count in (1, 9):
        given = rows(count, seed=count)
        found = run_network(graph, {name: tensor.numpy() for name, tensor in given.items()})
        np.testing.assert_allclose(found, network(given).detach().numpy(), rtol=0, atol=1e-5)


@needs_keras
def test_a_sequential_keras_model_of_one_input_works(folder: Path) -> None:
    assert build(folder, "kerasnets:sequential")(rows(4)).shape == (4, 2)


@needs_keras
def test_an_input_that_is_no_group_is_refused(folder: Path) -> None:
    with pytest.raises(ConfigError, match="an input 'numbers' that is no column group: name its inputs after numeric"):
        build(folder, "kerasnets:build", named=("numbers", "categorical"))
