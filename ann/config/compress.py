"""`compress:` which smaller networks are tried, and which may be chosen."""

from itertools import pairwise
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from ann.config.section import Section
from ann.config.steps import Distil, Prune, Quantize, ShareWeights, Sparsify, StepParams

ORDER: tuple[tuple[type, ...], ...] = ((Prune, Distil), (Sparsify,), (ShareWeights,), (Quantize,))
"""What may follow what: a step never undoes one before it."""


class Recipe(Section):
    """A chain of steps that makes one variant."""

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9_-]*$")
    """Name of the variant in tables, files and MLflow."""
    steps: tuple[StepParams, ...] = Field(min_length=1)
    """Steps in order: prune and distil, then sparsify, then share, then quantize."""

    @property
    def prunes(self) -> bool:
        """Whether a step removes units."""
        return any(isinstance(step, Prune) for step in self.steps)

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        if self.name == "fp32":
            raise ValueError("'fp32' is the name of the uncompressed network; choose another")
        if any(isinstance(step, Quantize) for step in self.steps[:-1]):
            raise ValueError("quantize must be the last step of a recipe: int8 networks are not trained further")
        for before, after in pairwise(self.steps):
            if _rank(before) > _rank(after):
                raise ValueError(f"{after.step} cannot follow {before.step}, which it would undo: put it in front")
            if isinstance(after, Distil) and after.model is not None:
                raise ValueError(
                    f"distil with a model of its own starts anew, so {before.step} before it is lost: "
                    f"put distil in front, or leave its model out"
                )
        return self


def _rank(step: StepParams) -> int:
    return next(rank for rank, kinds in enumerate(ORDER) if isinstance(step, kinds))


DEFAULT_RECIPES = (
    Recipe(name="int8-dynamic", steps=(Quantize(step="quantize", mode="dynamic"),)),
    Recipe(name="int8-static", steps=(Quantize(step="quantize", mode="static"),)),
    Recipe(name="pruned", steps=(Prune(step="prune"),)),
    Recipe(name="pruned-int8", steps=(Prune(step="prune"), Quantize(step="quantize", mode="static"))),
)


class CompressParams(Section):
    """Which smaller networks are tried, and which may be chosen."""

    recipes: tuple[Recipe, ...] | None = None
    """Variants to make; plain fp32 always stands beside them. Null takes int8-dynamic, int8-static, and, where the
    network has units that can be removed, pruned and pruned-int8."""
    metric: str | None = None
    """Validation metric whose drop is bounded; default: the first of the task, such as auc, accuracy or rmse."""
    max_drop: float = Field(default=0.003, ge=0, lt=1)
    """A variant may be chosen only if the upper bound of its paired drop of the metric is at most this; where numbers
    are predicted, the drop is a share of the plain network's value."""
    objective: Literal["latency", "bytes", "flops"] = "latency"
    """What the choice minimises among the variants that may be chosen; flops are multiply-adds of a row, which stand
    for energy."""
    batches: tuple[Annotated[int, Field(ge=1)], ...] = Field(default=(1, 256), min_length=1)
    """Batch sizes [rows] at which latency is measured."""
    rounds: int = Field(default=31, ge=5)
    """Interleaved rounds of the latency measurement."""

    @model_validator(mode="after")
    def _names_differ(self) -> Self:
        names = [recipe.name for recipe in self.recipes or ()]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise ValueError(f"recipe names must differ; given twice: {', '.join(twice)}")
        return self
