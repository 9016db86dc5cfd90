"""`train:` how the network is fitted."""

from typing import Annotated, Literal, Self, TypeAlias

from pydantic import Field, model_validator

from ann.config.augment import AugmentParams
from ann.config.losses import AutoLoss, LossParams
from ann.config.optimizers import AdamW, OptimizerParams
from ann.config.schedules import Cosine, ScheduleOfLR
from ann.config.section import Section, default_tag


class EarlyStopping(Section):
    """Stop when what is watched no longer improves; the best weights are restored in any case."""

    watch: str = "loss"
    """`loss`, or a metric of the task such as auc or accuracy, both on validation rows."""
    patience: int = Field(default=8, ge=1)
    """Epochs without improvement before training stops."""
    min_delta: float = Field(default=0.0, ge=0)
    """A smaller improvement does not count."""
    window: int = Field(default=1, ge=1)
    """Epochs whose mean is compared: more than 1 steadies a noisy loss. The best weights are those of one epoch."""


class EMA(Section):
    """Exponential moving average of the weights, evaluated and exported in their place (Polyak & Juditsky 1992)."""

    name: Literal["ema"]
    """Chooses this one."""
    decay: float = Field(default=0.999, gt=0, lt=1)
    """Share of the average that stays at each step; in the first steps less, (1 + step) / (10 + step)."""


class SWA(Section):
    """Mean of the weights after each late epoch, evaluated and exported in their place (arXiv:1803.05407)."""

    name: Literal["swa"]
    """Chooses this one."""
    start: float = Field(default=0.75, ge=0, lt=1)
    """Share of all epochs after which averaging starts."""


AverageParams: TypeAlias = Annotated[EMA | SWA, Field(discriminator="name"), default_tag("name", "ema")]


class TrainParams(Section):
    """How the network is fitted."""

    epochs: int = Field(default=30, ge=1, le=100_000)
    """Greatest number of passes over the training rows."""
    batch_size: int = Field(default=256, ge=2)
    """Rows an optimizer step, over all processes."""
    accumulate: int = Field(default=1, ge=1)
    """Parts in which a batch goes through the network: the same step with less memory (BatchNorm sees the parts)."""
    loss: LossParams = AutoLoss()
    """What is made small."""
    optimizer: OptimizerParams = AdamW()
    """Optimizer and its settings."""
    schedule: ScheduleOfLR = Cosine()
    """Learning rate over the steps."""
    early_stopping: EarlyStopping | None = EarlyStopping()
    """When to stop before `epochs`; null runs all of them."""
    l1: float = Field(default=0.0, ge=0)
    """L1 penalty, which draws weights to zero; biases and normalisation weights are excluded."""
    clip_norm: float | None = Field(default=1.0, gt=0)
    """Greatest norm of all gradients together; null does not clip."""
    clip_value: float | None = Field(default=None, gt=0)
    """Greatest absolute value of a single gradient; null does not clip."""
    average: AverageParams | None = None
    """Weights averaged over steps (ema) or epochs (swa); null takes them as they are."""
    sampling: Literal["shuffle", "balanced"] = "shuffle"
    """`shuffle` sees every row once an epoch; `balanced` draws rows so that each class comes equally often."""
    augment: tuple[AugmentParams, ...] = ()
    """Changes of each training batch, in order."""
    recompute: bool = False
    """Keep no activations inside blocks and compute them again for the gradient: less memory, more time."""
    precision: Literal["auto", "fp32", "bf16", "fp16"] = "auto"
    """Of products and activations; weights stay fp32. `auto` is bf16 on CUDA, fp32 on the CPU."""
    engine: Literal["auto", "eager", "compiled", "graphed"] = "auto"
    """How a step runs: operator by operator, through torch.compile, or replayed as one CUDA graph."""
    deterministic: bool = True
    """On CUDA, take only kernels that give the same bits again; the CPU always does."""
    device: Literal["auto", "cpu", "cuda"] = "auto"
    """`auto` is CUDA where there is one."""
    threads: int | None = Field(default=None, ge=1)
    """CPU threads of torch; null takes torch's own choice."""
    processes: int = Field(default=1, ge=1)
    """Data-parallel processes on this machine, started by torchrun."""

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        if self.accumulate > self.batch_size // 2:
            raise ValueError(
                f"accumulate: {self.accumulate} parts of a batch of {self.batch_size} rows hold less than two rows "
                f"each: lower it, or raise batch_size"
            )
        if self.precision == "fp16" and self.optimizer.name in ("rmsprop", "muon"):
            raise ValueError(
                f"precision fp16 scales the loss, which {self.optimizer.name} does not support: "
                f"write bf16, or take adamw, adam, momentum or sgd"
            )
        return self
