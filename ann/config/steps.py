"""Steps of a compression recipe; `step` chooses which fields follow."""

from typing import Annotated, Literal, Self, TypeAlias

from pydantic import BeforeValidator, Field, model_validator

from ann.config.model import Architecture
from ann.config.section import Section


def _part(value: object) -> object:
    if value == "most" or (isinstance(value, float) and 0 < value < 1):
        return value
    raise ValueError(f"must be a number above 0 and below 1, or most, got {value!r}")


Part: TypeAlias = Annotated[float | Literal["most"], BeforeValidator(_part)]


class Tuned(Section):
    """What a step trains after its change."""

    epochs: int = Field(default=5, ge=0)
    """Epochs of fine-tuning."""
    lr: float = Field(default=5e-4, gt=0, le=10)
    """Peak learning rate of fine-tuning."""
    distil: float = Field(default=0.0, ge=0, le=1)
    """Share of the loss that asks for the answers of the uncompressed network in place of the truth."""


class Prune(Tuned):
    """Remove whole units (hidden units, channels, attention heads), the least important ones: tensors shrink."""

    step: Literal["prune"]
    """Chooses this step."""
    ratio: Part = 0.5
    """Share of `of` that goes; `most` looks for the greatest share that `max_drop` allows."""
    of: Literal["units", "parameters", "flops", "latency"] = "units"
    """What the ratio is a share of; latency is that of ONNX Runtime at the largest of `batches`."""
    importance: Literal["norm", "taylor"] = "norm"
    """By the norms of a unit's weights, or by what the loss of training rows would change without it."""
    scope: Literal["layer", "global"] = "layer"
    """The same share of every layer, or the least important units of the whole network."""
    rounds: int = Field(default=1, ge=1, le=100)
    """Rounds of removing and fine-tuning, `epochs` each."""


class Sparsify(Tuned):
    """Set the smallest weights to zero: tensors stay as large, but their file packs them."""

    step: Literal["sparsify"]
    """Chooses this step."""
    sparsity: Part | None = None
    """Share of weights that are zero in the end; `most` looks for the greatest that `max_drop` allows. Null is 0.8, or
    0.5 for 2:4."""
    pattern: Literal["any", "2:4"] = "any"
    """`2:4` keeps two of each four neighbours in a row, which GPUs from NVIDIA's Ampere on multiply faster."""
    scope: Literal["layer", "global"] = "layer"
    """The same share of every layer, or the smallest weights of the whole network."""
    rounds: int = Field(default=1, ge=1, le=100)
    """Rounds in which zeros are added by a cubic schedule (Zhu & Gupta 2017), with `epochs` of fine-tuning each."""
    rewind: int | None = Field(default=None, ge=0)
    """Epoch of the first training to whose values the remaining weights go back before each fine-tuning: lottery
    tickets (Frankle et al. 2019). Null goes on with the weights as they are."""

    @model_validator(mode="after")
    def _half(self) -> Self:
        if self.pattern == "2:4" and self.sparsity not in (None, 0.5):
            raise ValueError(f"sparsity: 2:4 makes half of the weights zero, not {self.sparsity}: leave sparsity out")
        return self

    @property
    def share(self) -> float | Literal["most"]:
        """The sparsity, a null made plain."""
        return self.sparsity if self.sparsity is not None else (0.5 if self.pattern == "2:4" else 0.8)


class ShareWeights(Tuned):
    """Let the weights of a layer take few different values, which k-means finds (Han et al. 2016)."""

    step: Literal["share"]
    """Chooses this step."""
    values: int = Field(default=16, ge=2, le=256)
    """Different values other than zero that a layer may have."""


class Distil(Section):
    """Train a smaller network by the answers of the larger one (Hinton et al. 2015)."""

    step: Literal["distil"]
    """Chooses this step."""
    model: Annotated[Architecture, Field(discriminator="family")] | None = None
    """Architecture of the smaller network, as in the section `model`; null trains what the steps before have left."""
    teacher: Literal["network", "champion"] = "network"
    """`network` is the trained one; `champion` the registered model that holds the alias."""
    alpha: float = Field(default=0.7, ge=0, le=1)
    """Share of the loss that asks for the teacher's answers."""
    temperature: float = Field(default=3.0, gt=0)
    """By what logits are divided before they are compared."""
    epochs: int | None = Field(default=None, ge=1)
    """Epochs; null takes those of the section `train`."""
    lr: float | None = Field(default=None, gt=0, le=10)
    """Peak learning rate; null takes that of the section `train`."""


class Quantize(Tuned):
    """Store weights in few bits; always the last step of a recipe."""

    step: Literal["quantize"]
    """Chooses this step."""
    mode: Literal["static", "dynamic", "aware", "weights"]
    """`static` calibrates activations on training rows; `dynamic` scales them per batch, so answers depend on it;
    `aware` is static, after training with int8 in mind; `weights` leaves activations in float."""
    bits: Literal[4, 8] = 8
    """Of a weight; 4 goes with `weights` alone."""
    calibration: Literal["minmax", "entropy", "percentile"] = "minmax"
    """How the range of an activation is found (static only)."""
    calibration_rows: int = Field(default=512, ge=16)
    """Training rows for calibration, all of them where there are fewer."""
    sensitive: Literal["float", "quantize"] = "float"
    """Layers whose quantization costs more than `max_drop` allows stay in float, the worst first; or never."""

    @model_validator(mode="after")
    def _eight_bits(self) -> Self:
        if self.bits == 4 and self.mode != "weights":
            raise ValueError(f"bits: 4 goes with mode weights, not {self.mode}: write 8, or mode weights")
        return self


StepParams: TypeAlias = Annotated[Prune | Sparsify | ShareWeights | Distil | Quantize, Field(discriminator="step")]
