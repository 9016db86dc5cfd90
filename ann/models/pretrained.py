"""Published networks for images without their last layer, and a head of one's own (transfer learning).

B images, U values that a backbone gives, K outputs.
"""

from collections.abc import Callable, Iterator, Sequence
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any, Self, cast

import torch
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.nn import functional

from ann.errors import ConfigError, did_you_mean
from ann.models.head import dense_head

HEADS = ("classifier", "fc", "head", "heads")
"""What torchvision calls the layers behind the backbone."""
FILES = (".bin", ".pt", ".pth", ".safetensors")
"""Endings of files of weights."""


class Pretrained(nn.Module):
    """Images, of three channels and of the backbone's size -> backbone -> head.

    Frozen blocks keep their weights, and stay in evaluation mode, so that their BatchNorm statistics do not move.
    """

    def __init__(
        self,
        *,
        channels: int,
        height: int,
        width: int,
        outputs: int,
        source: str,
        name: str,
        weights: str | None = None,
        freeze: str | int = "all",
        size: int | None = None,
        hidden: Sequence[int] = (),
        activation: str = "relu",
        norm: str = "layer",
        dropout: float = 0.0,
        folder: str | Path = ".",
    ) -> None:
        """`freeze` is `all`, `none` or the number of first blocks; paths start in `folder`, the project's.

        Raises:
            ConfigError: a package, network or file is not there, or does not fit the images.
        """
        super().__init__()
        if channels not in (1, 3):
            raise ConfigError(f"model.family pretrained takes images of 1 or 3 channels, not {channels}: choose cnn")
        self.size = size
        self.backbone: nn.Module = SOURCES[source](name, weights, Path(folder))
        self.frozen = frozen_blocks(self.backbone, freeze)
        for parameter in self._frozen_parameters():
            parameter.requires_grad_(False)
        sides = (size, size) if size else (height, width)
        self.head = dense_head(
            self._units(name, sides), hidden, outputs, activation=activation, norm=norm, dropout=dropout
        )
        self.train()

    def forward(self, inputs: dict[str, Tensor]) -> Tensor:
        """{"image": (B, 1 or 3, H, W)} -> (B, K)."""
        x = inputs["image"].expand(-1, 3, -1, -1)
        if self.size is not None:
            x = functional.interpolate(x, (self.size, self.size), mode="bilinear", align_corners=False)
        out: Tensor = self.head(self.backbone(x))
        return out

    def train(self, mode: bool = True) -> Self:
        """Set training mode, but for frozen blocks."""
        super().train(mode)
        for block in self.frozen:
            block.eval()
        return self

    def _frozen_parameters(self) -> Iterator[nn.Parameter]:
        """Yield those of frozen blocks, and those that stand in front of all blocks, such as positions."""
        if not self.frozen:
            return
        inside = {id(parameter) for block in blocks_of(self.backbone).values() for parameter in block.parameters()}
        yield from (parameter for parameter in self.backbone.parameters() if id(parameter) not in inside)
        for block in self.frozen:
            yield from block.parameters()

    def _units(self, name: str, sides: tuple[int, int]) -> int:
        """Return U, which a blank image tells."""
        try:
            with torch.no_grad():
                values = self.backbone.eval()(torch.zeros(1, 3, *sides))
        except (AssertionError, RuntimeError, ValueError) as error:
            raise ConfigError(
                f"model.name: {name} does not take images of {sides[0]} x {sides[1]} pixels: "
                f"set model.size to the side that it was made for ({error})"
            ) from error
        if not isinstance(values, Tensor) or values.ndim != 2:
            raise ConfigError(f"model.name: {name} does not give one vector an image: choose another network")
        return values.shape[1]


def frozen_blocks(backbone: nn.Module, freeze: str | int) -> list[nn.Module]:
    """Return the blocks that training leaves as they are; where all are, the backbone itself."""
    if freeze == "all":
        return [backbone]
    if freeze == "none":
        return []
    blocks = blocks_of(backbone)
    count = int(freeze)
    if count >= len(blocks):
        raise ConfigError(
            f"model.freeze: {count} of {len(blocks)} blocks leaves none to train: write all, or a smaller number; "
            f"the blocks are {', '.join(blocks)}"
        )
    return list(blocks.values())[:count]


