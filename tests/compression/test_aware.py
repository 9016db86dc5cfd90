"""Quantization-aware training: what is rounded, what is learned, and what comes back."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from ann.compression.affine import affine_of, dequantize, quantize_affine
from ann.compression.aware import (
    ActivationRange,
    AwareLayer,
    aware,
    rounded_weight,
    scale_of_activation,
    scale_of_weight,
    simulate,
)
from ann.compression.qdq import Range
from ann.compression.quantization import quantize
from ann.config.optimizers import AdamW
from ann.config.train import TrainParams
from ann.data.batches import TensorData
from ann.errors import StageError
from ann.export.network import export_network, run_network
from ann.models.mlp import MLP
from ann.training.fit import fit

SETTINGS = TrainParams(epochs=4, batch_size=32, optimizer=AdamW(lr=2e-3), early_stopping=None)


def rows(count: int = 256, seed: int = 0) -> TensorData:
    random = torch.Generator().manual_seed(seed)
    numeric = torch.randn(count, 4, generator=random)
    return TensorData({"numeric": numeric}, (numeric[:, 0] + numeric[:, 1] > 0).long())


@pytest.fixture(scope="module")
def network() -> nn.Module:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        network = MLP(width=4, sizes=[], outputs=2, hidden=[16, 8], norm="batch", dropout=0.1)
        fit(network, rows(), rows(128, 1), SETTINGS, seed=0)
    return network.eval()


def tune(simulated: nn.Module) -> None:
    fit(simulated, rows(), rows(128, 1), SETTINGS, seed=1)


@given(
    low=st.floats(-1e4, 1e4, width=32, allow_subnormal=False),
    high=st.floats(-1e4, 1e4, width=32, allow_subnormal=False),
)
@settings(max_examples=300, deadline=None)
def test_torch_and_the_graph_have_the_same_scales(low: float, high: float) -> None:
    expected = affine_of(low, high, 8, symmetric=False)
    scale, zero_point = scale_of_activation(torch.tensor(low), torch.tensor(high))
    assert scale.numpy() == expected[0]
    assert zero_point.item() == expected[1]


def test_weights_are_rounded_to_the_codes_of_the_graph() -> None:
    weight = torch.randn(5, 3, 3, 3, generator=torch.Generator().manual_seed(0))
    weight[2] = 0
    expected = dequantize(quantize_affine(weight.numpy(), 7, symmetric=True, axis=0), 0)
    found = rounded_weight(weight, scale_of_weight(weight)).numpy()
    np.testing.assert_allclose(found, expected, rtol=1e-6)
    assert not found[2].any()


def test_gradients_pass_through_rounding_within_the_range_alone() -> None:
    bounded = ActivationRange(0.0)
    bounded.cover(Range(-1.0, 1.0))
    x = torch.tensor([-5.0, -0.5, 0.3, 5.0], requires_grad=True)
    bounded.eval()(x).sum().backward()
    assert x.grad is not None
    assert x.grad.tolist() == [0, 1, 1, 0]


def test_a_range_follows_batches_in_training_and_stays_in_evaluation() -> None:
    bounded = ActivationRange(0.1)
    bounded(torch.tensor([-2.0, 4.0]))
    bounded(torch.tensor([1.0, 3.0]))
    assert bounded.covered() == (-2, 4)
    bounded.begun = True
    bounded.train()(torch.tensor([-4.0, 14.0]))
    assert bounded.covered() == pytest.approx((-2.2, 5.0))
    bounded.eval()(torch.tensor([-40.0, 140.0]))
    assert bounded.covered() == pytest.approx((-2.2, 5.0))


def test_before_a_relu_negative_values_need_no_codes() -> None:
    bounded = ActivationRange(0.1, rectified=True)
    bounded(torch.tensor([-2.0, 4.0]))
    assert bounded.covered() == (0, 4)
    bounded.begun = True
    assert bounded.eval()(torch.tensor([-2.0, 4.0])).tolist() == [0, 4]


def test_training_moves_weights_and_the_result_has_the_networks_names(network: nn.Module) -> None:
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    tuned, ranges = aware(network, rows(), tune)
    assert all(torch.equal(tensor, before[name]) for name, tensor in network.state_dict().items())
    state = tuned.state_dict()
    assert {name: tensor.shape for name, tensor in state.items()} == {n: t.shape for n, t in before.items()}
    assert set(ranges) == {"blocks.0.0.weight", "blocks.1.0.weight", "head.weight"}
    assert not any(isinstance(module, AwareLayer) for module in tuned.modules())
    assert not torch.equal(state["head.weight"], before["head.weight"])
    assert all(found.input.low <= 0 < found.input.high for found in ranges.values())


def test_the_int8_graph_is_as_good_as_the_network_that_was_trained(network: nn.Module) -> None:
    tuned, ranges = aware(network, rows(), tune)
    graph = quantize(export_network(tuned, rows()), "aware", {}, ranges=ranges, network=tuned)
    found = run_network(graph, {"numeric": rows(500, 2).inputs["numeric"].numpy()})
    with torch.no_grad():
        simulated = simulate(tuned, rows(), ranges)(rows(500, 2).inputs).numpy()
        plain = network(rows(500, 2).inputs).numpy()
    np.testing.assert_allclose(found, simulated, atol=0.02 * simulated.std())
    truth = rows(500, 2).target.numpy()
    assert (found.argmax(1) == truth).mean() >= (plain.argmax(1) == truth).mean() - 0.02


def test_the_same_seed_gives_the_same_bits(network: nn.Module) -> None:
    (first, ranges), (again, ranges_again) = (aware(network, rows(), tune) for _ in range(2))
    assert ranges == ranges_again
    assert all(torch.equal(tensor, again.state_dict()[name]) for name, tensor in first.state_dict().items())


def test_a_parametrization_of_a_weight_lies_on_top_of_rounding(network: nn.Module) -> None:
    """Masks are kept that way: what `tune` adds and takes away again leaves a layer that rounds."""

    class Masked(nn.Module):
        def forward(self, weight: Tensor) -> Tensor:
            return weight * (torch.arange(weight.shape[1]) % 2)

    def tune_masked(simulated: nn.Module) -> None:
        layer = simulated.get_submodule("blocks.0.0")
        nn.utils.parametrize.register_parametrization(layer, "weight", Masked())
        tune(simulated)
        nn.utils.parametrize.remove_parametrizations(layer, "weight")
        assert isinstance(layer, AwareLayer)

    tuned, _ = aware(network, rows(), tune_masked)
    assert not tuned.state_dict()["blocks.0.0.weight"][:, ::2].any()
    assert tuned.state_dict()["blocks.0.0.weight"][:, 1::2].any()


def test_a_network_without_such_layers_is_an_error_with_a_way_out() -> None:
    class Sum(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.weight = nn.Parameter(torch.ones(2, 4, 3))

        def forward(self, inputs: dict[str, Tensor]) -> Tensor:
            return torch.matmul(inputs["numeric"], self.weight).sum(0)

    with pytest.raises(StageError, match=r"finds no Linear, Conv1d or Conv2d in the network; remove the recipe"):
        aware(Sum(), rows(), tune)
