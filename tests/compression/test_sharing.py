"""Few values: which ones, that they stay few while a network is trained, and that training them helps."""

from copy import deepcopy

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import settings as examples
from hypothesis import strategies as st
from sklearn.cluster import KMeans
from torch import Tensor, nn

from ann.compression.sharing import Codes, centres_of, share_weights, sharing
from ann.compression.sparsity import Masks, apply, magnitude_masks
from ann.config.optimizers import SGD, AdamW
from ann.config.train import EMA, TrainParams
from ann.data.batches import TensorData
from ann.errors import ConfigError
from ann.models.mlp import MLP
from ann.models.text import Text
from ann.training.fit import fit

WEIGHTS = ("blocks.0.0.weight", "blocks.1.0.weight", "head.weight", "embeddings.0.weight")


def mlp() -> MLP:
    torch.manual_seed(11)
    return MLP(width=4, sizes=[50], outputs=3, hidden=[32, 16], dropout=0.0)


def table(count: int = 96) -> TensorData:
    random = torch.Generator().manual_seed(0)
    numeric = torch.randn(count, 4, generator=random)
    inputs = {
        "numeric": numeric,
        "categorical": torch.randint(50, (count, 1), generator=random),
        "text": torch.randint(1, 20, (count, 6), generator=random),
    }
    return TensorData(inputs, (numeric[:, 0] > 0).long() + (numeric[:, 1] > 0).long())


def settings(**changes: object) -> TrainParams:
    return TrainParams(**{"epochs": 3, "batch_size": 16, "early_stopping": None, **changes})


def distinct(tensor: Tensor) -> int:
    return len(torch.unique(tensor[tensor != 0]))


def trained() -> tuple[MLP, Masks]:
    network = mlp()
    fit(network, table(), table(), settings(epochs=8, optimizer=AdamW(lr=0.02)), seed=0)
    masks = magnitude_masks(network, 0.5)
    apply(network, masks)
    return network, masks


@pytest.mark.parametrize("values", [2, 16, 256])
def test_each_matrix_has_few_values_beside_zero(values: int) -> None:
    network, masks = trained()
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    shared, codes = share_weights(network, values, masks)
    assert set(codes) == set(WEIGHTS)
    for name, tensor in shared.state_dict().items():
        if name in codes:
            assert distinct(tensor) <= values
            assert torch.equal(tensor == 0, before[name] == 0)
            assert int(codes[name].max()) <= values
        else:
            assert torch.equal(tensor, before[name])
    assert all(torch.equal(tensor, before[name]) for name, tensor in network.state_dict().items())


def test_masks_make_zeros_and_weights_that_are_zero_stay_so() -> None:
    network = nn.Linear(8, 8)
    with torch.no_grad():
        network.weight[0] = 0
    masks = {"weight": torch.ones(8, 8, dtype=torch.bool)}
    masks["weight"][:, 0] = False
    shared, codes = share_weights(network, 4, masks)
    zero = torch.zeros(8, 8, dtype=torch.bool)
    zero[0] = zero[:, 0] = True
    assert torch.equal(shared.weight == 0, zero)
    assert torch.equal(codes["weight"] == 0, zero)


def test_a_matrix_of_few_values_stays_as_it_is() -> None:
    network = nn.Linear(6, 5)
    with torch.no_grad():
        network.weight.copy_(torch.arange(30).view(5, 6) % 4 * 0.3)
    shared, _ = share_weights(network, 3)
    assert torch.equal(shared.weight, network.weight)


def test_a_matrix_of_zeros_stays_zero() -> None:
    network = nn.Sequential(nn.Linear(4, 4))
    nn.init.zeros_(network[0].weight)
    shared, codes = share_weights(network, 4)
    with sharing(shared, codes):
        shared(torch.randn(3, 4)).sum().backward()
    assert not shared[0].weight.any()


def test_a_network_without_weights_is_an_error() -> None:
    with pytest.raises(ConfigError, match="leave sparsify and share out"):
        share_weights(nn.ReLU(), 4)


@pytest.mark.parametrize("count", [2, 5, 16])
def test_centres_are_those_of_sklearn_from_the_same_start(count: int) -> None:
    values = np.random.default_rng(0).normal(size=4000)
    start = np.linspace(values.min(), values.max(), count)[:, None]
    theirs = KMeans(count, init=start, n_init=1, max_iter=1000, tol=0).fit(values[:, None])
    np.testing.assert_allclose(centres_of(values, count), np.sort(theirs.cluster_centers_[:, 0]), atol=1e-6)