def blocks_of(backbone: nn.Module) -> dict[str, nn.Module]:
    """Return the parts that have weights, in order: children, and of a child that is or holds a list its items."""
    blocks: dict[str, nn.Module] = {}
    children = _weighted(backbone)
    while len(children) == 1 and not _is_list(children[0][1]) and _weighted(children[0][1]):  # only wraps another
        outer, whole = children[0]
        children = [(f"{outer}.{name}", child) for name, child in _weighted(whole)]
    for name, child in children:
        lists = [("", child)] if _is_list(child) else [(part, inner) for part, inner in _weighted(child)]
        if any(_is_list(inner) for _, inner in lists):
            for part, inner in lists:
                prefix = f"{name}.{part}" if part else name
                items = _weighted(inner) if _is_list(inner) else [("", inner)]
                blocks |= {f"{prefix}.{item}".rstrip("."): block for item, block in items}
        else:
            blocks[name] = child
    return blocks


def _weighted(module: nn.Module) -> list[tuple[str, nn.Module]]:
    return [(name, child) for name, child in module.named_children() if any(True for _ in child.parameters())]


def _is_list(module: nn.Module) -> bool:
    return isinstance(module, nn.ModuleList | nn.Sequential)


def torchvision_backbone(name: str, weights: str | None, folder: Path) -> nn.Module:
    """Return torchvision's network, its last layer with weights taken away."""
    models = _package("torchvision").models
    known = models.list_models(module=models)
    if name not in known:
        raise ConfigError(f"model.name: torchvision has no network {name!r} for images{did_you_mean(name, known)}")
    path = weights_file(weights, folder)
    network: nn.Module = models.get_model(name, weights=None)
    if weights is not None and path is None:
        published = models.get_model_weights(name)
        if weights not in published.__members__ and weights != "DEFAULT":
            raise ConfigError(
                f"model.weights: torchvision publishes no weights {weights!r} of {name}"
                f"{did_you_mean(weights, [*published.__members__, 'DEFAULT'])}"
            )
        state = published[weights].get_state_dict(progress=False, check_hash=True, weights_only=True)
        network.load_state_dict(state)
    layers = [
        part
        for part, module in network.named_modules()
        if isinstance(module, nn.Linear | nn.Conv2d) and part.partition(".")[0] in HEADS
    ]
    if not layers or hasattr(network, "aux_logits"):  # which in training gives answers beside the last
        raise ConfigError(f"model.name: {name} of torchvision does not end in one layer: choose another network")
    network.set_submodule(layers[-1], nn.Identity())
    if path is not None:
        load_weights(network, path, behind=(layers[-1],))
    return network


def timm_backbone(name: str, weights: str | None, folder: Path) -> nn.Module:
    """Return timm's network without its classifier; published weights are a tag, such as a1_in1k."""
    timm = _package("timm")
    known = timm.list_models()
    if name not in known:
        raise ConfigError(f"model.name: timm has no network {name!r}{did_you_mean(name, known)}")
    path = weights_file(weights, folder)
    if weights is None or path is not None:
        network = timm.create_model(name, pretrained=False, num_classes=0)
        if path is not None:
            behind = network.pretrained_cfg.get("classifier") or "head"
            load_weights(network, path, behind=(behind,) if isinstance(behind, str) else tuple(behind))
        return cast(nn.Module, network)
    published = [full.partition(".")[2] for full in timm.list_pretrained(f"{name}.*")]
    if weights not in published:
        raise ConfigError(
            f"model.weights: timm publishes no weights {weights!r} of {name}{did_you_mean(weights, published)}"
        )
    return cast(nn.Module, timm.create_model(f"{name}.{weights}", pretrained=True, num_classes=0))


