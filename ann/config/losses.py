"""`train.loss:` what training makes small; `name` chooses which fields follow."""

from typing import Annotated, Literal, TypeAlias

from pydantic import Field

from ann.config.section import Section, default_tag

ClassWeights: TypeAlias = (
    Literal["balanced"] | Annotated[tuple[Annotated[float, Field(gt=0)], ...], Field(min_length=2)]
)


class AutoLoss(Section):
    """By task, imbalance and outliers of the training rows; the log and the run say which and why."""

    name: Literal["auto"] = "auto"
    """Chooses this one."""


class CrossEntropy(Section):
    """Cross entropy of one class a row."""

    name: Literal["cross_entropy"]
    """Chooses this one."""
    label_smoothing: float = Field(default=0.0, ge=0, lt=1)
    """Share of the target probability spread over all classes."""
    class_weights: ClassWeights | None = None
    """How much a row of each class counts; `balanced` is inverse to how often it occurs."""


class NLL(Section):
    """Negative log-likelihood of log-probabilities: the same numbers as cross_entropy without smoothing."""

    name: Literal["nll"]
    """Chooses this one."""
    class_weights: ClassWeights | None = None
    """How much a row of each class counts; `balanced` is inverse to how often it occurs."""


class BCE(Section):
    """Binary cross entropy of the positive class, from its probability or (more exact) from its logit."""

    name: Literal["bce", "bce_with_logits"]
    """Chooses this one, and the form."""
    class_weights: ClassWeights | None = None
    """How much a row of each class counts; `balanced` is inverse to how often it occurs."""


class Focal(Section):
    """Focal loss: easy rows count less (Lin et al. 2017, arXiv:1708.02002)."""

    name: Literal["focal"]
    """Chooses this one."""
    gamma: float = Field(default=2.0, ge=0)
    """How fast the weight falls with the probability of the true class; 0 is cross entropy."""
    alpha: float | None = Field(default=None, gt=0, lt=1)
    """Weight of the positive class, 1 - alpha of the other (two classes only); null weighs them equally."""


class MSE(Section):
    """Mean squared error."""

    name: Literal["mse"]
    """Chooses this one."""


class MAE(Section):
    """Mean absolute error."""

    name: Literal["mae"]
    """Chooses this one."""


class Huber(Section):
    """Squared up to `delta`, linear beyond (Huber 1964)."""

    name: Literal["huber"]
    """Chooses this one."""
    delta: float = Field(default=1.0, gt=0)
    """Where the square ends [units of the scaled target]."""


class Quantile(Section):
    """Pinball loss: one output a quantile of `data.quantiles` (Koenker & Bassett 1978)."""

    name: Literal["quantile"]
    """Chooses this one."""


class CTC(Section):
    """Connectionist temporal classification (Graves et al. 2006): label sequences shorter than the input."""

    name: Literal["ctc"]
    """Chooses this one."""


LossParams: TypeAlias = Annotated[
    AutoLoss | CrossEntropy | NLL | BCE | Focal | MSE | MAE | Huber | Quantile | CTC,
    Field(discriminator="name"),
    default_tag("name", "auto"),
]
