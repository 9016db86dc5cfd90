"""Keep the best weights, and stop when they no longer improve."""

import math
from dataclasses import dataclass, field

from torch import Tensor, nn


@dataclass
class BestWeights:
    """The weights of the epoch with the least watched value; patience None never stops.

    A metric of which more is better is given negated.
    """

    patience: int | None = None
    min_delta: float = 0.0
    window: int = 1
    value: float = math.inf
    epoch: int = 0
    weights: dict[str, Tensor] = field(default_factory=dict, repr=False)
    reference: float = math.inf
    waited: int = 0
    recent: list[float] = field(default_factory=list)

    def update(self, epoch: int, value: float, network: nn.Module) -> bool:
        """Take note of an epoch; return whether training should stop.

        What must improve by `min_delta` within `patience` epochs is the mean of the last `window` values.
        """
        if value < self.value:
            self.value, self.epoch = value, epoch
            self.weights = {name: tensor.detach().clone() for name, tensor in network.state_dict().items()}
        self.recent = [*self.recent, value][-self.window :]
        mean = sum(self.recent) / len(self.recent)
        if mean < self.reference - self.min_delta:
            self.reference, self.waited = mean, 0
        else:
            self.waited += 1
        return self.patience is not None and self.waited >= self.patience

    def restore(self, network: nn.Module) -> None:
        """Load the best weights into the network; an untrained one stays as it is."""
        if self.weights:
            network.load_state_dict(self.weights)