def transformers_backbone(name: str, weights: str | None, folder: Path) -> nn.Module:
    """Return a model of transformers for images, made to give one vector."""
    transformers = _package("transformers")
    config = _from_hub(transformers.AutoConfig.from_pretrained, "name", _local(name, folder))
    if weights is None:
        model: nn.Module = transformers.AutoModel.from_config(config)
    else:
        model, report = _from_hub(
            transformers.AutoModel.from_pretrained,
            "weights",
            _local(weights, folder),
            config=config,
            use_safetensors=True,
            output_loading_info=True,
        )
        _check_keys(weights, [key for key in report["missing_keys"] if not key.startswith("pooler.")], [])
    if model.main_input_name != "pixel_values":
        raise ConfigError(
            f"model.name: {name} of transformers reads {model.main_input_name}, not images; its tokenizer cannot stand "
            f"in an ONNX graph: choose a network for images, or the family text"
        )
    return ImageVector(model)


class ImageVector(nn.Module):
    """One vector an image: the class token of a transformer that has one, else the mean over places."""

    def __init__(self, model: Any) -> None:
        """Take the pooler away where it has weights: nothing here reads it, and they would never be trained."""
        super().__init__()
        if isinstance(pooler := getattr(model, "pooler", None), nn.Module) and any(True for _ in pooler.parameters()):
            model.pooler = None
        self.has_token = any(name.endswith("cls_token") for name, _ in model.named_parameters())
        self.model: nn.Module = model

    def forward(self, x: Tensor) -> Tensor:
        """(B, 3, H, W) -> (B, U)."""
        states: Tensor = self.model(pixel_values=x).last_hidden_state
        if states.ndim == 4:
            return states.mean(dim=(2, 3))
        return states[:, 0] if self.has_token else states.mean(dim=1)


def weights_file(weights: str | None, folder: Path) -> Path | None:
    """Return the file that `weights` names, or None where it is the name of published ones.

    Raises:
        ConfigError: it reads like a file and there is none.
    """
    if weights is None:
        return None
    path = folder / weights
    if path.is_file():
        return path
    if path.suffix in FILES or len(path.parts) > len(folder.parts) + 1:
        raise ConfigError(f"model.weights: there is no file {path}: correct the path, or write null for random weights")
    return None


def load_weights(network: nn.Module, path: Path, *, behind: tuple[str, ...]) -> None:
    """Load a file of tensors without unpickling anything else; those of the parts `behind` are left out.

    Raises:
        ConfigError: names or shapes are those of another network.
    """
    state: dict[str, Tensor]
    if path.suffix == ".safetensors":
        state = load_file(path)
    else:
        state = torch.load(path, map_location="cpu", weights_only=True)
    left = {key: value for key, value in state.items() if not key.startswith(tuple(f"{part}." for part in behind))}
    try:
        found = network.load_state_dict(left, strict=False)
    except RuntimeError as error:
        raise ConfigError(f"model.weights: {path} holds weights of another network ({error})") from error
    _check_keys(str(path), found.missing_keys, found.unexpected_keys)


def _check_keys(weights: str, missing: Sequence[str], strange: Sequence[str]) -> None:
    if missing or strange:
        parts = [f"lacks {missing[0]}" for _ in missing[:1]] + [f"has {strange[0]} too many" for _ in strange[:1]]
        raise ConfigError(
            f"model.weights: {weights} holds weights of another network, it {' and '.join(parts)}: "
            f"take those of model.name"
        )


def _local(name: str, folder: Path) -> str:
    return str(folder / name) if (folder / name).is_dir() else name


def _from_hub(load: Callable[..., Any], field: str, name: str, **settings: Any) -> Any:
    try:
        return load(name, **settings)
    except (OSError, ValueError) as error:
        raise ConfigError(f"model.{field}: transformers cannot load {name}: {error}") from error


def _package(name: str) -> ModuleType:
    try:
        return import_module(name)
    except ModuleNotFoundError as error:
        raise ConfigError(
            f"model.source: {name} is not installed ({error}): pip install ann-pipeline[pretrained]"
        ) from error
    except RuntimeError as error:  # torchvision beside a torch that it was not built for
        raise ConfigError(
            f"model.source: {name} does not fit this torch ({error}): install the pair of one build"
        ) from error


SOURCES: dict[str, Callable[[str, str | None, Path], nn.Module]] = {
    "timm": timm_backbone,
    "torchvision": torchvision_backbone,
    "transformers": transformers_backbone,
}
