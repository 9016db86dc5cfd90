"""One step: parts of a batch add up, clipping is torch's, memory that runs out costs parts and not the batch."""

from copy import deepcopy

import pytest
import torch
from torch import Tensor, nn

from ann.config.train import TrainParams
from ann.data.batches import TensorData
from ann.errors import ConfigError
from ann.models.mlp import MLP
from ann.training.faults import first_bad_layer
from ann.training.fit import fit
from ann.training.objective import build_objective
from ann.training.state import TrainState, start_state
from ann.training.step import DivergenceError, train_step, update


def rows(count: int = 64) -> TensorData:
    random = torch.Generator().manual_seed(0)
    inputs = {"numeric": torch.randn(count, 4, generator=random, dtype=torch.float64)}
    return TensorData(inputs, torch.randint(3, (count,), generator=random))


def new_network(**settings: object) -> MLP:
    torch.manual_seed(1)
    return MLP(width=4, sizes=[], outputs=3, hidden=[16, 8], dropout=0.0, **settings).double()


def started(network: nn.Module, data: TensorData, **changes: object) -> TrainState:
    params = TrainParams(**{"batch_size": len(data), "optimizer": {"name": "sgd", "lr": 0.5}, **changes})
    return start_state(network, data, params, build_objective(network, data, params))


def stepped(network: nn.Module, data: TensorData, **changes: object) -> tuple[Tensor, TrainState]:
    state = started(network, data, **changes)
    loss = train_step(state, data, len(data), 0.5)
    return loss, state


def gradients(network: nn.Module, data: TensorData) -> Tensor:
    """Return torch's own gradient of the mean cross entropy, flat."""
    twin = deepcopy(network)
    nn.functional.cross_entropy(twin(data.inputs), data.target).backward()
    return torch.cat([parameter.grad.flatten() for parameter in twin.parameters()])


def moved(network: nn.Module, before: nn.Module) -> Tensor:
    pairs = zip(before.parameters(), network.parameters(), strict=True)
    return torch.cat([(old - new).detach().flatten() for old, new in pairs]) / 0.5


@pytest.mark.parametrize("accumulate", [1, 2, 3, 7, 32])
@pytest.mark.parametrize("loss", ["cross_entropy", "nll", "focal"])
def test_a_batch_in_parts_takes_the_step_of_the_whole_batch(accumulate: int, loss: object) -> None:
    data, network = rows(), new_network()
    twin = deepcopy(network)
    whole, _ = stepped(network, data, loss=loss, clip_norm=0.1)
    parts, _ = stepped(twin, data, loss=loss, clip_norm=0.1, accumulate=accumulate)
    assert parts.item() == pytest.approx(whole.item(), rel=1e-12)
    for mine, theirs in zip(twin.parameters(), network.parameters(), strict=True):
        torch.testing.assert_close(mine, theirs, rtol=0, atol=1e-8)


@pytest.mark.parametrize("clip_norm", [0.01, 0.3, 100.0])
def test_clipping_by_norm_is_torchs(clip_norm: float) -> None:
    data, network = rows(), new_network()
    before = deepcopy(network)
    gradient = gradients(network, data)
    _, state = stepped(network, data, clip_norm=clip_norm)
    expected = gradient * min(1.0, clip_norm / (gradient.norm().item() + 1e-6))
    torch.testing.assert_close(moved(network, before), expected, rtol=1e-6, atol=1e-9)
    state.note_norms()
    assert state.grad_norm == pytest.approx(gradient.norm().item(), rel=1e-6)


@pytest.mark.parametrize("precision", ["fp32", "fp16"])
def test_an_l1_penalty_adds_the_sign_of_each_matrix_and_of_nothing_else(precision: str) -> None:
    data = TensorData({"numeric": rows().inputs["numeric"].float()}, rows().target)
    weights = {}
    for l1 in (0.0, 0.03):
        network = new_network().float()
        before = deepcopy(network)
        stepped(network, data, l1=l1, clip_norm=None, precision=precision)
        weights[l1] = dict(network.named_parameters())
    for name, parameter in before.named_parameters():
        difference = (weights[0.0][name] - weights[0.03][name]) / 0.5
        expected = 0.03 * parameter.sign() if parameter.ndim == 2 else torch.zeros_like(parameter)
        torch.testing.assert_close(difference.detach(), expected.detach(), rtol=0, atol=1e-5)


