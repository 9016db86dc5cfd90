"""Fine-tuning: what a step has changed learns again, by the truth and, if wanted, by the uncompressed network."""

from torch import Tensor, nn

from ann.config.optimizers import AdamW
from ann.config.schedules import Cosine
from ann.config.train import TrainParams
from ann.data.batches import TensorData
from ann.data.target import Target
from ann.training.distillation import fit_taught
from ann.training.fit import fit
from ann.training.objective import build_objective
from ann.training.step import DivergenceError


def tune(
    network: nn.Module,
    *,
    train: TensorData,
    valid: TensorData,
    target: Target,
    settings: TrainParams,
    epochs: int,
    lr: float,
    seed: int,
    teacher: nn.Module | Tensor | None = None,
    share: float = 0.0,
    temperature: float = 1.0,
) -> None:
    """Train `network` in place and leave it in evaluation mode with the weights of its best epoch.

    AdamW from `lr` down half a cosine for all `epochs`; what else `settings` say of training holds. `share` of the
    loss asks for the answers of the `teacher`, which is as `fit_taught` takes it, on the rows' device. Without epochs
    nothing happens.

    Raises:
        StageError: training diverges, or the teacher answers another target.
    """
    if not epochs:
        return
    params = settings.model_copy(
        update={
            "epochs": epochs,
            "optimizer": AdamW(lr=lr),
            "schedule": Cosine(warmup=0.0),
            "early_stopping": None,
        }
    )
    try:
        if teacher is None or not share:
            fit(network, train, valid, params, seed=seed, objective=build_objective(network, train, params, target))
        else:
            fit_taught(
                network, teacher, train, valid, params, target=target, alpha=share, temperature=temperature, seed=seed
            )
    except DivergenceError as error:
        raise DivergenceError(f"{error}; this is fine-tuning, whose lr {lr:g} stands in compress.recipes") from None
    network.eval()
