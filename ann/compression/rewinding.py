"""The weights of an earlier epoch of the first training, which its seed brings back bit for bit."""

from collections.abc import Mapping

from torch import Tensor, nn

from ann.config.train import TrainParams
from ann.data.batches import TensorData
from ann.training.fit import fit
from ann.training.objective import Objective
from ann.training.state import EpochRecord

Weights = Mapping[str, Tensor]


def weights_after(
    epoch: int,
    network: nn.Module,
    *,
    train: TensorData,
    valid: TensorData,
    settings: TrainParams,
    objective: Objective,
    seed: int,
) -> Weights:
    """Train an untrained `network` for `epoch` epochs of the schedule of all, and return its state.

    Where training ends before that epoch, the state is that of its end. 0 is the state before training.
    """
    if epoch == 0:
        return _state(network)

    def stop(record: EpochRecord) -> None:
        if record.epoch + 1 == epoch:
            raise _ReachedError(_state(network))

    try:
        fit(network, train, valid, settings, seed=seed, objective=objective, callbacks=[stop])
    except _ReachedError as reached:
        return reached.weights
    return _state(network)


class _ReachedError(Exception):
    """The epoch that was wanted is over."""

    def __init__(self, weights: Weights) -> None:
        super().__init__()
        self.weights = weights


def _state(network: nn.Module) -> Weights:
    return {name: tensor.detach().clone() for name, tensor in network.state_dict().items()}
