"""The NumPy network against finite differences and torch; the two share no code, so they agree only where right."""

import math
import runpy
import sys
from itertools import pairwise
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pytest
import torch
from pydantic import TypeAdapter
from sklearn.datasets import load_digits
from torch import Tensor, nn
from torch.nn import functional

from ann.config.optimizers import OptimizerParams
from ann.models.reference import (
    ACTIVATIONS,
    INITIALISERS,
    OPTIMIZERS,
    OUTPUTS,
    SGD,
    Arrays,
    Muon,
    Network,
    clip_by_norm,
    orthogonalise,
    train,
)

EXAMPLE = Path(__file__).resolve().parents[2] / "examples" / "reference_network.py"
STEP = 1e-6
TORCH_ACTIVATIONS = {
    "elu": functional.elu,
    "gelu": functional.gelu,
    "leaky_relu": functional.leaky_relu,
    "linear": lambda z: z,
    "relu": functional.relu,
    "selu": functional.selu,
    "sigmoid": torch.sigmoid,
    "silu": functional.silu,
    "tanh": torch.tanh,
}
TORCH_LOSSES = {
    "linear": functional.mse_loss,
    "sigmoid": functional.binary_cross_entropy_with_logits,
    "softmax": functional.cross_entropy,
}
TORCH_OPTIMIZERS: dict[str, Any] = {
    "adam": torch.optim.Adam,
    "adamw": torch.optim.AdamW,
    "gd": torch.optim.SGD,
    "momentum": torch.optim.SGD,
    "nesterov": lambda groups, **settings: torch.optim.SGD(groups, nesterov=True, **settings),
    "rmsprop": torch.optim.RMSprop,
    "sgd": torch.optim.SGD,
}
SETTINGS: dict[str, dict[str, Any]] = {
    "adam": {"betas": (0.8, 0.95), "eps": 1e-3},
    "adamw": {"betas": (0.8, 0.95), "eps": 1e-3},
    "gd": {},
    "momentum": {"momentum": 0.7},
    "nesterov": {"momentum": 0.7},
    "rmsprop": {"alpha": 0.8, "eps": 1e-3},
    "sgd": {},
}
"""An eps so large that one inside the root, or before the bias correction, would show."""


def targets_for(output: str, rows: int, classes: int, random: np.random.Generator) -> np.ndarray:
    if output == "softmax":
        return np.eye(classes)[random.integers(classes, size=rows)]
    return random.normal(size=(rows, classes)) if output == "linear" else random.integers(2, size=(rows, classes)) * 1.0


def network_with_biases(sizes: list[int], random: np.random.Generator, **settings: Any) -> Network:
    network = Network(sizes, random, **settings)
    for value in network.parameters.values():
        value += random.normal(scale=0.3, size=value.shape)
    return network


def tensors_of(parameters: Arrays) -> dict[str, Tensor]:
    return {name: torch.from_numpy(value.copy()).requires_grad_() for name, value in parameters.items()}


