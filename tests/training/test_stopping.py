"""When training stops, and that the best weights are in the network however it ends."""

import math

import pytest
import torch
from torch import Tensor, nn

from ann.config.optimizers import AdamW
from ann.config.train import EarlyStopping, TrainParams
from ann.data.batches import TensorData
from ann.models.mlp import MLP
from ann.training.fit import fit
from ann.training.state import EpochRecord
from ann.training.stopping import BestWeights


def answers(losses: list[float], patience: int | None, min_delta: float = 0.0) -> tuple[list[bool], BestWeights]:
    best = BestWeights(patience, min_delta)
    network = nn.Linear(1, 1)
    return [best.update(epoch, loss, network) for epoch, loss in enumerate(losses, start=1)], best


def test_training_stops_after_patience_epochs_without_improvement() -> None:
    stops, best = answers([1.0, 0.9, 0.95, 0.93, 0.91], patience=3)
    assert stops == [False, False, False, False, True]
    assert (best.epoch, best.value) == (2, 0.9)


def test_an_improvement_starts_the_wait_anew() -> None:
    stops, _ = answers([1.0, 1.1, 0.9, 1.1, 0.8, 1.1, 1.1], patience=2)
    assert stops == [False] * 6 + [True]


def test_an_equal_loss_is_no_improvement_and_keeps_the_earlier_epoch() -> None:
    stops, best = answers([1.0, 1.0, 1.0], patience=2)
    assert stops == [False, False, True]
    assert best.epoch == 1


def test_a_fall_within_min_delta_does_not_count_but_its_weights_are_the_best() -> None:
    stops, best = answers([1.0, 0.95, 0.92], patience=2, min_delta=0.1)
    assert stops == [False, False, True]
    assert (best.epoch, best.value) == (3, 0.92)


def test_slow_falls_add_up_to_an_improvement() -> None:
    stops, _ = answers([1.0, 0.94, 0.88, 0.82, 0.76], patience=2, min_delta=0.1)
    assert stops == [False] * 5


def test_without_patience_training_never_stops() -> None:
    stops, best = answers([1.0] * 1000, patience=None)
    assert not any(stops)
    assert best.epoch == 1


def test_a_loss_that_is_not_a_number_is_never_the_best() -> None:
    stops, best = answers([math.nan, 1.0, math.nan], patience=None)
    assert (best.epoch, best.value) == (2, 1.0)
    assert stops == [False] * 3


def test_restore_brings_back_the_weights_of_the_best_epoch_alone() -> None:
    network, best = nn.Linear(1, 1), BestWeights(None)
    for epoch, loss in enumerate([3.0, 1.0, 2.0], start=1):
        nn.init.constant_(network.weight, epoch)
        best.update(epoch, loss, network)
    nn.init.constant_(network.weight, 99)
    best.restore(network)
    assert network.weight.item() == 2


def test_restoring_before_any_epoch_changes_nothing() -> None:
    network = nn.Linear(2, 2)
    before = network.weight.detach().clone()
    BestWeights(3).restore(network)
    assert torch.equal(network.weight, before)


class Watched:
    """A network that gets worse on validation rows from the first epoch on, and its state after each epoch."""

    def __init__(self) -> None:
        random = torch.Generator().manual_seed(0)
        inputs = {"numeric": torch.randn(64, 4, generator=random)}
        target = (inputs["numeric"][:, 0] > 0).long()
        self.train, self.valid = TensorData(inputs, target), TensorData(inputs, 1 - target)
        torch.manual_seed(0)
        self.network = MLP(width=4, sizes=[], outputs=2, hidden=[8], norm="batch", dropout=0.0)
        self.states: list[dict[str, Tensor]] = []
        self.losses: list[float] = []

    def __call__(self, record: EpochRecord) -> None:
        self.states.append({name: tensor.clone() for name, tensor in self.network.state_dict().items()})
        self.losses.append(record.valid_loss)

    def fit(self, *callbacks: object, stopping: EarlyStopping | None = None) -> object:
        params = TrainParams(epochs=5, batch_size=16, optimizer=AdamW(lr=0.05), early_stopping=stopping)
        return fit(self.network, self.train, self.valid, params, seed=0, callbacks=(self, *callbacks))

    def holds_the_first_epoch(self) -> bool:
        assert min(self.losses) == self.losses[0]  # what the wrong labels are there for
        now = self.network.state_dict()
        assert any(not torch.equal(now[name], self.states[-1][name]) for name in now)
        return all(torch.equal(now[name], self.states[0][name]) for name in now)


def test_the_best_weights_remain_after_the_last_epoch() -> None:
    watched = Watched()
    result = watched.fit()
    assert watched.holds_the_first_epoch()
    assert len(result.history) == 5
    assert (result.best_epoch, result.best_loss, result.stopped_early) == (1, watched.losses[0], False)


def test_the_best_weights_remain_after_stopping_early() -> None:
    watched = Watched()
    result = watched.fit(stopping=EarlyStopping(patience=2))
    assert watched.holds_the_first_epoch()
    assert (len(result.history), result.stopped_early) == (3, True)


@pytest.mark.parametrize("error", [KeyboardInterrupt, RuntimeError])
def test_the_best_weights_remain_after_an_interruption(error: type[BaseException]) -> None:
    watched = Watched()

    def interrupt(record: EpochRecord) -> None:
        if record.epoch == 3:
            raise error

    with pytest.raises(error):
        watched.fit(interrupt)
    assert len(watched.losses) == 3
    assert watched.holds_the_first_epoch()
