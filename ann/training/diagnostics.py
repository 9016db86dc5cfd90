"""What goes on inside a network: gradients and weights layer by layer, dead units, and warnings in words."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from ann.data.batches import TensorData
from ann.training.prediction import predict_logits
from ann.training.state import EpochRecord

VANISHING, EXPLODING = 1e-6, 100.0
"""Norms of a layer's gradient outside of these are warned about."""
CONSTANT = 1e-6
"""A unit whose output deviates less than this over all rows tells the next layer nothing."""
MANY_DEAD = 0.5
BINS = 40
ROWS = 2048
"""Rows that dead units are looked for in."""


@dataclass(frozen=True)
class WeightReport:
    """The weights of one layer; `counts` are those of BINS bins between `low` and `high`."""

    layer: str
    shape: tuple[int, ...]
    mean: float
    std: float
    low: float
    high: float
    counts: tuple[int, ...]


@dataclass(frozen=True)
class UnitReport:
    """The outputs of one activation: how many units, and the share that is the same for every row."""

    layer: str
    kind: str
    units: int
    dead: float


@dataclass(frozen=True)
class Diagnosis:
    """All layers in the network's order, and what is wrong with them."""

    weights: tuple[WeightReport, ...]
    units: tuple[UnitReport, ...]
    warnings: tuple[str, ...]


def diagnose(network: nn.Module, data: TensorData, history: Sequence[EpochRecord]) -> Diagnosis:
    """Look at the weights, at the outputs for the first rows of `data`, and at the gradients of each epoch."""
    weights = tuple(
        weight_report(name.removesuffix(".weight"), parameter)
        for name, parameter in network.named_parameters()
        if parameter.ndim >= 2
    )
    units = dead_units(network, next(data.batches(ROWS)))
    dying = (
        f"{report.layer} ({report.kind}): {report.dead:.0%} of {report.units} units are the same for every row; "
        f"lower train.optimizer.lr, or take an activation that does not die"
        for report in units
        if report.dead > MANY_DEAD
    )
    return Diagnosis(weights, units, (*gradient_warnings(history), *dying))


def weight_report(layer: str, weights: Tensor) -> WeightReport:
    """Return moments and histogram of a layer's weights, of any shape."""
    values = weights.detach().float().cpu().flatten()
    low, high = values.min().item(), values.max().item()
    counts = torch.histc(values, bins=BINS, min=low, max=high) if high > low else torch.tensor([len(values)])
    mean, std = values.mean().item(), values.std(correction=0).item()
    return WeightReport(layer, tuple(weights.shape), mean, std, low, high, tuple(map(int, counts.tolist())))


def dead_units(network: nn.Module, rows: TensorData) -> tuple[UnitReport, ...]:
    """Return one report for each activation, in the order of computation; a channel counts as one unit."""
    reports = []
    with _outputs(network) as outputs:
        predict_logits(network, rows)
    for name, module, output in outputs:
        channels_last = output.ndim < 4  # (B, F) and (B, T, F) against images (B, C, H, W)
        flat = (output if channels_last else output.movedim(1, -1)).reshape(
            -1, output.shape[-1 if channels_last else 1]
        )
        dead = (flat.float().std(dim=0, correction=0) < CONSTANT).float().mean().item()
        reports.append(UnitReport(name, type(module).__name__, flat.shape[1], dead))
    return tuple(reports)


def gradient_warnings(history: Sequence[EpochRecord]) -> Iterator[str]:
    """Yield a sentence for each layer whose gradient vanished or exploded at the end of an epoch."""
    for layer in history[0].layer_norms if history else ():
        norms = {record.epoch: record.layer_norms[layer] for record in history}
        small = {epoch: norm for epoch, norm in norms.items() if norm < VANISHING}
        large = {epoch: norm for epoch, norm in norms.items() if norm > EXPLODING}
        for kind, found, advice in (
            ("vanishing", small, "take another activation, norm or initialisation"),
            ("exploding", large, "lower train.optimizer.lr or set train.clip_norm"),
        ):
            if found:
                epoch, norm = next(iter(found.items()))
                yield (
                    f"{layer}: {kind} gradient, norm {norm:.2g} in epoch {epoch} "
                    f"({len(found)} of {len(norms)} epochs); {advice}"
                )


@contextmanager
def _outputs(network: nn.Module) -> Iterator[list[tuple[str, nn.Module, Tensor]]]:
    """Collect (name, module, output) of every activation that runs in the block."""
    found: list[tuple[str, nn.Module, Tensor]] = []
    hooks = []
    for name, module in network.named_modules():
        if type(module).__module__ == nn.ReLU.__module__ and next(module.parameters(), None) is None:

            def note(module: nn.Module, _: object, output: Tensor, name: str = name) -> None:
                found.append((name, module, output))

            hooks.append(module.register_forward_hook(note))
    try:
        yield found
    finally:
        for hook in hooks:
            hook.remove()