@given(
    values=st.lists(st.floats(-1e3, 1e3, width=32), min_size=1, max_size=200),
    count=st.integers(2, 20),
)
@examples(deadline=None)
def test_centres_are_rising_within_range_and_as_many_as_asked(values: list[float], count: int) -> None:
    array = np.array(values)
    centres = centres_of(array, count)
    assert len(centres) == min(count, len(np.unique(array)))
    assert (np.diff(centres) >= 0).all()
    assert array.min() - 1e-9 <= centres[0]
    assert centres[-1] <= array.max() + 1e-9


def test_no_centre_is_left_with_nothing() -> None:
    values = np.concatenate([np.linspace(0, 1, 500), [1000.0]])  # centres at equal distances: all but two are empty
    centres = centres_of(values, 8)
    nearest = np.abs(values[:, None] - centres).argmin(axis=1)
    assert len(np.unique(nearest)) == 8
    assert np.abs(values - centres[nearest]).max() < 0.2


@pytest.mark.parametrize(
    "changes",
    [{}, {"average": EMA(name="ema")}, {"optimizer": SGD(name="sgd", lr=0.05)}, {"clip_norm": 0.5}, {"l1": 1e-3}],
)
def test_values_stay_few_and_move_while_a_network_is_trained(changes: dict[str, object]) -> None:
    network, masks = trained()
    shared, codes = share_weights(network, 8, masks)
    before = deepcopy(shared)
    with sharing(shared, codes):
        fit(shared, table(), table(), settings(**{"optimizer": AdamW(lr=0.01), **changes}), seed=0)
    for name, code in codes.items():
        weight = shared.get_parameter(name)
        assert distinct(weight) <= 8
        assert not weight[code == 0].any()
        assert all(distinct(weight[code == number]) <= 1 for number in range(1, 9))
        assert not torch.equal(weight, before.get_parameter(name))
    assert not any(parameter._backward_hooks for parameter in shared.parameters())


def test_training_values_repairs_what_sharing_broke() -> None:
    network, masks = trained()
    data = table()

    def loss(network: nn.Module) -> float:
        with torch.no_grad():
            return float(nn.functional.cross_entropy(network.eval()(data.inputs), data.target))

    shared, codes = share_weights(network, 3, masks)
    broken = loss(shared)
    with sharing(shared, codes):
        fit(shared, data, data, settings(epochs=10, optimizer=AdamW(lr=0.01)), seed=0)
    assert loss(shared) < 0.7 * broken


def test_a_step_moves_each_value_by_the_mean_gradient_of_its_weights() -> None:
    torch.manual_seed(0)
    network = nn.Linear(20, 10)
    shared, codes = share_weights(network, 4)
    before = shared.weight.detach().clone()
    x = torch.randn(30, 20)
    with sharing(shared, codes):
        shared(x).square().sum().backward()
        found = shared.weight.grad
    plain = before.clone().requires_grad_()
    nn.functional.linear(x, plain, shared.bias.detach()).square().sum().backward()
    for number in range(1, 5):
        chosen = codes["weight"] == number
        assert plain.grad is not None
        torch.testing.assert_close(found[chosen], plain.grad[chosen].mean().expand(int(chosen.sum())))


def test_recurrent_weights_and_word_embeddings_are_shared_and_padding_stays_zero() -> None:
    torch.manual_seed(0)
    encoder = {"name": "gru", "units": 8, "layers": 1, "bidirectional": False, "pooling": "last", "dropout": 0.0}
    network = Text(words=20, length=6, outputs=3, encoder=encoder, embedding=8)
    shared, codes = share_weights(network, 4)
    with sharing(shared, codes):
        fit(shared, table(), table(), settings(optimizer=AdamW(lr=0.01)), seed=0)
    assert {name.split(".")[0] for name in codes} == {"embedding", "encoder", "head"}
    assert all(distinct(shared.get_parameter(name)) <= 4 for name in codes)
    assert not shared.embedding.weight[0].any()


def test_the_same_network_gives_the_same_bits() -> None:
    def run() -> tuple[Codes, dict[str, Tensor]]:
        shared, codes = share_weights(*trained_with_count())
        with sharing(shared, codes):
            fit(shared, table(), table(), settings(), seed=0)
        return codes, shared.state_dict()

    def trained_with_count() -> tuple[nn.Module, int]:
        return trained()[0], 16

    dice = torch.random.get_rng_state()
    (codes, first), (again, second) = run(), run()
    assert all(torch.equal(code, again[name]) for name, code in codes.items())
    assert all(torch.equal(tensor, second[name]) for name, tensor in first.items())
    torch.random.set_rng_state(dice)
