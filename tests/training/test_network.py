"""Weights on disk: what was saved comes back, and nothing else is taken for it."""

from pathlib import Path

import pytest
import torch

from ann.config.layers import MLPParams
from ann.data.target import classification
from ann.errors import ConfigError, StageError
from ann.training.network import load_network, new_network, pick_device, save_network

MODEL = MLPParams(hidden=(8, 4), norm="batch")
GROUPS = {"numeric": {"width": 3}, "categorical": {"sizes": [4]}}
SCHEMA = {"groups": GROUPS, "target": classification(2).to_json()}


def saved(folder: Path) -> Path:
    path = folder / "weights.safetensors"
    save_network(new_network(MODEL, SCHEMA, seed=1), path)
    return path


def test_a_saved_network_comes_back_bit_for_bit_and_ready_to_predict(tmp_path: Path) -> None:
    network = new_network(MODEL, SCHEMA, seed=1)
    with torch.no_grad():
        network.blocks[0][1].running_mean += 3  # buffers travel too
    save_network(network, tmp_path / "weights.safetensors")
    loaded = load_network(MODEL, SCHEMA, tmp_path / "weights.safetensors")
    theirs = network.state_dict()
    assert loaded.state_dict().keys() == theirs.keys()
    assert all(torch.equal(tensor, theirs[name]) for name, tensor in loaded.state_dict().items())
    assert not loaded.training


def test_the_same_network_gives_the_same_bytes(tmp_path: Path) -> None:
    first = saved(tmp_path).read_bytes()
    assert saved(tmp_path).read_bytes() == first


def test_the_seed_decides_the_first_weights_and_the_global_generator_does_not() -> None:
    torch.manual_seed(5)
    one = new_network(MODEL, SCHEMA, seed=1).head.weight
    torch.manual_seed(6)
    assert torch.equal(new_network(MODEL, SCHEMA, seed=1).head.weight, one)
    assert not torch.equal(new_network(MODEL, SCHEMA, seed=2).head.weight, one)


def test_the_global_generator_stays_as_it_was(tmp_path: Path) -> None:
    path = saved(tmp_path)
    before = torch.get_rng_state()
    new_network(MODEL, SCHEMA, seed=1)
    load_network(MODEL, SCHEMA, path)
    assert torch.equal(torch.get_rng_state(), before)


def test_a_missing_file_is_named_with_the_way_out(tmp_path: Path) -> None:
    with pytest.raises(StageError, match=r"nowhere\.safetensors.*run the stage that writes it"):
        load_network(MODEL, SCHEMA, tmp_path / "nowhere.safetensors")


@pytest.mark.parametrize("kept", [0, 4, 50, -10])
def test_a_damaged_file_is_named_with_the_way_out(tmp_path: Path, kept: int) -> None:
    path = saved(tmp_path)
    path.write_bytes(path.read_bytes()[:kept])
    with pytest.raises(StageError, match=r"weights\.safetensors cannot be loaded: .+; run the stage that writes it"):
        load_network(MODEL, SCHEMA, path)


@pytest.mark.parametrize(
    ("other", "tensor"),
    [(MODEL.model_copy(update={"hidden": (8, 3)}), r"blocks\.1\.0\.weight"), (MLPParams(hidden=(8,)), r"blocks\.")],
)
def test_the_weights_of_another_network_are_refused_naming_what_differs(
    tmp_path: Path, other: MLPParams, tensor: str
) -> None:
    with pytest.raises(StageError, match=rf"weights\.safetensors cannot be loaded: .*{tensor}"):
        load_network(other, SCHEMA, saved(tmp_path))


def test_the_processor_is_there_everywhere() -> None:
    assert pick_device("cpu") == torch.device("cpu")


@pytest.mark.skipif(torch.cuda.is_available(), reason="needs a machine without CUDA")
def test_cuda_is_refused_where_there_is_none_and_auto_takes_the_processor() -> None:
    with pytest.raises(ConfigError, match=r"train\.device: cuda is not available.*write auto or cpu"):
        pick_device("cuda")
    assert pick_device("auto") == torch.device("cpu")
