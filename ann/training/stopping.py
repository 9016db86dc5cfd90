"""Keep the best weights, and stop when they no longer improve."""

import math
from dataclasses import dataclass, field

from torch import Tensor, nn


@dataclass
class BestWeights:
    """The weights of the epoch with the lowest validation loss; patience None never stops."""

    patience: int | None
    min_delta: float = 0.0
    loss: float = math.inf
    epoch: int = 0
    _weights: dict[str, Tensor] = field(default_factory=dict, repr=False)
    _reference: float = math.inf
    _waited: int = 0

    def update(self, epoch: int, loss: float, network: nn.Module) -> bool:
        """Take note of an epoch; return whether training should stop."""
        if loss < self.loss:
            self.loss, self.epoch = loss, epoch
            self._weights = {name: tensor.detach().clone() for name, tensor in network.state_dict().items()}
        if loss < self._reference - self.min_delta:
            self._reference, self._waited = loss, 0
        else:
            self._waited += 1
        return self.patience is not None and self._waited >= self.patience

    def restore(self, network: nn.Module) -> None:
        """Load the best weights into the network; an untrained one stays as it is."""
        if self._weights:
            network.load_state_dict(self._weights)
