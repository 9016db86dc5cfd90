"""`compress:` which smaller networks are tried, and which may be chosen."""

from typing import Annotated, Literal, Self, TypeAlias

from pydantic import Field, model_validator

from ann.config.section import Section


class Prune(Section):
    """Remove whole hidden units, those of the smallest weight norm, then train the smaller network on."""

    step: Literal["prune"]
    """Chooses this step."""
    ratio: float = Field(gt=0, lt=1)
    """Share of the units of each hidden layer that goes."""
    epochs: int = Field(default=5, ge=0)
    """Epochs of fine-tuning."""
    lr: float = Field(default=5e-4, gt=0)
    """Peak learning rate of fine-tuning."""


class Quantize(Section):
    """Store and multiply weights as int8 in ONNX Runtime; always the last step of a recipe."""

    step: Literal["quantize"]
    """Chooses this step."""
    mode: Literal["static", "dynamic"]
    """`static` calibrates activations on training rows; `dynamic` scales them per batch, so answers depend on it."""
    calibration_rows: int = Field(default=512, ge=16)
    """Training rows for calibration, all of them where there are fewer (static only)."""


StepParams: TypeAlias = Annotated[Prune | Quantize, Field(discriminator="step")]


class Recipe(Section):
    """A chain of steps that makes one variant."""

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9_-]*$")
    """Name of the variant in tables, files and MLflow."""
    steps: tuple[StepParams, ...] = Field(min_length=1)
    """Steps in order."""

    @property
    def prunes(self) -> bool:
        """Whether a step removes units."""
        return any(isinstance(step, Prune) for step in self.steps)

    @model_validator(mode="after")
    def _quantize_last(self) -> Self:
        if self.name == "fp32":
            raise ValueError("'fp32' is the name of the uncompressed network; choose another")
        if any(isinstance(step, Quantize) for step in self.steps[:-1]):
            raise ValueError("quantize must be the last step of a recipe: int8 networks are not trained further")
        return self


PRUNABLE = ("mlp",)
"""Families from which hidden units can be removed."""
DEFAULT_RECIPES = (
    Recipe(name="int8-dynamic", steps=(Quantize(step="quantize", mode="dynamic"),)),
    Recipe(name="int8-static", steps=(Quantize(step="quantize", mode="static"),)),
    Recipe(name="pruned", steps=(Prune(step="prune", ratio=0.5),)),
    Recipe(
        name="pruned-int8",
        steps=(Prune(step="prune", ratio=0.5), Quantize(step="quantize", mode="static")),
    ),
)


class CompressParams(Section):
    """Which smaller networks are tried, and which may be chosen."""

    recipes: tuple[Recipe, ...] = DEFAULT_RECIPES
    """Variants to make; plain fp32 always stands beside them."""
    metric: str | None = None
    """Validation metric whose drop is bounded; default: the first of the task, such as auc, accuracy or rmse."""
    max_drop: float = Field(default=0.003, ge=0, lt=1)
    """A variant may be chosen only if the upper bound of its paired drop of the metric is at most this; where numbers
    are predicted, the drop is a share of the plain network's value."""
    objective: Literal["latency", "bytes"] = "latency"
    """What the choice minimises among the variants that may be chosen."""
    batches: tuple[Annotated[int, Field(ge=1)], ...] = Field(default=(1, 256), min_length=1)
    """Batch sizes [rows] at which latency is measured."""
    rounds: int = Field(default=31, ge=5)
    """Interleaved rounds of the latency measurement."""

    def recipes_for(self, family: str) -> tuple[Recipe, ...]:
        """Return the recipes that the architecture can follow: units can be pruned from an mlp alone."""
        return tuple(recipe for recipe in self.recipes if family in PRUNABLE or not recipe.prunes)

    @model_validator(mode="after")
    def _names_differ(self) -> Self:
        names = [recipe.name for recipe in self.recipes]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise ValueError(f"recipe names must differ; given twice: {', '.join(twice)}")
        return self
