"""The ensemble over tables: members are trained apart and answer together; what is exported agrees."""

import numpy as np
import pytest
import torch
from torch.nn import functional

from ann.config.layers import TabularParams
from ann.config.train import TrainParams
from ann.data.batches import TensorData
from ann.data.target import Target, classification
from ann.export.network import export_network, run_network, verify_network
from ann.models import build_network
from ann.models.tabular import MEANS, Tabular
from ann.training.fit import fit
from ann.training.losses import Loss, bce_with_logits, mse
from ann.training.step import forward_loss

THREE = classification(3)
LABELS = Target("multilabel", ("a", "b"))
NUMBERS = Target("regression", ("a", "b"), quantiles=(0.1, 0.5, 0.9))


def rows(count: int = 64) -> TensorData:
    random = torch.Generator().manual_seed(0)
    inputs = {
        "numeric": torch.randn(count, 3, generator=random),
        "categorical": torch.randint(5, (count, 1), generator=random),
    }
    return TensorData(inputs, torch.randint(3, (count,), generator=random))


def build(width: int = 3, sizes: tuple[int, ...] = (5,), *, target: Target = THREE, **settings: object) -> Tabular:
    torch.manual_seed(1)
    model = TabularParams(family="tabular", **{"hidden": (16, 12), "members": 4, "dropout": 0.0, **settings})
    groups = {"numeric": {"width": width}} if width else {}
    groups |= {"categorical": {"sizes": list(sizes)}} if sizes else {}
    network = build_network(model, groups, target)
    assert isinstance(network, Tabular)
    if width:
        network.adapt(rows().inputs)
    return network


def test_members_answer_apart_in_training_and_together_afterwards() -> None:
    network = build()
    apart = network.train()(rows().inputs)
    together = network.eval()(rows().inputs)
    assert apart.shape == (64, 4, 3)
    torch.testing.assert_close(together.exp(), functional.softmax(apart, dim=2).mean(dim=1))


def test_labels_are_answered_by_the_log_odds_of_the_mean_probability() -> None:
    network = build(target=LABELS)
    apart, together = network.train()(rows().inputs), network.eval()(rows().inputs)
    assert (apart.shape, together.shape) == ((64, 4, 2), (64, 2))
    mean = torch.sigmoid(apart.double()).mean(dim=1)
    torch.testing.assert_close(together.double(), torch.log(mean / (1 - mean)), rtol=1e-5, atol=1e-6)
    assert (together - apart.mean(dim=1)).abs().max() > 1e-3  # not the mean of the logits


def test_labels_that_all_members_are_certain_of_stay_finite() -> None:
    logits = torch.tensor([[[-500.0, 500.0], [-500.0, 500.0]]])
    answer = MEANS["labels"](logits)
    assert answer.isfinite().all()
    assert answer[0, 0] < -80
    assert answer[0, 1] > 80


def test_numbers_are_answered_by_the_mean_of_the_members() -> None:
    network = build(target=NUMBERS)
    apart, together = network.train()(rows().inputs), network.eval()(rows().inputs)
    assert (apart.shape, together.shape) == ((64, 4, 6), (64, 6))
    torch.testing.assert_close(together, apart.mean(dim=1))


@pytest.mark.parametrize(("target", "loss"), [(LABELS, bce_with_logits), (NUMBERS, mse)], ids=["labels", "numbers"])
def test_members_are_trained_apart_for_labels_and_for_numbers(target: Target, loss: Loss) -> None:
    network, truth = build(target=target).train(), torch.randint(2, (64, target.outputs)).float()
    found = forward_loss(network, loss, TensorData(rows().inputs, truth))
    apart = network(rows().inputs)
    torch.testing.assert_close(found, torch.stack([loss(apart[:, member], truth) for member in range(4)]).mean())


def test_the_loss_is_the_mean_of_the_members_losses() -> None:
    network = build().train()
    found = forward_loss(network, functional.cross_entropy, rows())
    logits = network(rows().inputs)
    losses = [functional.cross_entropy(logits[:, member], rows().target) for member in range(4)]
    torch.testing.assert_close(found, torch.stack(losses).mean())


def test_members_start_differently_and_share_what_lies_between() -> None:
    network = build()
    assert set(network.scales.unique().tolist()) == {-1.0, 1.0}
    logits = network.train()(rows().inputs)
    assert (logits[:, 0] - logits[:, 1]).abs().mean() > 0.01
    features = 3 * 8 + 4
    shared = features * 16 + 16 + 16 * 12 + 12
    apart = 4 * features + 4 * 12 * 3 + 4 * 3
    embedded = 5 * 4 + 3 * (128 * 8 + 8)
    assert sum(parameter.numel() for parameter in network.parameters()) == shared + apart + embedded


@pytest.mark.parametrize("numeric", ["piecewise", "periodic"])
def test_it_learns_64_random_labels_by_heart(numeric: str) -> None:
    network = build(numeric=numeric, hidden=(48, 48))
    params = TrainParams(epochs=250, batch_size=32, optimizer={"lr": 0.01, "weight_decay": 0.0}, early_stopping=None)
    result = fit(network, rows(), rows(), params, seed=0)
    assert max(record.metrics["accuracy"] for record in result.history) == 1.0


@pytest.mark.parametrize("numeric", ["piecewise", "periodic"])
def test_a_gradient_reaches_every_parameter(numeric: str) -> None:
    network = build(numeric=numeric, activation="tanh").train()
    forward_loss(network, functional.cross_entropy, rows()).backward()
    for name, parameter in network.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.abs().sum() > 0, name


@pytest.mark.parametrize(("width", "sizes"), [(3, (5,)), (3, ()), (0, (5,))])
@pytest.mark.parametrize("numeric", ["piecewise", "periodic"])
def test_the_exported_graph_agrees_for_any_number_of_rows(numeric: str, width: int, sizes: tuple[int, ...]) -> None:
    network = build(width, sizes, numeric=numeric)

    def some(count: int) -> TensorData:
        data = rows(count)
        names = ["numeric"] * bool(width) + ["categorical"] * bool(sizes)
        return TensorData({name: data.inputs[name] for name in names}, data.target)

    graph = export_network(network, some(4))
    for count in (1, 2, 64):
        verify_network(graph, network, some(count), THREE)
    logits = run_network(graph, {name: tensor.numpy() for name, tensor in some(5).inputs.items()})
    np.testing.assert_allclose(np.exp(logits).sum(axis=1), 1, atol=1e-5)
