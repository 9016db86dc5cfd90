"""Pretrained networks: loading, freezing, size, refusals, export; each library where it is installed."""

import importlib
import json
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from pydantic import ValidationError
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.nn import functional

from ann.config.networks import PretrainedParams
from ann.data.batches import TensorData
from ann.errors import ConfigError
from ann.export.network import export_network, run_network
from ann.models import pretrained
from ann.models.pretrained import Pretrained, blocks_of

RESNET = {
    "model_type": "resnet",
    "architectures": ["ResNetModel"],
    "embedding_size": 8,
    "hidden_sizes": [8, 12],
    "depths": [1, 2],
    "layer_type": "basic",
}
VIT = {
    "model_type": "vit",
    "architectures": ["ViTModel"],
    "hidden_size": 16,
    "num_hidden_layers": 3,
    "num_attention_heads": 2,
    "intermediate_size": 24,
    "image_size": 32,
    "patch_size": 8,
}
BERT = {"model_type": "bert", "hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "vocab_size": 20}


def library(name: str) -> Any:
    """Return a library, or skip the test where it is not there or does not fit this torch."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return importlib.import_module(name)
    except (ImportError, RuntimeError) as error:
        pytest.skip(f"{name} cannot be used here ({error}): pip install ann-pipeline[pretrained]")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A project with the configurations of two models for images and one for texts."""
    for name, config in (("resnet", RESNET), ("vit", VIT), ("bert", BERT)):
        (tmp_path / name).mkdir()
        (tmp_path / name / "config.json").write_text(json.dumps(config))
    return tmp_path


def build(folder: Path, name: str, source: str = "transformers", seed: int = 1, **settings: Any) -> Pretrained:
    library(source)
    sides = {key: settings.pop(key, value) for key, value in (("channels", 3), ("height", 32), ("width", 32))}
    model = PretrainedParams(family="pretrained", source=source, name=name, **{"dropout": 0.0, **settings})
    torch.manual_seed(seed)
    return Pretrained(**sides, outputs=4, folder=folder, **model.model_dump(exclude={"family"}))


def images(count: int = 6, channels: int = 3, side: int = 32, seed: int = 0) -> dict[str, Tensor]:
    return {"image": torch.randn(count, channels, side, side, generator=torch.Generator().manual_seed(seed))}


def step(network: nn.Module, inputs: dict[str, Tensor]) -> None:
    """Take one large step of gradient descent in training mode."""
    trained = [parameter for parameter in network.parameters() if parameter.requires_grad]
    optimizer = torch.optim.SGD(trained, lr=0.5, weight_decay=0.1)
    functional.cross_entropy(network.train()(inputs), torch.arange(len(inputs["image"])) % 4).backward()
    optimizer.step()


def changed(network: nn.Module, before: dict[str, Tensor]) -> set[str]:
    return {name for name, value in network.state_dict().items() if not torch.equal(value, before[name])}


def snapshot(network: nn.Module) -> dict[str, Tensor]:
    return {name: value.clone() for name, value in network.state_dict().items()}


@pytest.mark.parametrize("name", ["resnet", "vit"])
def test_a_frozen_backbone_never_changes_and_the_head_does(folder: Path, name: str) -> None:
    network = build(folder, name, freeze="all", hidden=(8,))
    before = snapshot(network)
    step(network, images())
    assert changed(network, before) == {key for key in before if key.startswith("head.")}
    assert not any(module.training for module in network.backbone.modules())
    assert network.head.training


@pytest.mark.parametrize("name", ["resnet", "vit"])
def test_without_freezing_every_weight_and_statistic_changes(folder: Path, name: str) -> None:
    network = build(folder, name, freeze="none")
    before = snapshot(network)
    step(network, images())
    still = set(before) - changed(network, before)
    assert all(key.endswith("key.bias") or "mask_token" in key for key in still), still  # a softmax cancels that bias


@pytest.mark.parametrize(("name", "count"), [("resnet", 1), ("resnet", 2), ("vit", 1), ("vit", 2)])
def test_the_first_blocks_stay_with_their_statistics_and_the_rest_learns(folder: Path, name: str, count: int) -> None:
    network = build(folder, name, freeze=count)
    blocks = [f"backbone.{block}." for block in blocks_of(network.backbone)]
    before = snapshot(network)
    step(network, images())
    moved = changed(network, before)
    assert not any(key.startswith(tuple(blocks[:count])) for key in moved)
    for block in blocks[count:]:
        assert any(key.startswith(block) for key in moved), block
    assert not any("position" in key or "cls_token" in key for key in moved)
    assert all(block.training for block in list(blocks_of(network.backbone).values())[count:])


def test_blocks_are_counted_in_order(folder: Path) -> None:
    assert [name.removeprefix("model.") for name in blocks_of(build(folder, "resnet").backbone)] == [
        "embedder",
        "encoder.stages.0",
        "encoder.stages.1",
    ]
    assert len(blocks_of(build(folder, "vit").backbone)) == 5  # embeddings, three layers, the last norm


def test_freezing_everything_by_number_is_refused_and_names_the_blocks(folder: Path) -> None:
    with pytest.raises(ConfigError, match=r"3 of 3 blocks leaves none to train: write all, .*encoder.stages.1"):
        build(folder, "resnet", freeze=3)


@pytest.mark.parametrize("name", ["resnet", "vit"])
def test_saved_weights_are_loaded_and_the_seed_decides_others(folder: Path, name: str) -> None:
    transformers = library("transformers")
    torch.manual_seed(5)
    config = transformers.AutoConfig.from_pretrained(folder / name)
    saved = transformers.AutoModel.from_config(config).eval()
    saved.save_pretrained(folder / "saved")
    network = build(folder, name, weights="saved").eval()
    states = saved(pixel_values=images()["image"]).last_hidden_state
    expected = states[:, 0] if name == "vit" else states.mean(dim=(2, 3))
    torch.testing.assert_close(network.backbone(images()["image"]), expected)
    assert torch.equal(build(folder, name).head[-1].weight, build(folder, name).head[-1].weight)
    drawn = [build(folder, name, seed=seed).eval().backbone(images()["image"]) for seed in (1, 1, 2)]
    assert torch.equal(drawn[0], drawn[1])
    assert not torch.allclose(drawn[0], drawn[2], atol=1e-3)


def test_weights_that_are_pickled_or_of_another_network_are_refused(folder: Path) -> None:
    transformers = library("transformers")
    model = transformers.AutoModel.from_config(transformers.AutoConfig.from_pretrained(folder / "resnet"))
    (folder / "pickled").mkdir()
    (folder / "pickled" / "config.json").write_text(json.dumps(RESNET))
    torch.save(model.state_dict(), folder / "pickled" / "pytorch_model.bin")
    with pytest.raises(ConfigError, match=r"model.weights: transformers cannot load .*pickled"):
        build(folder, "resnet", weights="pickled")
    state = {key: value for key, value in model.state_dict().items() if "stages.1" not in key}
    (folder / "short").mkdir()
    (folder / "short" / "config.json").write_text(json.dumps(RESNET))
    save_file(state, folder / "short" / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(ConfigError, match=r"short holds weights of another network, it lacks .*stages.1"):
        build(folder, "resnet", weights="short")


@pytest.mark.parametrize("name", ["resnet", "vit"])
def test_one_channel_is_repeated_and_images_are_brought_to_size(folder: Path, name: str) -> None:
    network = build(folder, name, channels=1, height=20, width=20, size=32).eval()
    grey = images(3, channels=1, side=20)["image"]
    large = functional.interpolate(grey.repeat(1, 3, 1, 1), (32, 32), mode="bilinear")
    torch.testing.assert_close(network({"image": grey}), network.head(network.backbone(large)))


@pytest.mark.parametrize("name", ["resnet", "vit"])
def test_parameter_counts_are_those_of_the_model_without_its_pooler_and_the_head(folder: Path, name: str) -> None:
    transformers = library("transformers")
    model = transformers.AutoModel.from_config(transformers.AutoConfig.from_pretrained(folder / name))
    inner = sum(p.numel() for key, p in model.named_parameters() if not key.startswith("pooler"))
    units = {"resnet": 12, "vit": 16}[name]
    network = build(folder, name, hidden=(5,))
    assert sum(p.numel() for p in network.parameters()) == inner + units * 5 + 5 + 2 * 5 + 5 * 4 + 4


@pytest.mark.parametrize("name", ["resnet", "vit"])
def test_it_learns_64_random_labels_by_heart(folder: Path, name: str) -> None:
    network, inputs = build(folder, name, freeze="none", hidden=(32,)), images(64)
    labels = torch.randint(4, (64,), generator=torch.Generator().manual_seed(5))
    optimizer = torch.optim.Adam(network.parameters(), lr=0.005)
    for _ in range(60):
        optimizer.zero_grad()
        functional.cross_entropy(network(inputs), labels).backward()
        optimizer.step()
    assert torch.equal(network(inputs).argmax(dim=1), labels)


@pytest.mark.parametrize(("name", "settings"), [("resnet", {}), ("vit", {"channels": 1, "height": 20, "size": 32})])
def test_the_exported_graph_agrees_for_any_number_of_images(folder: Path, name: str, settings: dict[str, Any]) -> None:
    network = build(folder, name, **{**settings, "width": settings.get("height", 32)}).eval()
    side, channels = settings.get("height", 32), settings.get("channels", 3)
    graph = export_network(network, TensorData(images(4, channels, side), torch.zeros(4)))
    for count in (1, 2, 9):
        inputs = images(count, channels, side, seed=count)
        found = run_network(graph, {"image": inputs["image"].numpy()})
        np.testing.assert_allclose(found, network(inputs).detach().numpy(), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(
    ("name", "settings", "words"),
    [
        ("vit", {"height": 30, "width": 30}, "vit does not take images of 30 x 30 pixels: set model.size"),
        ("bert", {}, "bert of transformers reads input_ids, not images; its tokenizer cannot stand in an ONNX graph"),
        ("resnet", {"channels": 2}, "takes images of 1 or 3 channels, not 2"),
    ],
)
def test_what_does_not_fit_is_refused(folder: Path, name: str, settings: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        build(folder, name, **settings)


@pytest.mark.parametrize("source", ["timm", "torchvision", "transformers"])
def test_a_missing_package_is_one_clear_line(source: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def absent(name: str) -> None:
        raise ModuleNotFoundError(f"No module named {name!r}", name=name)

    monkeypatch.setattr(pretrained, "import_module", absent)
    with pytest.raises(ConfigError, match=rf"{source} is not installed .*: pip install ann-pipeline\[pretrained\]"):
        Pretrained(channels=3, height=8, width=8, outputs=2, source=source, name="resnet18")


def test_a_number_of_blocks_is_one_at_least() -> None:
    with pytest.raises(ValidationError, match="greater than or equal to 1"):
        PretrainedParams(family="pretrained", source="timm", name="resnet18", freeze=0)


@pytest.mark.parametrize(
    ("source", "name", "head"),
    [
        ("torchvision", "resnet18", ("fc.",)),
        ("torchvision", "mobilenet_v3_small", ("classifier.3.",)),
        ("torchvision", "squeezenet1_1", ("classifier.1.",)),
        ("timm", "resnet18", ("fc.",)),
        ("timm", "mobilenetv3_small_050", ("classifier.",)),
    ],
)
@pytest.mark.parametrize("ending", ["safetensors", "pth"])
def test_files_of_weights_are_loaded_but_for_the_last_layer(
    tmp_path: Path, source: str, name: str, head: tuple[str, ...], ending: str
) -> None:
    made = library(source)
    torch.manual_seed(9)
    whole = made.create_model(name) if source == "timm" else made.models.get_model(name, weights=None)
    state = whole.state_dict()
    if ending == "pth":
        torch.save(state, tmp_path / "weights.pth")
    else:
        save_file(state, tmp_path / "weights.safetensors")
    network = build(tmp_path, name, source, weights=f"weights.{ending}")
    own = network.backbone.state_dict()
    assert set(own) == {key for key in state if not key.startswith(head)}
    assert all(torch.equal(own[key], state[key]) for key in own)
    before = snapshot(network)
    step(network, images())
    assert changed(network, before) == {"head.0.weight", "head.0.bias"}


@pytest.mark.parametrize("source", ["timm", "torchvision"])
def test_wrong_names_and_files_are_refused(tmp_path: Path, source: str) -> None:
    for settings, words in (
        ({"name": "resnet81"}, "has no network 'resnet81'.*did you mean"),
        ({"name": "resnet18", "weights": "nowhere.safetensors"}, "there is no file .*nowhere.safetensors"),
        ({"name": "resnet18", "weights": "folder/nowhere"}, "there is no file .*nowhere"),
        ({"name": "resnet18", "weights": "IMAGENET"}, "publishes no weights 'IMAGENET' of resnet18"),
    ):
        with pytest.raises(ConfigError, match=words):
            build(tmp_path, source=source, **settings)


@pytest.mark.filterwarnings("ignore:The default weight initialization:FutureWarning")
def test_a_file_of_another_network_is_refused(tmp_path: Path) -> None:
    torchvision = library("torchvision")
    state = torchvision.models.get_model("resnet34", weights=None).state_dict()
    save_file(state, tmp_path / "other.safetensors")
    with pytest.raises(ConfigError, match=r"holds weights of another network, it has layer1.2.* too many"):
        build(tmp_path, "resnet18", "torchvision", weights="other.safetensors")
    with pytest.raises(ConfigError, match="googlenet of torchvision does not end in one layer"):
        build(tmp_path, "googlenet", "torchvision")
