"""Zeros: which weights go, that they stay away while a network is trained, and lottery tickets."""

from collections.abc import Callable
from copy import deepcopy

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from ann.compression.sparsity import (
    Masks,
    apply,
    check_two_of_four,
    cubic,
    kept_masks,
    magnitude_masks,
    parameter_of,
    sparsify,
    sparsity_of,
    two_of_four,
    weights_of,
)
from ann.config.losses import CrossEntropy
from ann.config.optimizers import SGD, Adam, AdamW, Momentum, Muon, RMSprop
from ann.config.schedules import Constant
from ann.config.train import EMA, SWA, TrainParams
from ann.data.batches import TensorData
from ann.errors import ConfigError, StageError
from ann.models.mlp import MLP
from ann.models.text import Text
from ann.training.fit import fit


def mlp(norm: str = "layer", hidden: tuple[int, ...] = (32, 16)) -> MLP:
    torch.manual_seed(11)
    return MLP(width=4, sizes=[5], outputs=3, hidden=list(hidden), dropout=0.0, norm=norm)


def lstm() -> Text:
    torch.manual_seed(11)
    encoder = {"name": "lstm", "units": 8, "layers": 1, "bidirectional": True, "pooling": "last", "dropout": 0.0}
    return Text(words=20, length=6, outputs=3, encoder=encoder, embedding=8)


def table(count: int = 64) -> TensorData:
    random = torch.Generator().manual_seed(0)
    inputs = {
        "numeric": torch.randn(count, 4, generator=random),
        "categorical": torch.randint(5, (count, 1), generator=random),
        "text": torch.randint(1, 20, (count, 6), generator=random),
    }
    return TensorData(inputs, (inputs["numeric"][:, 0] > 0).long())


def settings(**changes: object) -> TrainParams:
    return TrainParams(**{"epochs": 3, "batch_size": 16, "early_stopping": None, **changes})


def state(network: nn.Module) -> dict[str, Tensor]:
    return {name: tensor.clone() for name, tensor in network.state_dict().items()}


def untrained(network: nn.Module, masks: Masks) -> None:
    """Tune nothing."""


def dead_are_zero(network: nn.Module, masks: Masks) -> bool:
    return all(not parameter_of(network, name)[~mask].any() for name, mask in masks.items())


def test_matrices_and_kernels_are_masked_but_not_biases_norms_and_embeddings() -> None:
    assert set(weights_of(mlp("batch"))) == {"blocks.0.0.weight", "blocks.1.0.weight", "head.weight"}
    cells = {f"encoder.{way}.0.weight_{part}_l0" for way in ("forwards", "backwards") for part in ("ih", "hh")}
    assert set(weights_of(lstm())) == {*cells, "head.0.weight"}
    attention = nn.MultiheadAttention(8, 2, add_bias_kv=True)
    assert set(weights_of(attention)) == {"in_proj_weight", "out_proj.weight"}
    assert set(weights_of(nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU()))) == {"0.weight"}


def test_a_weight_that_two_layers_share_is_masked_once() -> None:
    first, second = nn.Linear(4, 4), nn.Linear(4, 4)
    second.weight = first.weight
    assert set(weights_of(nn.Sequential(first, second))) == {"0.weight"}


def test_a_network_without_weights_is_an_error_with_a_way_out() -> None:
    with pytest.raises(ConfigError, match=r"no Linear, convolutional or recurrent weights .* leave sparsify and share"):
        magnitude_masks(nn.Embedding(4, 4), 0.5)


@pytest.mark.parametrize("share", [0.1, 0.5, 0.93])
def test_the_smallest_of_each_layer_go(share: float) -> None:
    network = mlp()
    for name, mask in magnitude_masks(network, share).items():
        weight = network.get_parameter(name).detach().abs().numpy()
        gone = round(share * weight.size)
        assert int((~mask).sum()) == gone
        assert set(np.flatnonzero(~mask.numpy())) == set(np.argsort(weight.ravel(), kind="stable")[:gone])


