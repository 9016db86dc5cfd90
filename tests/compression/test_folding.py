"""BatchNorm folded into the layer before it: where it may be, and that answers stay."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.utils.parametrizations import weight_norm

from ann.compression.folding import batchnorm_pairs, fold_batchnorm, unfold_batchnorm

INPUTS = {"x": torch.randn(4, 3, 8, 8, generator=torch.Generator().manual_seed(0))}


class Net(nn.Module):
    """Named layers, and a forward that is given; heads of images or rows."""

    def __init__(self, forward: Callable[["Net", Tensor], Tensor], **layers: nn.Module) -> None:
        super().__init__()
        for name, layer in layers.items():
            self.add_module(name, layer)
        self._forward = forward

    def forward(self, inputs: dict[str, Tensor]) -> Tensor:
        return self._forward(self, inputs["x"])


def lived(network: nn.Module) -> nn.Module:
    """Give norms what training would leave in them."""
    torch.manual_seed(1)
    with torch.no_grad():
        for module in network.modules():
            if isinstance(module, _BatchNorm) and module.running_mean is not None:
                module.running_mean.normal_()
                module.running_var.uniform_(0.1, 4)
                if module.affine:
                    module.weight.uniform_(0.2, 3)
                    module.bias.normal_()
    return network.eval()


def rows(net: Net, x: Tensor) -> Tensor:
    return net.norm(net.layer(x.flatten(1)))


FOLDED = {
    "linear": lambda: Net(rows, layer=nn.Linear(192, 5), norm=nn.BatchNorm1d(5)),
    "without bias": lambda: Net(rows, layer=nn.Linear(192, 5, bias=False), norm=nn.BatchNorm1d(5)),
    "without scale": lambda: Net(rows, layer=nn.Linear(192, 5, bias=False), norm=nn.BatchNorm1d(5, affine=False)),
    "wide eps": lambda: Net(rows, layer=nn.Linear(192, 5), norm=nn.BatchNorm1d(5, eps=0.37)),
    "convolution": lambda: Net(
        lambda net, x: net.norm(net.layer(x)).relu(),
        layer=nn.Conv2d(3, 6, 3, stride=2, padding=1, groups=3, bias=False),
        norm=nn.BatchNorm2d(6),
    ),
    "over time": lambda: Net(
        lambda net, x: net.norm(net.layer(x.flatten(2))), layer=nn.Conv1d(3, 4, 5, padding=2), norm=nn.BatchNorm1d(4)
    ),
    "residual": lambda: Net(
        lambda net, x: (x + net.norm(net.layer(x))).mean(dim=(2, 3)),
        layer=nn.Conv2d(3, 3, 3, padding=1),
        norm=nn.BatchNorm2d(3),
    ),
}
KEPT = {
    "its input is used twice": lambda: Net(
        lambda net, x: net.layer(x.flatten(1)).sum(1, keepdim=True) + 0 * rows(net, x),
        layer=nn.Linear(192, 5),
        norm=nn.BatchNorm1d(5),
    ),
    "its input is added to it": lambda: Net(
        lambda net, x: (h := net.layer(x.flatten(1))) + net.norm(h), layer=nn.Linear(192, 5), norm=nn.BatchNorm1d(5)
    ),
    "an activation between": lambda: Net(
        lambda net, x: net.norm(net.layer(x.flatten(1)).relu()), layer=nn.Linear(192, 5), norm=nn.BatchNorm1d(5)
    ),
    "an activation in place": lambda: Net(
        lambda net, x: net.norm(net.layer(x.flatten(1)).relu_()), layer=nn.Linear(192, 5), norm=nn.BatchNorm1d(5)
    ),
    "channels are another axis": lambda: Net(
        lambda net, x: net.norm(net.layer(x.flatten(2))), layer=nn.Linear(64, 5), norm=nn.BatchNorm1d(3)
    ),
    "one layer for two norms": lambda: Net(
        lambda net, x: net.norm(net.layer(x.flatten(1))) + net.other(net.layer(x.flatten(1))),
        layer=nn.Linear(192, 5),
        norm=nn.BatchNorm1d(5),
        other=nn.BatchNorm1d(5),
    ),
    "statistics of the batch": lambda: Net(
        rows, layer=nn.Linear(192, 5), norm=nn.BatchNorm1d(5, track_running_stats=False)
    ),
    "a parametrized weight": lambda: Net(rows, layer=weight_norm(nn.Linear(192, 5)), norm=nn.BatchNorm1d(5)),
}


def norms(network: nn.Module) -> int:
    return sum(isinstance(module, _BatchNorm) for module in network.modules())


@pytest.mark.parametrize("kind", FOLDED)
def test_it_is_folded_and_answers_stay(kind: str) -> None:
    network = lived(FOLDED[kind]())
    assert batchnorm_pairs(network, INPUTS) == [("layer", "norm")]
    folded = fold_batchnorm(network, INPUTS)
    assert norms(folded) == 0
    torch.testing.assert_close(folded(INPUTS), network(INPUTS), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("kind", KEPT)
def test_it_stays_where_folding_would_change_answers(kind: str) -> None:
    network = lived(KEPT[kind]())
    before = norms(network)
    folded = fold_batchnorm(network, INPUTS)
    assert norms(folded) == before
    torch.testing.assert_close(folded(INPUTS), network(INPUTS))


def test_a_weight_that_two_layers_share_is_not_changed() -> None:
    network = Net(
        lambda net, x: net.norm(net.layer(x.flatten(1))) + net.twin(x.flatten(1)),
        layer=nn.Linear(192, 5),
        twin=nn.Linear(192, 5),
        norm=nn.BatchNorm1d(5),
    )
    network.twin.weight = network.layer.weight
    assert batchnorm_pairs(lived(network), INPUTS) == []


def test_the_network_and_its_mode_stay_as_they_were() -> None:
    network = lived(FOLDED["convolution"]()).train()
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    folded = fold_batchnorm(network, INPUTS)
    assert network.training
    assert not folded.training
    assert all(torch.equal(tensor, before[name]) for name, tensor in network.state_dict().items())
    assert not network._forward_hooks
    assert not network.layer._forward_pre_hooks


def test_frozen_weights_stay_frozen() -> None:
    network = lived(FOLDED["linear"]()).requires_grad_(False)
    assert not any(parameter.requires_grad for parameter in fold_batchnorm(network, INPUTS).parameters())


@pytest.mark.parametrize("kind", FOLDED)
def test_trained_weights_come_back_under_the_names_of_before(kind: str) -> None:
    network = lived(FOLDED[kind]())
    folded = fold_batchnorm(network, INPUTS)
    with torch.no_grad():
        for parameter in folded.parameters():
            parameter.add_(torch.randn_like(parameter), alpha=0.1)
    result = unfold_batchnorm(folded, network, INPUTS)
    shapes = {name: tensor.shape for name, tensor in network.state_dict().items()}
    assert {name: tensor.shape for name, tensor in result.state_dict().items()} == shapes
    torch.testing.assert_close(result(INPUTS), folded(INPUTS), rtol=1e-6, atol=1e-5)
    assert torch.equal(fold_batchnorm(result, INPUTS).layer.weight, folded.layer.weight)