def torch_forward(x: np.ndarray, parameters: dict[str, Tensor], hidden: str) -> Tensor:
    *before, last = range(len(parameters) // 2)
    z = torch.from_numpy(x)
    for n in before:
        z = TORCH_ACTIVATIONS[hidden](functional.linear(z, parameters[f"{n}.weight"], parameters[f"{n}.bias"]))
    return functional.linear(z, parameters[f"{last}.weight"], parameters[f"{last}.bias"])


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_slope_of_an_activation_is_its_finite_difference(name: str) -> None:
    z = np.linspace(-6, 6, 42)  # an even number of points leaves out the kink at 0
    difference = (ACTIVATIONS[name](z + STEP)[0] - ACTIVATIONS[name](z - STEP)[0]) / (2 * STEP)
    np.testing.assert_allclose(ACTIVATIONS[name](z)[1], difference, rtol=1e-6, atol=1e-8)


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_activation_and_slope_equal_torch_at_the_kink_and_far_out(name: str) -> None:
    z = np.array([-800.0, -30.0, -1.5, -1e-9, 0.0, 1e-9, 0.4, 30.0, 800.0])
    tensor = torch.from_numpy(z.copy()).requires_grad_()
    TORCH_ACTIVATIONS[name](tensor).sum().backward()
    value, slope = ACTIVATIONS[name](z)
    np.testing.assert_allclose(value, TORCH_ACTIVATIONS[name](tensor).detach(), rtol=1e-12, atol=1e-15)
    np.testing.assert_allclose(slope, tensor.grad, rtol=1e-12, atol=1e-15)


@pytest.mark.parametrize("name", OUTPUTS)
def test_gradient_of_a_loss_is_its_finite_difference(name: str) -> None:
    random = np.random.default_rng(0)
    z, t = random.normal(size=(5, 3)) * 3, targets_for(name, 5, 3, random)
    loss = OUTPUTS[name][1]
    difference = np.zeros_like(z)
    for place in np.ndindex(z.shape):
        change = np.zeros_like(z)
        change[place] = STEP
        difference[place] = (loss(z + change, t)[0] - loss(z - change, t)[0]) / (2 * STEP)
    np.testing.assert_allclose(loss(z, t)[1], difference, rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("scale", [1.0, 1000.0])
@pytest.mark.parametrize("name", OUTPUTS)
def test_loss_and_its_gradient_equal_torch_for_logits_of_any_size(name: str, scale: float) -> None:
    random = np.random.default_rng(1)
    z, t = random.normal(size=(6, 4)) * scale, targets_for(name, 6, 4, random)
    tensor = torch.from_numpy(z.copy()).requires_grad_()
    expected = TORCH_LOSSES[name](tensor, torch.from_numpy(t))
    expected.backward()
    loss, gradient = OUTPUTS[name][1](z, t)
    assert loss == pytest.approx(expected.item(), rel=1e-12)
    np.testing.assert_allclose(gradient, tensor.grad, rtol=1e-12, atol=1e-15)


@pytest.mark.parametrize(
    ("name", "oracle"),
    [("linear", lambda z: z), ("sigmoid", torch.sigmoid), ("softmax", lambda z: torch.softmax(z, dim=1))],
)
def test_prediction_equals_torch(name: str, oracle: Any) -> None:
    random = np.random.default_rng(2)
    network, x = network_with_biases([3, 5, 4], random, output=name), random.normal(size=(6, 3))
    np.testing.assert_allclose(network.predict(x), oracle(torch.from_numpy(network.forward(x))), rtol=1e-12)


@pytest.mark.parametrize("sizes", [[3, 2], [4, 5, 3], [3, 4, 5, 4, 2]])
@pytest.mark.parametrize("output", OUTPUTS)
@pytest.mark.parametrize("hidden", ACTIVATIONS)
def test_gradients_of_the_network_are_finite_differences(hidden: str, output: str, sizes: list[int]) -> None:
    random = np.random.default_rng(3)
    network = network_with_biases(sizes, random, hidden=hidden, output=output, l2=0.3)
    x, t = random.normal(size=(6, sizes[0])), targets_for(output, 6, sizes[-1], random)
    gradients = network.backward(x, t)
    assert set(gradients) == set(network.parameters)
    for name, value in network.parameters.items():
        difference = np.zeros_like(value)
        for place in np.ndindex(value.shape):
            before = value[place]
            value[place] = before + STEP
            above = network.loss(x, t)
            value[place] = before - STEP
            difference[place] = (above - network.loss(x, t)) / (2 * STEP)
            value[place] = before
        np.testing.assert_allclose(gradients[name], difference, rtol=1e-5, atol=1e-8, err_msg=name)


@pytest.mark.parametrize("output", OUTPUTS)
@pytest.mark.parametrize("hidden", ACTIVATIONS)
def test_forward_loss_and_gradients_equal_torch(hidden: str, output: str) -> None:
    random = np.random.default_rng(4)
    network = network_with_biases([7, 9, 8, 3], random, hidden=hidden, output=output)
    x, t = random.normal(size=(11, 7)), targets_for(output, 11, 3, random)
    tensors = tensors_of(network.parameters)
    logits = torch_forward(x, tensors, hidden)
    loss = TORCH_LOSSES[output](logits, torch.from_numpy(t))
    loss.backward()
    np.testing.assert_allclose(network.forward(x), logits.detach(), rtol=1e-11, atol=1e-13)
    assert network.loss(x, t) == pytest.approx(loss.item(), rel=1e-12)
    for name, gradient in network.backward(x, t).items():
        np.testing.assert_allclose(gradient, tensors[name].grad, rtol=1e-10, atol=1e-13, err_msg=name)


@pytest.mark.parametrize("sizes", [[3, 2], [64, 32, 16, 10]])
def test_parameter_count_equals_the_formula(sizes: list[int]) -> None:
    network = Network(sizes, np.random.default_rng(5))
    expected = sum((before + 1) * after for before, after in pairwise(sizes))
    assert sum(value.size for value in network.parameters.values()) == expected
    assert all(value.dtype == np.float64 for value in network.parameters.values())


@pytest.mark.parametrize(
    ("name", "oracle"),
    [
        ("he_normal", lambda weight: nn.init.kaiming_normal_(weight, nonlinearity="relu")),
        ("he_uniform", lambda weight: nn.init.kaiming_uniform_(weight, nonlinearity="relu")),
        ("xavier_normal", nn.init.xavier_normal_),
        ("xavier_uniform", nn.init.xavier_uniform_),
    ],
)
def test_first_weights_have_the_distribution_of_torch(name: str, oracle: Any) -> None:
    weight = INITIALISERS[name](600, 300, np.random.default_rng(6))
    torch.manual_seed(6)
    expected = oracle(torch.empty(300, 600, dtype=torch.float64)).numpy()
    assert weight.shape == expected.shape
    shares = [0.0005, 0.1, 0.25, 0.75, 0.9, 0.9995]
    np.testing.assert_allclose(np.quantile(weight, shares), np.quantile(expected, shares), rtol=0.04)
    assert weight.std() == pytest.approx(expected.std(), rel=0.01)


def three_layers(count: int) -> tuple[Arrays, list[Arrays]]:
    """Return weights, wide, tall and last, and the gradients of `count` steps."""
    random = np.random.default_rng(7)
    parameters = network_with_biases([6, 4, 9, 3], random).parameters
    return parameters, [{name: random.normal(size=w.shape) for name, w in parameters.items()} for _ in range(count)]


def take_steps(parameters: dict[str, Tensor], gradients: list[Arrays], optimizers: list[torch.optim.Optimizer]) -> None:
    for step in gradients:
        for name, parameter in parameters.items():
            parameter.grad = torch.from_numpy(step[name].copy())
        for optimizer in optimizers:
            optimizer.step()


@pytest.mark.parametrize("decay_biases", [False, True])
@pytest.mark.parametrize("count", [1, 3])
@pytest.mark.parametrize("name", TORCH_OPTIMIZERS)
def test_steps_of_an_optimizer_equal_torch(name: str, count: int, decay_biases: bool) -> None:
    parameters, gradients = three_layers(count)
    tensors = tensors_of(parameters)
    groups = [
        {"params": [w for w in tensors.values() if w.ndim == 2], "weight_decay": 0.4},
        {"params": [w for w in tensors.values() if w.ndim == 1], "weight_decay": 0.4 * decay_biases},
    ]
    take_steps(tensors, gradients, [TORCH_OPTIMIZERS[name](groups, lr=0.05, **SETTINGS[name])])
    optimizer = OPTIMIZERS[name](weight_decay=0.4, decay_biases=decay_biases, **SETTINGS[name])
    for step in gradients:
        optimizer.step(parameters, step, lr=0.05)
    for key, value in parameters.items():
        np.testing.assert_allclose(value, tensors[key].detach(), rtol=1e-10, atol=1e-12, err_msg=key)


def muon_steps(count: int, adjust_lr_fn: str) -> tuple[Arrays, Arrays, Arrays]:
    """Return the weights before, after the reference's steps, and after torch's, all with a learning rate of 0.05."""
    parameters, gradients = three_layers(count)
    before = {name: value.copy() for name, value in parameters.items()}
    tensors = tensors_of(parameters)
    rest = [tensors["2.weight"]], [w for w in tensors.values() if w.ndim == 1]
    hidden = [tensors["0.weight"], tensors["1.weight"]]
    muon = torch.optim.Muon(hidden, lr=0.05, momentum=0.8, weight_decay=0.4, adjust_lr_fn=adjust_lr_fn)
    groups = [{"params": rest[0], "weight_decay": 0.4}, {"params": rest[1], "weight_decay": 0.0}]
    take_steps(tensors, gradients, [muon, torch.optim.AdamW(groups, lr=0.05, betas=(0.8, 0.95))])
    optimizer = Muon(momentum=0.8, betas=(0.8, 0.95), weight_decay=0.4, adjust_lr_fn=adjust_lr_fn)
    for step in gradients:
        optimizer.step(parameters, step, lr=0.05)
    return before, parameters, {name: value.detach().numpy() for name, value in tensors.items()}


@pytest.mark.parametrize("adjust_lr_fn", ["match_rms_adamw", "original"])
@pytest.mark.parametrize("count", [1, 3])
def test_steps_of_muon_equal_torch_where_torch_keeps_float64(
    count: int, adjust_lr_fn: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.Tensor, "bfloat16", torch.Tensor.clone)
    _, weights, expected = muon_steps(count, adjust_lr_fn)
    for name, value in weights.items():
        np.testing.assert_allclose(value, expected[name], rtol=1e-9, atol=1e-11, err_msg=name)


@pytest.mark.parametrize("count", [1, 3])
def test_steps_of_muon_equal_torch_as_far_as_bfloat16_goes(count: int) -> None:
    before, weights, expected = muon_steps(count, "match_rms_adamw")
    for name in ("0.weight", "1.weight"):
        difference, moved = weights[name] - expected[name], expected[name] - before[name]
        assert 0 < np.linalg.norm(difference) < 0.05 * np.linalg.norm(moved), name
    for name in ("2.weight", "0.bias", "1.bias", "2.bias"):
        np.testing.assert_allclose(weights[name], expected[name], rtol=1e-10, atol=1e-12, err_msg=name)


@pytest.mark.parametrize("shape", [(12, 5), (5, 12), (8, 8)])
def test_orthogonalise_keeps_the_singular_vectors_and_evens_the_values(shape: tuple[int, int]) -> None:
    g = np.random.default_rng(8).normal(size=shape)
    u, _, v = np.linalg.svd(g, full_matrices=False)
    inner = u.T @ orthogonalise(g) @ v.T
    np.testing.assert_allclose(inner, np.diag(np.diag(inner)), atol=1e-12)
    assert np.all((np.diag(inner) > 0.5) & (np.diag(inner) < 1.5))


def test_every_configured_optimizer_is_here_with_the_same_defaults() -> None:
    configured = {name for kind in get_args(get_args(OptimizerParams)[0]) for name in names_of(kind)}
    assert set(OPTIMIZERS) == configured == {*TORCH_OPTIMIZERS, "muon"}
    for name, kind in OPTIMIZERS.items():
        params = TypeAdapter(OptimizerParams).validate_python(name).model_dump(exclude={"name", "lr"})
        assert params == {field: getattr(kind(), field) for field in params}, name


def names_of(kind: Any) -> tuple[str, ...]:
    return get_args(kind.model_fields["name"].annotation)


@pytest.mark.parametrize("max_norm", [0.1, 5.0, 1e3, math.inf])
def test_clipping_equals_torch(max_norm: float) -> None:
    parameters, (gradients,) = three_layers(1)
    tensors = tensors_of(parameters)
    take_steps(tensors, [gradients], [])
    norm = nn.utils.clip_grad_norm_(tensors.values(), max_norm)
    clipped = clip_by_norm(gradients, max_norm)
    assert 5.0 < norm < 1e3
    for name, gradient in clipped.items():
        np.testing.assert_allclose(gradient, tensors[name].grad, rtol=1e-12, err_msg=name)


def test_l2_penalty_of_the_loss_is_weight_decay_of_sgd() -> None:
    random = np.random.default_rng(9)
    x, t = random.normal(size=(8, 4)), targets_for("softmax", 8, 3, random)
    penalised, decayed = (network_with_biases([4, 5, 3], np.random.default_rng(9), l2=l2) for l2 in (0.2, 0.0))
    SGD().step(penalised.parameters, penalised.backward(x, t), lr=0.1)
    SGD(weight_decay=0.2).step(decayed.parameters, decayed.backward(x, t), lr=0.1)
    for name, value in penalised.parameters.items():
        np.testing.assert_allclose(value, decayed.parameters[name], rtol=1e-12, err_msg=name)


def test_training_without_a_batch_size_is_one_step_an_epoch_on_all_rows() -> None:
    random = np.random.default_rng(10)
    x, t = random.normal(size=(8, 4)), targets_for("softmax", 8, 3, random)
    trained, stepped = (network_with_biases([4, 5, 3], np.random.default_rng(10)) for _ in range(2))
    losses = train(trained, OPTIMIZERS["gd"](), x, t, random, lr=0.1, epochs=2, clip_norm=0.05)
    for loss in losses:
        SGD().step(stepped.parameters, clip_by_norm(stepped.backward(x, t), 0.05), lr=0.1)
        assert loss == pytest.approx(stepped.loss(x, t), rel=1e-12)
    assert len(losses) == 2


def test_an_epoch_sees_every_row_once_in_an_order_that_the_generator_decides() -> None:
    seen: list[np.ndarray] = []

    class Watched(Network):
        def backward(self, x: np.ndarray, targets: np.ndarray) -> Arrays:
            seen.append(x[:, 0])
            return super().backward(x, targets)

    x = np.arange(10.0)[:, None]
    network = Watched([1, 1], np.random.default_rng(0), output="linear")
    train(network, SGD(), x, x, np.random.default_rng(11), lr=1e-3, epochs=2, batch_size=4)
    assert [len(rows) for rows in seen] == [4, 4, 2, 4, 4, 2]
    order = np.random.default_rng(11)
    for epoch in (seen[:3], seen[3:]):
        np.testing.assert_array_equal(np.concatenate(epoch), order.permutation(10))


def test_targets_that_numpy_would_broadcast_are_refused() -> None:
    network = Network([4, 1], np.random.default_rng(12), output="sigmoid")
    for method in (network.loss, network.backward):
        with pytest.raises(ValueError, match=r"targets must be \(5, 1\), not \(5,\): write .* targets\[:, None\]"):
            method(np.ones((5, 4)), np.ones(5))


def test_it_learns_digits() -> None:
    images, labels = load_digits(return_X_y=True)
    random = np.random.default_rng(13)
    order = random.permutation(len(images))
    x, labels = images[order] / 16, labels[order]
    network = Network([64, 48, 10], random, hidden="tanh", initialiser="xavier_uniform")
    losses = train(
        network, OPTIMIZERS["nesterov"](), x[:1400], np.eye(10)[labels[:1400]], random, lr=0.1, epochs=6, batch_size=32
    )
    assert losses[-1] < 0.1 < losses[0]
    assert np.mean(network.predict(x[1400:]).argmax(axis=1) == labels[1400:]) > 0.95


def test_the_example_learns_digits(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as end:
        runpy.run_path(str(EXAMPLE), run_name="__main__")
    assert end.value.code in (0, None)
    accuracy = float(capsys.readouterr().out.splitlines()[-1].split()[-2])
    assert 95 < accuracy <= 100


def test_the_example_says_in_one_line_that_scikit_learn_is_missing(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "sklearn.datasets", None)
    with pytest.raises(SystemExit) as end:
        runpy.run_path(str(EXAMPLE), run_name="__main__")
    written = capsys.readouterr()
    assert end.value.code == 2
    assert written.out == ""
    assert written.err.splitlines() == ["this example reads scikit-learn's digits: python -m pip install scikit-learn"]
