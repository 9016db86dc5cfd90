"""Make the variants that `compress.recipes` describes from a trained network."""

from collections.abc import Iterator
from dataclasses import dataclass

import onnx
from torch import nn

from ann.compression.bench import Bench, Draft, packed
from ann.compression.choice import FP32
from ann.compression.integers import quantized
from ann.compression.quantization import quantizable
from ann.compression.steps import apply
from ann.config.compress import DEFAULT_RECIPES, Recipe
from ann.config.model import Architecture
from ann.config.steps import Quantize, StepParams
from ann.models.chains import told_or_found


@dataclass(frozen=True)
class Variant:
    """A network made smaller; `network` and `model` describe the float network that its graph was made from."""

    name: str
    recipe: str
    graph: onnx.ModelProto
    network: nn.Module
    model: Architecture | None
    quantized: bool


def recipes_for(bench: Bench, recipes: tuple[Recipe, ...] | None) -> tuple[Recipe, ...]:
    """Return the recipes; by default those that the network can follow: has units to remove, layers to quantize."""
    if recipes is not None:
        return recipes
    prunable = bool(told_or_found(bench.network, bench.example))
    return tuple(
        recipe
        for recipe in DEFAULT_RECIPES
        if (prunable or not recipe.prunes)
        and all(quantizable(bench.graph, step.mode) for step in recipe.steps if isinstance(step, Quantize))
    )


def make_variants(bench: Bench, recipes: tuple[Recipe, ...]) -> Iterator[Variant]:
    """Yield plain fp32, then one variant a recipe; what several recipes begin with is made once.

    Raises:
        ConfigError: a step does not fit the network.
        StageError: training diverges, or a graph does not answer what its network answers.
    """
    plain = Draft(bench.network, bench.model)
    drafts: dict[tuple[StepParams, ...], Draft] = {(): plain}
    graphs: dict[tuple[StepParams, ...], onnx.ModelProto] = {(): bench.graph}
    yield Variant(FP32, "the trained network", bench.graph, plain.network, plain.model, quantized=False)
    for recipe in recipes:
        floats = tuple(step for step in recipe.steps if not isinstance(step, Quantize))
        for count, step in enumerate(floats):
            if floats[: count + 1] not in drafts:
                drafts[floats[: count + 1]] = apply(step, drafts[floats[:count]], bench)
        draft = drafts[floats]
        if floats not in graphs:
            graphs[floats] = bench.exported(draft)
        graph = graphs[floats]
        if isinstance(last := recipe.steps[-1], Quantize):
            draft, graph = quantized(last, draft, graph, bench)
        told = " -> ".join(draft.done)
        yield Variant(recipe.name, told, packed(graph, draft), draft.network, draft.model, isinstance(last, Quantize))