def test_the_smallest_of_the_whole_network_go_but_each_layer_keeps_one() -> None:
    network = mlp()
    with torch.no_grad():
        network.head.weight.mul_(1e-6)
    masks = magnitude_masks(network, 0.8, "global")
    total = sum(mask.numel() for mask in masks.values())
    assert sum(int((~mask).sum()) for mask in masks.values()) == round(0.8 * total) - 1
    assert int(masks["head.weight"].sum()) == 1
    assert masks["head.weight"].flatten()[network.head.weight.abs().argmax()]
    threshold = max(network.get_parameter(name)[~mask].abs().max() for name, mask in masks.items())
    others = ["blocks.0.0.weight", "blocks.1.0.weight"]
    assert all(network.get_parameter(name)[masks[name]].abs().min() >= threshold for name in others)


def test_equal_weights_go_from_the_first_on() -> None:
    network = nn.Linear(4, 2)
    nn.init.ones_(network.weight)
    [mask] = magnitude_masks(network, 0.5).values()
    assert mask.tolist() == [[False] * 4, [True] * 4]


@pytest.mark.parametrize("scope", ["layer", "global"])
def test_what_is_dead_stays_dead_and_counts(scope: str) -> None:
    network = mlp()
    before = magnitude_masks(network, 0.5, scope)
    with torch.no_grad():  # as after a rewind
        for name, mask in before.items():
            network.get_parameter(name)[~mask] = 100
    after = magnitude_masks(network, 0.7, scope, before)
    fewer = magnitude_masks(network, 0.2, scope, before)
    assert not any((after[name] & ~before[name]).any() for name in before)
    assert all(torch.equal(fewer[name], before[name]) for name in before)
    gone = sum(int((~mask).sum()) for mask in after.values())
    assert gone == pytest.approx(0.7 * sum(mask.numel() for mask in after.values()), abs=2)


def test_two_of_each_four_inputs_stay_the_greater_ones() -> None:
    network = nn.Linear(10, 3)
    [mask] = two_of_four(network).values()
    weight = network.weight.detach().abs()
    for group in (slice(0, 4), slice(4, 8)):
        best = weight[:, group].topk(2).indices.sort().values
        assert torch.equal(mask[:, group].nonzero()[:, 1].view(3, 2), best)
    assert mask[:, 8:].all()


def test_two_of_four_runs_along_the_channels_of_a_kernel_and_the_inputs_of_a_cell() -> None:
    [mask] = two_of_four(nn.Conv2d(8, 5, 3)).values()
    assert (mask.view(5, 2, 4, 3, 3).sum(dim=2) == 2).all()
    masks = two_of_four(nn.LSTM(8, 4))
    assert all((mask.view(16, -1, 4).sum(dim=2) == 2).all() for mask in masks.values())


def test_the_pattern_is_checked() -> None:
    network = mlp()
    with pytest.raises(StageError, match=r"blocks\.0\.0\.weight has 4 weights other than zero among four neighbours"):
        check_two_of_four(network)
    apply(network, two_of_four(network))
    check_two_of_four(network)
    check_two_of_four(nn.Linear(3, 3))


@pytest.mark.parametrize(("share", "rounds"), [(0.9, 1), (0.9, 4), (0.5, 10)])
def test_the_schedule_is_that_of_zhu_and_gupta(share: float, rounds: int) -> None:
    found = cubic(share, rounds)
    assert found[-1] == share
    assert len(found) == rounds
    for number, value in enumerate(found, start=1):
        assert value == pytest.approx(share + (0 - share) * (1 - number / rounds) ** 3)


def test_sparsity_is_the_share_of_zeros() -> None:
    network = mlp()
    apply(network, magnitude_masks(network, 0.75))
    assert sparsity_of(network) == pytest.approx(0.75, abs=0.01)


OPTIMIZERS = [
    AdamW(lr=0.01),
    Adam(name="adam", lr=0.01),
    SGD(name="sgd", lr=0.1),
    Momentum(name="nesterov", lr=0.1),
    RMSprop(name="rmsprop", lr=0.01),
]


