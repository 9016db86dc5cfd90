"""Mixed precision ends within noise of fp32, and an overflow costs a step and not the training."""

import pytest
import torch

from ann.config.train import TrainParams
from ann.data.batches import TensorData
from ann.models.mlp import MLP
from ann.training.fit import fit
from ann.training.objective import build_objective
from ann.training.precision import GROWTH_STEPS, LossScale, pick_precision
from ann.training.state import start_state
from ann.training.step import train_step

CPU = torch.device("cpu")


def rows(count: int, seed: int) -> TensorData:
    random = torch.Generator().manual_seed(seed)
    x = torch.randn(count, 8, generator=random)
    return TensorData({"numeric": x}, (x[:, :3].sum(1) > 0).long())


def new_network() -> MLP:
    torch.manual_seed(1)
    return MLP(width=8, sizes=[], outputs=2, hidden=[32, 16], dropout=0.0)


@pytest.mark.parametrize("precision", ["bf16", "fp16"])
def test_the_final_loss_is_that_of_fp32_to_a_few_thousandths(precision: str) -> None:
    losses = []
    for wanted in ("fp32", precision):
        params = TrainParams(epochs=6, batch_size=32, precision=wanted, optimizer={"lr": 0.01})
        losses.append(fit(new_network(), rows(600, 0), rows(300, 1), params, seed=0).best_loss)
    assert losses[0] < 0.2
    assert losses[1] == pytest.approx(losses[0], abs=0.02)
    assert losses[1] != losses[0]


@pytest.mark.parametrize("clip_norm", [None, 0.05])
def test_a_step_in_fp16_is_that_of_fp32_but_for_rounding(clip_norm: float | None) -> None:
    moves = []
    for precision in ("fp32", "fp16"):
        network, data = new_network(), rows(64, 0)
        before = network.head.weight.detach().clone()
        params = TrainParams(
            batch_size=64, precision=precision, clip_norm=clip_norm, optimizer={"name": "sgd", "lr": 0.1}
        )
        state = start_state(network, data, params, build_objective(network, data, params))
        train_step(state, data, len(data), 0.1)
        moves.append(before - network.head.weight.detach())
    torch.testing.assert_close(moves[1], moves[0], rtol=0.02, atol=1e-5)


def test_an_overflow_skips_the_step_and_halves_the_scale() -> None:
    network, data = new_network(), rows(64, 0)
    params = TrainParams(batch_size=64, precision="fp16", optimizer={"name": "adamw"})
    state = start_state(network, data, params, build_objective(network, data, params))
    state.scale.scale.fill_(2.0**60)
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    train_step(state, data, len(data), 0.1)
    assert all(torch.equal(tensor, before[name]) for name, tensor in network.state_dict().items())
    assert state.scale.scale.item() == 2.0**59
    for _ in range(50):
        train_step(state, data, len(data), 0.1)
    assert state.scale.scale.item() < 2.0**30
    assert not torch.equal(network.head.weight, before["head.weight"])
    assert all(torch.isfinite(parameter).all() for parameter in network.parameters())


def test_the_scale_doubles_after_many_steps_without_overflow() -> None:
    scale = LossScale.of("fp16", CPU)
    first = scale.scale.item()
    for _ in range(GROWTH_STEPS):
        scale.update(torch.tensor(0.0))
    assert scale.scale.item() == 2 * first
    scale.update(torch.tensor(0.0))
    assert (scale.scale.item(), scale.streak.item()) == (2 * first, 1)


def test_the_processor_takes_fp32_unless_told_otherwise() -> None:
    assert [pick_precision(wanted, CPU) for wanted in ("auto", "bf16", "fp16", "fp32")] == [
        "fp32",
        "bf16",
        "fp16",
        "fp32",
    ]
    assert LossScale.of("bf16", CPU) is None