def test_clipping_by_value_bounds_each_gradient() -> None:
    data, network = rows(), new_network()
    before = deepcopy(network)
    gradient = gradients(network, data)
    stepped(network, data, clip_norm=None, clip_value=0.01)
    assert gradient.abs().max() > 0.01
    torch.testing.assert_close(moved(network, before), gradient.clamp(-0.01, 0.01), rtol=1e-6, atol=1e-12)


def test_clipping_by_value_and_then_by_norm_bounds_the_norm_of_what_is_left() -> None:
    data, network = rows(), new_network()
    before = deepcopy(network)
    gradient = gradients(network, data)
    _, state = stepped(network, data, clip_norm=0.05, clip_value=0.01)
    clamped = gradient.clamp(-0.01, 0.01)
    assert clamped.norm() > 0.05
    torch.testing.assert_close(moved(network, before), clamped * (0.05 / clamped.norm()), rtol=1e-4, atol=1e-9)
    assert state.last_norm.item() == pytest.approx(gradient.norm().item(), rel=1e-6)


@pytest.mark.parametrize("clip_norm", [None, 1.0])
def test_an_infinite_gradient_is_not_hidden_by_clipping_by_value(clip_norm: float | None) -> None:
    state = started(new_network(), rows(), clip_norm=clip_norm, clip_value=0.01)
    state.flat.gradients[3] = torch.inf
    before = state.flat.weights.clone()
    with pytest.raises(DivergenceError, match="the norm of the gradients is inf in epoch 1, step 1"):
        update(state, 0.5)
    assert torch.equal(state.flat.weights, before)


def test_an_overflow_in_fp16_skips_the_step_also_where_values_are_clipped() -> None:
    data = TensorData({"numeric": rows().inputs["numeric"].float()}, rows().target)
    state = started(new_network().float(), data, precision="fp16", clip_value=0.01)
    state.flat.gradients[3] = torch.inf
    before, scale = state.flat.weights.clone(), state.scale.scale.item()
    update(state, 0.5)
    assert torch.equal(state.flat.weights, before)
    assert state.scale.scale.item() == scale / 2


def test_the_norms_of_layers_are_those_before_clipping() -> None:
    data, network = rows(), new_network()
    twin = deepcopy(network)
    nn.functional.cross_entropy(twin(data.inputs), data.target).backward()
    _, state = stepped(network, data, clip_norm=1e-3)
    state.note_norms()
    norms = state.layer_norms
    assert list(norms) == ["blocks.0.0", "blocks.1.0", "head"]
    for name, norm in norms.items():
        assert norm == pytest.approx(twin.get_parameter(f"{name}.weight").grad.norm().item(), rel=1e-5)


@pytest.mark.parametrize("norm", ["layer", "batch"])
def test_blocks_that_are_computed_again_give_the_same_weights(norm: str) -> None:
    weights = []
    for recompute in (False, True):
        network = MLP(width=4, sizes=[], outputs=3, hidden=[16, 8], dropout=0.3, norm=norm)
        torch.manual_seed(0)
        for parameter in network.parameters():
            nn.init.uniform_(parameter, -0.3, 0.3)
        data = TensorData({"numeric": rows().inputs["numeric"].float()}, rows().target)
        fit(network, data, data, TrainParams(epochs=2, batch_size=16, recompute=recompute), seed=1)
        weights.append([tensor.clone() for tensor in network.state_dict().values()])
        assert "forward" not in vars(network.blocks[0])
    for mine, theirs in zip(*weights, strict=True):
        torch.testing.assert_close(mine, theirs, rtol=0, atol=1e-6)