@pytest.mark.parametrize("optimizer", OPTIMIZERS, ids=lambda optimizer: optimizer.name)
def test_dead_weights_stay_exactly_zero_in_every_epoch_and_the_others_learn(optimizer: object) -> None:
    network = mlp("batch")
    masks = magnitude_masks(network, 0.6)
    before = state(network)
    zero: list[bool] = []
    with kept_masks(network, masks):
        fit(
            network,
            table(),
            table(32),
            settings(optimizer=optimizer),
            seed=0,
            callbacks=[lambda _: zero.append(dead_are_zero(network, masks))],
        )
    assert zero == [True] * 3
    assert dead_are_zero(network, masks)
    for name, mask in masks.items():
        assert (
            network.get_parameter(name)[mask] != before[name][mask]
        ).float().mean() > 0.5  # some units are read by none


@pytest.mark.parametrize(
    "changes", [{"average": EMA(name="ema")}, {"average": SWA(name="swa", start=0.3)}, {"l1": 0.01}, {"clip_norm": 0.1}]
)
def test_averages_and_penalties_leave_zeros_alone(changes: dict[str, object]) -> None:
    network = mlp()
    masks = magnitude_masks(network, 0.6)
    with kept_masks(network, masks):
        fit(network, table(), table(32), settings(**changes), seed=0)
        assert dead_are_zero(network, masks)


def test_muon_mixes_weights_so_they_are_zeroed_in_the_end() -> None:
    network = mlp()
    masks = magnitude_masks(network, 0.6)
    with kept_masks(network, masks):
        fit(network, table(), table(32), settings(optimizer=Muon(name="muon", lr=0.01)), seed=0)
    assert dead_are_zero(network, masks)


@pytest.mark.parametrize("build", [mlp, lstm, lambda: mlp(hidden=(512, 512))], ids=["mlp", "lstm", "large"])
def test_a_network_looks_the_same_before_and_after(build: Callable[[], nn.Module]) -> None:
    network = build()
    masks = magnitude_masks(network, 0.6)
    names, kinds = list(network.state_dict()), [type(module) for module in network.modules()]
    with kept_masks(network, masks):
        fit(network, table(), table(32), settings(epochs=1, optimizer=AdamW(lr=0.01)), seed=0)
        assert dead_are_zero(network, masks)
    assert list(network.state_dict()) == names
    assert [type(module) for module in network.modules()] == kinds
    assert not any(parameter._backward_hooks for parameter in network.parameters())
    assert all(parameter.is_leaf and parameter.requires_grad for parameter in network.parameters())
    deepcopy(network)


def test_training_under_masks_is_training_of_the_network_with_its_gradients_masked() -> None:
    """Compare with a plain loop that zeroes gradients by hand."""
    network, data = mlp(), table()
    other = deepcopy(network)
    masks = magnitude_masks(network, 0.6)
    plain = settings(
        optimizer=SGD(name="sgd", lr=0.1),
        schedule=Constant(name="constant"),
        loss=CrossEntropy(name="cross_entropy"),
        clip_norm=None,
        batch_size=64,
        epochs=1,
    )
    with kept_masks(network, masks):
        fit(network, data, data, plain, seed=0)
    apply(other, masks)
    nn.functional.cross_entropy(other.train()(data.inputs), data.target).backward()
    with torch.no_grad():
        for name, parameter in other.named_parameters():
            gradient = parameter.grad if name not in masks else parameter.grad * masks[name]
            parameter.sub_(gradient, alpha=0.1)
    for name, tensor in other.state_dict().items():
        torch.testing.assert_close(network.state_dict()[name], tensor, rtol=1e-4, atol=1e-6)


def test_a_frozen_weight_is_zeroed_all_the_same() -> None:
    network = mlp()
    network.blocks[0].requires_grad_(False)
    masks = magnitude_masks(network, 0.5)
    with kept_masks(network, masks):
        fit(network, table(), table(32), settings(epochs=1), seed=0)
    assert dead_are_zero(network, masks)


def test_masks_hold_beneath_a_parametrization_that_comes_or_went_before() -> None:
    class Doubled(nn.Module):
        def forward(self, weight: Tensor) -> Tensor:
            return weight * 2

    network = mlp()
    masks = magnitude_masks(network, 0.6)
    with kept_masks(network, masks):
        parametrize.register_parametrization(network.head, "weight", Doubled())
        with kept_masks(network, masks):
            fit(network, table(), table(32), settings(), seed=0)
        parametrize.remove_parametrizations(network.head, "weight")
        fit(network, table(), table(32), settings(), seed=1)
        assert dead_are_zero(network, masks)


