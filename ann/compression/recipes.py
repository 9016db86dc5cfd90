"""Make the variants that `compress.recipes` describes from a trained network."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import onnx
from torch import nn

from ann.compression.choice import FP32
from ann.compression.pruning import prune_mlp
from ann.compression.quantization import quantize
from ann.config.compress import Prune, Recipe
from ann.config.layers import MLPParams
from ann.config.model import Architecture
from ann.config.optimizers import AdamW
from ann.config.schedules import Cosine
from ann.config.train import TrainParams
from ann.data.batches import TensorData
from ann.data.target import Target
from ann.export.network import export_network, verify_network
from ann.models.mlp import MLP
from ann.seeding import generator, stream_seed
from ann.training.fit import fit
from ann.training.objective import build_objective


@dataclass(frozen=True)
class Variant:
    """A network made smaller; `network` and `model` describe the float network that its graph was made from."""

    name: str
    recipe: str
    graph: onnx.ModelProto
    network: nn.Module
    model: Architecture
    quantized: bool


def make_variants(
    network: nn.Module,
    model: Architecture,
    recipes: tuple[Recipe, ...],
    *,
    train: TensorData,
    valid: TensorData,
    target: Target,
    settings: TrainParams,
    seed: int,
) -> Iterator[Variant]:
    """Yield plain fp32, then one variant a recipe; a float network that several recipes share is made once."""
    made: dict[tuple[Prune, ...], tuple[nn.Module, Architecture, onnx.ModelProto]] = {
        (): (network, model, _export(network, valid, target))
    }
    yield Variant(FP32, "the trained network", made[()][2], network, model, quantized=False)
    for recipe in recipes:
        prunes = tuple(step for step in recipe.steps if isinstance(step, Prune))
        for count in range(1, len(prunes) + 1):
            if prunes[:count] not in made:
                smaller, params = _prune(
                    *made[prunes[: count - 1]][:2], prunes[count - 1], train, valid, target, settings, seed
                )
                made[prunes[:count]] = (smaller, params, _export(smaller, valid, target))
        small, params, graph = made[prunes]
        last = recipe.steps[-1]
        quantized = not isinstance(last, Prune)
        if not isinstance(last, Prune):
            rows = calibration_rows(train, last.calibration_rows, seed) if last.mode == "static" else {}
            graph = quantize(graph, last.mode, rows)
        yield Variant(recipe.name, describe(recipe), graph, small, params, quantized)


def describe(recipe: Recipe) -> str:
    """Return a recipe as one readable line."""
    return " -> ".join(
        f"prune {step.ratio:.0%} of units, {step.epochs} epochs" if isinstance(step, Prune) else f"int8 {step.mode}"
        for step in recipe.steps
    )


def calibration_rows(train: TensorData, count: int, seed: int) -> dict[str, np.ndarray]:
    """Return a seeded sample of at most `count` training rows by group."""
    rows = np.sort(generator(seed, "calibration").choice(len(train), size=min(count, len(train)), replace=False))
    return {name: tensor.cpu().numpy()[rows] for name, tensor in train.inputs.items()}


def _prune(
    network: nn.Module,
    model: Architecture,
    step: Prune,
    train: TensorData,
    valid: TensorData,
    target: Target,
    settings: TrainParams,
    seed: int,
) -> tuple[nn.Module, Architecture]:
    assert isinstance(network, MLP)
    assert isinstance(model, MLPParams)
    smaller, params = prune_mlp(network, model, step.ratio)
    smaller.to(train.target.device)
    if step.epochs:
        tuning = settings.model_copy(
            update={
                "epochs": step.epochs,
                "optimizer": AdamW(lr=step.lr),
                "schedule": Cosine(warmup=0.0),
                "early_stopping": None,
            }
        )
        objective = build_objective(smaller, train, tuning, target)
        seed = stream_seed(seed, f"prune/{step.ratio}") % 2**31
        fit(smaller, train, valid, tuning, seed=seed, objective=objective)
    return smaller, params


def _export(network: nn.Module, valid: TensorData, target: Target) -> onnx.ModelProto:
    graph = export_network(network, valid)
    verify_network(graph, network, valid, target)
    network.to(valid.target.device)
    return graph