def test_a_network_without_blocks_cannot_compute_them_again() -> None:
    class Plain(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.head = nn.Linear(4, 3).double()

        def forward(self, inputs: dict[str, Tensor]) -> Tensor:
            return self.head(inputs["numeric"])

    with pytest.raises(ConfigError, match=r"train\.recompute: this network has no blocks.*write false"):
        fit(Plain(), rows(), rows(), TrainParams(batch_size=16, recompute=True), seed=1)


class Small(nn.Module):
    """A network on a machine whose memory holds a few rows."""

    def __init__(self, limit: int, error: type[RuntimeError] = torch.OutOfMemoryError) -> None:
        super().__init__()
        self.inner, self.limit, self.error = new_network(), limit, error
        self.seen: list[int] = []

    def forward(self, inputs: dict[str, Tensor]) -> Tensor:
        count = len(inputs["numeric"])
        if self.training and count > self.limit:
            raise self.error("DefaultCPUAllocator: can't allocate memory: you tried to allocate 1 bytes")
        self.seen.append(count)
        return self.inner(inputs)


@pytest.mark.parametrize("error", [torch.OutOfMemoryError, RuntimeError])
def test_where_memory_runs_out_the_same_batch_goes_through_in_more_parts(error, caplog) -> None:
    data, network = rows(), Small(20, error)
    twin = deepcopy(network.inner)
    _, state = stepped(network.train(), data)
    stepped(twin, data)
    assert state.accumulate == 4
    assert network.seen[-4:] == [16] * 4
    assert "batches of 64 rows go through in 4 parts from here on" in caplog.text
    for mine, theirs in zip(network.inner.parameters(), twin.parameters(), strict=True):
        torch.testing.assert_close(mine, theirs, rtol=0, atol=1e-8)


def test_memory_for_not_even_two_rows_is_the_users_to_find() -> None:
    with pytest.raises(torch.OutOfMemoryError):
        stepped(Small(1).train(), rows())


def test_an_error_that_is_not_about_memory_is_not_tried_again() -> None:
    class Broken(Small):
        def forward(self, inputs: dict[str, Tensor]) -> Tensor:
            if self.training:
                raise RuntimeError("shapes do not fit")
            return super().forward(inputs)

    with pytest.raises(RuntimeError, match="shapes do not fit"):
        stepped(Broken(99).train(), rows())


def test_a_loss_that_is_not_finite_stops_before_the_weights_move_and_names_the_layer() -> None:
    data, network = rows(), new_network()
    with torch.no_grad():
        network.blocks[1][0].weight[0, 0] = torch.inf
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    state = started(network, data)
    state.epoch, state.done = 3, 0
    with pytest.raises(DivergenceError, match=r"epoch 3, step 1 of 1; the weights blocks\.1\.0\.weight are not finite"):
        train_step(state, data, len(data), 0.5)
    assert all(torch.equal(tensor, before[name]) for name, tensor in network.state_dict().items())


def test_a_gradient_that_overflows_is_named_before_the_weights_move() -> None:
    data, network = rows(), new_network()
    network.head.weight.register_hook(lambda gradient: gradient * torch.inf)
    with pytest.raises(DivergenceError, match=r"norm of the gradients is (nan|inf).*first gradient .* is that of head"):
        stepped(network, data)
    assert torch.isfinite(network.head.weight).all()


def test_the_first_layer_with_a_bad_output_is_found() -> None:
    network = nn.Sequential(nn.Linear(2, 2), nn.ReLU(), nn.Linear(2, 2))

    class Wrapped(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layers = network

        def forward(self, inputs: dict[str, Tensor]) -> Tensor:
            return self.layers(inputs["numeric"] * 1e38)

    nn.init.constant_(network[0].weight, 1e3)
    found = first_bad_layer(Wrapped(), {"numeric": torch.ones(1, 2)})
    assert found == "the first output that is not finite is that of layers.0 (Linear)"
    assert first_bad_layer(Wrapped(), {"numeric": torch.tensor([[torch.nan, 1]])}) == (
        "the inputs of the group 'numeric' are not finite"
    )