def test_dead_weights_are_zero_after_an_error() -> None:
    network = mlp()
    masks = magnitude_masks(network, 0.6)

    def fail() -> None:
        with kept_masks(network, masks), torch.no_grad():
            network.head.weight.fill_(1)
            raise RuntimeError("stop")

    with pytest.raises(RuntimeError, match="stop"):
        fail()
    assert dead_are_zero(network, masks)
    assert not any(parameter._backward_hooks for parameter in network.parameters())


@pytest.mark.parametrize("pattern", ["any", "2:4"])
@pytest.mark.parametrize("rounds", [1, 3])
def test_rounds_zero_more_and_more_and_end_where_they_should(pattern: str, rounds: int) -> None:
    network, found = mlp(hidden=(32, 16)), []
    before = state(network)

    def tune(network: nn.Module, masks: Masks) -> None:
        found.append(sparsity_of(network))
        with kept_masks(network, masks):
            fit(network, table(), table(32), settings(epochs=1), seed=0)

    sparse, masks = sparsify(network, 0.5, rounds=rounds, pattern=pattern, scope="layer", rewind=None, tune=tune)
    assert found == sorted(found)
    assert found == pytest.approx(cubic(found[-1], rounds), abs=0.01)
    assert sparsity_of(sparse) == pytest.approx(found[-1], abs=1e-3)
    assert dead_are_zero(sparse, masks)
    if pattern == "2:4":
        check_two_of_four(sparse)
    else:
        assert sparsity_of(sparse) == pytest.approx(0.5, abs=0.01)
    assert all(torch.equal(tensor, before[name]) for name, tensor in network.state_dict().items())
    assert not sparse.training


def test_a_ticket_goes_back_to_early_weights_before_each_training() -> None:
    early = state(mlp("batch"))
    network = mlp("batch")
    fit(network, table(), table(32), settings(optimizer=AdamW(lr=0.01)), seed=0)
    trained = deepcopy(network)
    seen: list[Masks] = []

    def tune(network: nn.Module, masks: Masks) -> None:
        for name, tensor in network.state_dict().items():
            mask = masks.get(name)
            assert torch.equal(tensor, early[name] if mask is None else early[name] * mask)
        seen.append(masks)
        with kept_masks(network, masks):
            fit(network, table(), table(32), settings(optimizer=AdamW(lr=0.01)), seed=0)

    _, masks = sparsify(network, 0.8, rounds=2, pattern="any", scope="layer", rewind=early, tune=tune)
    expected = magnitude_masks(trained, cubic(0.8, 2)[0])
    assert all(torch.equal(seen[0][name], mask) for name, mask in expected.items())  # chosen by trained weights
    assert not any((seen[1][name] & ~seen[0][name]).any() for name in masks)


def test_what_an_earlier_step_killed_stays_dead() -> None:
    network = mlp()
    first, before = sparsify(network, 0.5, rounds=1, pattern="any", scope="layer", rewind=None, tune=untrained)
    _, masks = sparsify(first, 0.5, rounds=2, pattern="2:4", scope="layer", rewind=None, tune=untrained, before=before)
    assert not any((masks[name] & ~before[name]).any() for name in before)


def test_weights_of_another_shape_cannot_be_gone_back_to() -> None:
    with pytest.raises(ConfigError, match=r"rewind needs the network that was trained.*put sparsify first"):
        sparsify(
            mlp(),
            0.5,
            rounds=1,
            pattern="any",
            scope="layer",
            rewind=mlp(hidden=(8, 8)).state_dict(),
            tune=untrained,
        )


def test_the_same_network_gives_the_same_masks_and_dice_stay_where_they_were() -> None:
    dice = torch.random.get_rng_state()
    runs = []
    for _ in range(2):
        torch.random.set_rng_state(dice)
        network = nn.Sequential(nn.Conv2d(1, 4, 3), nn.Flatten(), nn.Linear(36, 3))
        after = torch.random.get_rng_state()
        runs.append(magnitude_masks(network, 0.7, "global") | {"2:4": next(iter(two_of_four(network).values()))})
        assert torch.equal(torch.random.get_rng_state(), after)
    assert all(torch.equal(mask, runs[1][name]) for name, mask in runs[0].items())
