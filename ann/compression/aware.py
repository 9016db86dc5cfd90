"""Quantization-aware training: the network is tuned while its layers compute as their int8 kernels will.

Jacob et al. 2018 (arXiv:1712.05877). Rounding has no gradient, so it is taken for the identity within the range
(straight-through; Bengio et al. 2013, arXiv:1308.3432). Scales are those that `ann.compression.qdq` writes.
"""

from collections.abc import Callable
from copy import deepcopy
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from ann.compression.affine import code_range
from ann.compression.folding import Inputs, fold_batchnorm, unfold_batchnorm
from ann.compression.layers import layers_of, output_place, weights_of
from ann.compression.qdq import ACTIVATION_BITS, WEIGHT_BITS, LayerRange, Range, Ranges
from ann.data.batches import TensorData
from ann.errors import StageError
from ann.export.network import export_network

MOMENTUM = 0.01
"""Share by which a batch moves a range."""
EXAMPLE_ROWS = 3
ROWS_AT_ONCE = 256
TINY = torch.finfo(torch.float32).tiny


def aware(
    network: nn.Module, rows: TensorData, tune: Callable[[nn.Module], None], *, momentum: float = MOMENTUM
) -> tuple[nn.Module, Ranges]:
    """Return a tuned copy with plain float weights, and the ranges by weight, with which `quantize` makes it int8.

    BatchNorm is folded before `tune` trains the network that it is given in place; the copy has it again, without
    effect. `rows` are training rows on the network's device, by which ranges begin; later batches move them.

    Raises:
        StageError: the network has no layer that can be quantized.
    """
    example = _example(rows)
    simulated = _simulated(network, example, momentum)
    _let_begin(simulated, rows)
    tune(simulated)
    ranges = {f"{name}.weight": layer.ranges() for name, layer in _aware_layers(simulated).items()}
    return unfold_batchnorm(simulated, network, example), ranges


def simulate(network: nn.Module, rows: TensorData, ranges: Ranges) -> nn.Module:
    """Return a copy that answers what the int8 graph of `network` with these ranges answers, but for float rounding."""
    simulated = fold_batchnorm(network, _example(rows))
    for name, found in ranges.items():
        layer = _made_aware(simulated.get_submodule(name.removesuffix(".weight")), 0.0)
        layer.entering.cover(found.input)
        if found.output is not None:
            layer.leaving = ActivationRange(0.0)
            layer.leaving.cover(found.output)
    return simulated.to(rows.target.device).eval()


def _example(rows: TensorData) -> Inputs:
    return {name: tensor[:EXAMPLE_ROWS] for name, tensor in rows.inputs.items()}


def _simulated(network: nn.Module, example: Inputs, momentum: float) -> nn.Module:
    """Return a folded copy whose layers know where the graph will quantize them."""
    folded = fold_batchnorm(network, example)
    cpu = TensorData({name: tensor.cpu() for name, tensor in example.items()}, torch.zeros(EXAMPLE_ROWS))
    graph = export_network(deepcopy(folded), cpu)
    names = weights_of(graph, {name: tensor.detach().cpu().numpy() for name, tensor in folded.state_dict().items()})
    modules = dict(folded.named_modules())
    layers = [
        layer
        for layer in layers_of(graph)
        if layer.node in names and type(modules.get(names[layer.node].removesuffix(".weight"))) in AWARE
    ]
    if not layers:
        raise StageError(
            "quantization-aware training finds no Linear, Conv1d or Conv2d in the network; "
            "remove the recipe from compress.recipes"
        )
    for layer in layers:
        module = _made_aware(modules[names[layer.node].removesuffix(".weight")], momentum)
        place = output_place(graph, layer, layers)
        if place is not None:
            module.leaving = ActivationRange(momentum, rectified=place != layer.output)
    return folded.to(next(iter(example.values())).device)


def _made_aware(module: nn.Module, momentum: float) -> "AwareLayer":
    """Give a layer the class that rounds, once: several nodes of a graph may read the same weight."""
    if not isinstance(module, AwareLayer):
        module.__class__ = AWARE[type(module)]
        assert isinstance(module, AwareLayer)
        module.entering, module.leaving = ActivationRange(momentum), nn.Identity()
    return module


@torch.no_grad()
def _let_begin(network: nn.Module, rows: TensorData) -> None:
    """Take least and greatest values over the rows, unquantized, as first ranges."""
    network.eval()
    for batch in rows.batches(ROWS_AT_ONCE):
        network(batch.inputs)
    for module in network.modules():
        if isinstance(module, ActivationRange):
            module.begun = True


def _aware_layers(network: nn.Module) -> "dict[str, AwareLayer]":
    return {name: module for name, module in network.named_modules() if isinstance(module, AwareLayer)}


class ActivationRange(nn.Module):
    """Rounds a tensor to 8 bits between two bounds that follow its least and greatest value."""

    low: Tensor
    high: Tensor

    def __init__(self, momentum: float, *, rectified: bool = False) -> None:
        """`rectified`: a Relu follows, so values below 0 need no codes."""
        super().__init__()
        self.momentum, self.rectified, self.begun = momentum, rectified, False
        self.register_buffer("low", torch.zeros(()))
        self.register_buffer("high", torch.zeros(()))

    def forward(self, x: Tensor) -> Tensor:
        """Any shape -> the same in float32."""
        x = x.float()
        if self.training or not self.begun:
            self._follow(x.detach())
        if not self.begun:
            return x
        codes = code_range(ACTIVATION_BITS, symmetric=False)
        return torch.fake_quantize_per_tensor_affine(x, *scale_of_activation(self.low, self.high), *codes)

    def scale(self) -> Tensor:
        """Return the () step between two codes."""
        return scale_of_activation(self.low, self.high)[0]

    def covered(self) -> Range:
        """Return the bounds."""
        return Range(self.low.item(), self.high.item())

    def cover(self, covered: Range) -> None:
        """Set the bounds."""
        self.low.fill_(covered.low)
        self.high.fill_(covered.high)
        self.begun = True

    def _follow(self, x: Tensor) -> None:
        low, high = x.aminmax()
        if self.rectified:
            low, high = low.clamp_min(0), high.clamp_min(0)
        if self.begun:
            self.low.lerp_(low, self.momentum)
            self.high.lerp_(high, self.momentum)
        else:
            torch.minimum(self.low, low, out=self.low)
            torch.maximum(self.high, high, out=self.high)


class AwareLayer(nn.Module):
    """A layer that rounds what enters it, its weight and, where the graph does, what leaves it.

    It takes the place of a layer's class, as parametrizations of the weight (masks, shared values) do on top of it.
    """

    weight: Tensor
    bias: Any
    entering: ActivationRange
    leaving: nn.Module

    def forward(self, x: Tensor) -> Tensor:
        """What the layer's own class does."""
        x = self.entering(x)
        weight_scale = scale_of_weight(self.weight)
        bias = self.bias
        if bias is not None and self.rounds_bias(x):
            bias = rounded_bias(bias, self.entering.scale() * weight_scale)
        y: Tensor = self.leaving(self.product(x, rounded_weight(self.weight, weight_scale), bias))
        return y

    def product(self, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        """Multiply by a weight and add a bias."""
        raise NotImplementedError

    def rounds_bias(self, x: Tensor) -> bool:
        """Say whether the kernel of the graph takes the bias."""
        del x
        return True

    def ranges(self) -> LayerRange:
        """Return what was found."""
        leaving = self.leaving.covered() if isinstance(self.leaving, ActivationRange) else None
        return LayerRange(self.entering.covered(), leaving)


class AwareLinear(AwareLayer, nn.Linear):
    """(..., F) -> (..., K)."""

    def product(self, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        """Multiply by a weight and add a bias."""
        return functional.linear(x, weight, bias)

    def rounds_bias(self, x: Tensor) -> bool:
        """Say whether the kernel takes the bias: beyond (B, F) a product is a MatMul, and the bias added in float."""
        return x.ndim == 2


class AwareConv1d(AwareLayer, nn.Conv1d):
    """(B, C, T) -> (B, K, T')."""

    def product(self, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        """Multiply by a weight and add a bias."""
        return self._conv_forward(x, weight, bias)


class AwareConv2d(AwareLayer, nn.Conv2d):
    """(B, C, H, W) -> (B, K, H', W')."""

    def product(self, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        """Multiply by a weight and add a bias."""
        return self._conv_forward(x, weight, bias)


def scale_of_weight(weight: Tensor) -> Tensor:
    """(K, ...) -> (K,), as the graph's weights will have them; a constant to the gradient."""
    scale = weight.detach().flatten(1).abs().amax(dim=1) / code_range(WEIGHT_BITS, symmetric=True)[1]
    return torch.where(scale >= TINY, scale, 1)


def rounded_weight(weight: Tensor, scale: Tensor) -> Tensor:
    """(K, ...), (K,) -> the weight rounded to its codes.

    torch's own operator asks the GPU whether its zero points are valid, which no CUDA graph can record.
    """
    scale = scale.view(-1, *[1] * (weight.ndim - 1))
    return weight + ((weight / scale).round() * scale - weight).detach()


def rounded_bias(bias: Tensor, scale: Tensor) -> Tensor:
    """(K,), (K,) -> the bias rounded to steps of the product's scale."""
    return bias + ((bias / scale).round() * scale - bias).detach()


def scale_of_activation(low: Tensor, high: Tensor) -> tuple[Tensor, Tensor]:
    """Return () scale and int32 zero point of a range, which is widened to contain 0."""
    lowest, highest = code_range(ACTIVATION_BITS, symmetric=False)
    low, high = low.clamp(max=0), high.clamp(min=0)
    scale = high / (highest - lowest) - low / (highest - lowest)
    scale = torch.where(scale >= TINY, scale, 1)
    return scale, (lowest - low / scale).round().clamp(lowest, highest).to(torch.int32)


AWARE: dict[type, type[AwareLayer]] = {nn.Conv1d: AwareConv1d, nn.Conv2d: AwareConv2d, nn.Linear: AwareLinear}
"""Layers by class; a subclass may compute something else, and stays in float."""
