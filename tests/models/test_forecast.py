"""Networks over windows: formulas of the heads, normalisation, order of outputs, parameters, learning, export."""

from typing import Any

import numpy as np
import pytest
import torch
from pydantic import TypeAdapter, ValidationError
from torch import Tensor, nn
from torch.nn import functional

from ann.config.networks import ForecastParams
from ann.data.batches import TensorData
from ann.errors import ConfigError
from ann.export.network import export_network, run_network
from ann.models.forecast import HEADS, Forecasts, forecast, moving_average
from ann.training.losses import mse
from ann.training.step import forward_loss

LENGTH, CHANNELS, HORIZON, TARGETS = 30, 3, 4, [2, 0]
KINDS: dict[str, dict[str, object]] = {
    "linear": {"name": "linear"},
    "linear together": {"name": "linear", "channels": "together"},
    "linear individual": {"name": "linear", "channels": "individual"},
    "dlinear": {"name": "dlinear"},
    "dlinear together": {"name": "dlinear", "channels": "together", "kernel": 5},
    "dlinear individual": {"name": "dlinear", "channels": "individual", "kernel": 7},
    "mlp": {"name": "mlp", "hidden": (20, 10), "dropout": 0.0},
    "mlp together": {"name": "mlp", "hidden": (20,), "norm": "layer", "channels": "together"},
    "rnn": {"name": "rnn", "units": 6, "layers": 2},
    "rnn together": {"name": "rnn", "cell": "lstm", "units": 6, "channels": "together"},
    "transformer": {"name": "transformer", "patch": 8, "stride": 4, "width": 12, "inner": 16, "dropout": 0.0},
}


def build(
    kind: str, quantiles: int = 1, normalise: str = "auto", lookbacks: tuple[int, ...] = (), **settings: object
) -> Any:
    head = {**KINDS[kind], **settings}
    model = ForecastParams(family="forecast", head=head, lookbacks=lookbacks, normalise=normalise)
    torch.manual_seed(1)
    return forecast(
        length=LENGTH,
        channels=CHANNELS,
        horizon=HORIZON,
        targets=TARGETS,
        outputs=HORIZON * len(TARGETS) * quantiles,
        **model.model_dump(exclude={"family"}),
    )


def moved(network: nn.Module) -> Any:
    """Draw all weights anew, since some start at zero."""
    torch.manual_seed(2)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.1)
    return network


def windows(count: int = 5, seed: int = 0) -> dict[str, Tensor]:
    return {"series": torch.randn(count, LENGTH, CHANNELS, generator=torch.Generator().manual_seed(seed)).cumsum(1)}


def double(tensor: Tensor) -> np.ndarray:
    return tensor.detach().double().numpy()


@pytest.mark.parametrize("normalise", ["none", "last", "standard"])
@pytest.mark.parametrize("kernel", [1, 25, 41])
def test_dlinear_is_its_formula(kernel: int, normalise: str) -> None:
    network = moved(build("dlinear", kernel=kernel, normalise=normalise))
    found = double(network(windows())).reshape(5, HORIZON, len(TARGETS))
    seasonal, trend = network.head.seasonal, network.head.trend
    for row, window in enumerate(double(windows()["series"])):
        for place, channel in enumerate(TARGETS):
            x, half = window[:, channel], kernel // 2
            shift = {"none": 0.0, "last": x[-1], "standard": x.mean()}[normalise]
            scale = np.sqrt(x.var() + 1e-5) if normalise == "standard" else 1.0
            x = (x - shift) / scale
            padded = [x[min(max(time, 0), LENGTH - 1)] for time in range(-half, LENGTH + half)]
            mean = np.array([np.mean(padded[time : time + kernel]) for time in range(LENGTH)])
            y = double(seasonal.weight) @ (x - mean) + double(trend.weight) @ mean
            y += double(seasonal.bias) + double(trend.bias)
            np.testing.assert_allclose(found[row, :, place], y * scale + shift, rtol=0, atol=1e-5)


def test_individual_maps_are_one_matrix_a_channel() -> None:
    network = moved(build("linear individual", normalise="none"))
    found = double(network(windows())).reshape(5, HORIZON, len(TARGETS))
    weight, bias = double(network.head.map.weight), double(network.head.map.bias)
    for place, channel in enumerate(TARGETS):
        expected = double(windows()["series"])[:, :, channel] @ weight[place] + bias[place]
        np.testing.assert_allclose(found[:, :, place], expected, rtol=0, atol=1e-5)


def test_a_map_of_all_channels_sees_them_time_by_time() -> None:
    network = moved(build("linear together", quantiles=2, normalise="none"))
    expected = double(windows()["series"]).reshape(5, -1) @ double(network.head.map.weight).T
    np.testing.assert_allclose(double(network(windows())), expected + double(network.head.map.bias), rtol=0, atol=1e-5)


def test_outputs_are_ordered_by_time_then_channel_then_quantile() -> None:
    for kind, share in (("linear", 1), ("linear together", len(TARGETS))):
        network = build(kind, quantiles=3, normalise="none")
        with torch.no_grad():
            network.head.map.bias.copy_(torch.arange(HORIZON * share * 3))
        out = network(windows()).detach().view(5, HORIZON, len(TARGETS), 3)
        for time in range(HORIZON):
            for place in range(len(TARGETS)):
                first = time * 3 if share == 1 else (time * len(TARGETS) + place) * 3
                assert out[0, time, place].tolist() == [first, first + 1, first + 2]


@pytest.mark.parametrize("kind", ["linear", "linear together", "linear individual", "dlinear"])
def test_a_linear_head_begins_with_repeating_the_last_value(kind: str) -> None:
    out = build(kind)(windows()).view(5, HORIZON, len(TARGETS))
    last = windows()["series"][:, -1:, TARGETS]
    torch.testing.assert_close(out, last.expand(-1, HORIZON, -1))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("normalise", ["last", "standard"])
def test_a_shifted_window_gives_a_shifted_forecast(kind: str, normalise: str) -> None:
    network, inputs = moved(build(kind, normalise=normalise)).eval(), windows()
    shift = torch.tensor([3.0, -2.0, 5.0])
    expected = network(inputs).view(5, HORIZON, 2) + shift[TARGETS]
    found = network({"series": inputs["series"] + shift}).view(5, HORIZON, 2)
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-4)


@pytest.mark.parametrize("kind", KINDS)
def test_a_stretched_window_gives_a_stretched_forecast(kind: str) -> None:
    network, inputs = moved(build(kind, normalise="standard")).eval(), windows()
    found = network({"series": inputs["series"] * 50}).view(5, HORIZON, 2)
    torch.testing.assert_close(found, network(inputs).view(5, HORIZON, 2) * 50, rtol=1e-3, atol=5e-3)


def test_a_window_that_never_changes_gives_numbers() -> None:
    for kind in KINDS:
        network = moved(build(kind, normalise="standard"))
        out = network({"series": torch.full((2, LENGTH, CHANNELS), 4.0)})
        out.sum().backward()
        assert torch.isfinite(out).all()
        assert all(torch.isfinite(p.grad).all() for p in network.parameters())


@pytest.mark.parametrize("kind", [kind for kind in KINDS if "together" not in kind])
def test_channels_by_themselves_do_not_see_each_other(kind: str) -> None:
    network, inputs = moved(build(kind)).eval(), windows()
    other = inputs["series"].clone()
    other[:, :, [0, 1]] += torch.randn(5, LENGTH, 2)
    before, after = (network({"series": x}).view(5, HORIZON, 2) for x in (inputs["series"], other))
    torch.testing.assert_close(after[..., 0], before[..., 0], rtol=0, atol=1e-6)
    assert not torch.allclose(after[..., 1], before[..., 1], atol=1e-3)


@pytest.mark.parametrize("kind", [kind for kind in KINDS if "together" in kind])
def test_channels_together_see_those_that_are_not_predicted(kind: str) -> None:
    network, inputs = moved(build(kind)).eval(), windows()
    other = inputs["series"].clone()
    other[:, :, 1] += torch.randn(5, LENGTH)
    assert not torch.allclose(network({"series": other}), network(inputs), atol=1e-4)


@pytest.mark.parametrize("quantiles", [1, 3])
@pytest.mark.parametrize("kind", KINDS)
def test_parameter_counts_follow_the_formulas(kind: str, quantiles: int) -> None:
    length, ahead, one, two = LENGTH, HORIZON * quantiles, CHANNELS, len(TARGETS)

    def linear(before: int, after: int) -> int:
        return before * after + after

    patches = (length - 8) // 4 + 2
    block = linear(12, 36) + linear(12, 12) + linear(12, 16) + linear(16, 12) + 4 * 12
    expected = {
        "linear": linear(length, ahead),
        "linear together": linear(length * one, ahead * two),
        "linear individual": two * linear(length, ahead),
        "dlinear": 2 * linear(length, ahead),
        "dlinear together": 2 * linear(length * one, ahead * two),
        "dlinear individual": 2 * two * linear(length, ahead),
        "mlp": linear(length, 20) + linear(20, 10) + linear(10, ahead),
        "mlp together": linear(length * one, 20) + 2 * 20 + linear(20, ahead * two),
        "rnn": 3 * 6 * (1 + 6 + 2) + 3 * 6 * (6 + 6 + 2) + linear(6, ahead),
        "rnn together": 4 * 6 * (one + 6 + 2) + linear(6, ahead * two),
        "transformer": linear(8, 12) + patches * 12 + 2 * block + 24 + linear(patches * 12, ahead),
    }
    assert sum(p.numel() for p in build(kind, quantiles).parameters()) == expected[kind]


@pytest.mark.parametrize("kind", ["linear individual", "dlinear", "mlp", "rnn together", "transformer"])
def test_it_learns_waves_far_better_than_repeating_the_last_value(kind: str) -> None:
    times = torch.arange(64).view(-1, 1, 1) + torch.arange(LENGTH + HORIZON).view(1, -1, 1)
    waves = torch.sin(times / torch.tensor([3.0, 5.0, 7.0])) + torch.tensor([0.0, 10.0, -4.0])
    past, future = waves[:, :LENGTH], waves[:, LENGTH:, TARGETS]
    network = build(kind, **({"units": 24} if "rnn" in kind else {}))
    optimizer = torch.optim.Adam(network.parameters(), lr=0.01)
    for _ in range(200):
        optimizer.zero_grad()
        loss = functional.mse_loss(network({"series": past}).view_as(future), future)
        loss.backward()
        optimizer.step()
    naive = functional.mse_loss(past[:, -1:, TARGETS].expand_as(future), future)
    assert loss < naive / 50


@pytest.mark.parametrize("kind", KINDS)
def test_a_gradient_reaches_every_parameter(kind: str) -> None:
    network = moved(build(kind))
    network(windows(40)).square().sum().backward()
    for name, parameter in network.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.abs().sum() > 0, name


@pytest.mark.parametrize(
    ("kind", "normalise"), [(kind, "auto") for kind in KINDS if kind != "rnn"] + [("rnn", "none"), ("mlp", "standard")]
)
def test_the_exported_graph_agrees_for_any_number_of_windows(kind: str, normalise: str) -> None:
    network = moved(build(kind, quantiles=2, normalise=normalise)).eval()
    graph = export_network(network, TensorData(windows(4), torch.zeros(4)))
    for count in (1, 2, 9):
        inputs = windows(count, seed=count)
        found = run_network(graph, {"series": inputs["series"].numpy()})
        np.testing.assert_allclose(found, double(network(inputs)), rtol=1e-5, atol=1e-5)


def ensemble(quantiles: int = 1) -> Forecasts:
    model = ForecastParams(family="forecast", lookbacks=(10, 30), normalise=("last", "none", "standard"))
    outputs = HORIZON * len(TARGETS) * quantiles
    shapes = {"length": LENGTH, "channels": CHANNELS, "horizon": HORIZON, "targets": TARGETS, "outputs": outputs}
    network = forecast(**shapes, **model.model_dump(exclude={"family"}))
    assert isinstance(network, Forecasts)
    return moved(network)


def test_an_ensemble_answers_the_mean_of_a_network_for_each_lookback_and_way_to_normalise() -> None:
    network = ensemble(quantiles=3).eval()
    ways = ["last", "none", "standard"]
    assert [member.normalise for member in network.networks] == 2 * ways
    assert [member.head.map.in_features for member in network.networks] == [10] * 3 + [30] * 3
    expected = sum(double(member(windows())) for member in network.networks) / 6
    np.testing.assert_allclose(double(network(windows())), expected, rtol=1e-6, atol=1e-5)


def test_a_network_with_a_lookback_sees_the_newest_times_alone() -> None:
    network, inputs = moved(build("linear", lookbacks=(10,))).eval(), windows()
    other = inputs["series"].clone()
    other[:, :20] = 7
    torch.testing.assert_close(network({"series": other}), network(inputs))
    torch.testing.assert_close(network({"series": inputs["series"][:, 20:]}), network(inputs))


def test_a_lookback_longer_than_the_window_is_refused() -> None:
    with pytest.raises(ConfigError, match="reads 31 times does not fit into a window of 30"):
        build("linear", lookbacks=(10, 31))


def test_each_member_is_trained_as_if_it_were_alone() -> None:
    network, batch = ensemble().train(), TensorData(windows(), torch.randn(5, HORIZON, len(TARGETS)))
    forward_loss(network, mse, batch).backward()
    for member in network.networks:
        together = [weight.grad.clone() for weight in member.parameters()]
        member.zero_grad()
        forward_loss(member, mse, batch).backward()
        alone = [weight.grad / 6 for weight in member.parameters()]
        torch.testing.assert_close(together, alone)


def test_an_exported_ensemble_agrees_with_the_network() -> None:
    network = ensemble(quantiles=2).eval()
    graph = export_network(network, TensorData(windows(4), torch.zeros(4)))
    found = run_network(graph, {"series": windows(9)["series"].numpy()})
    np.testing.assert_allclose(found, double(network(windows(9))), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(
    "members", [{"normalise": ("last", "last")}, {"normalise": ("auto", "none")}, {"lookbacks": (7, 7)}]
)
def test_members_that_do_not_differ_are_refused(members: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        ForecastParams(family="forecast", **members)


def test_patches_reach_the_newest_time_and_stand_at_their_strides() -> None:
    network = build("transformer", normalise="none")
    seen: list[Tensor] = []
    network.head.embedding.register_forward_pre_hook(lambda layer, given: seen.append(given[0]))
    network(windows(1))
    series = np.pad(windows(1)["series"][0, :, TARGETS[0]].numpy(), (0, 4), mode="edge")
    expected = np.stack([series[start : start + 8] for start in range(0, len(series) - 7, 4)])
    np.testing.assert_array_equal(seen[0][0].numpy(), expected)
    assert 8 + 4 * (len(expected) - 1) >= LENGTH


def test_the_moving_average_of_a_line_is_the_line_away_from_the_ends() -> None:
    line = torch.arange(30.0).view(1, 1, 30, 1)
    torch.testing.assert_close(moving_average(line, 9)[0, 0, 4:-4], line[0, 0, 4:-4])


def test_auto_is_standard_for_the_transformer_and_last_for_the_others() -> None:
    assert {kind: build(kind).normalise for kind in ("linear", "dlinear", "mlp", "rnn", "transformer")} == {
        "linear": "last",
        "dlinear": "last",
        "mlp": "last",
        "rnn": "last",
        "transformer": "standard",
    }


def test_a_patch_longer_than_the_window_is_refused() -> None:
    with pytest.raises(ConfigError, match="a patch of 31 times does not fit into a window of 30"):
        build("transformer", patch=31)


def test_what_cannot_be_is_refused() -> None:
    for head, words in (
        ({"name": "dlinear", "kernel": 24}, "has no middle: write an odd number"),
        ({"name": "transformer", "heads": 3}, "3 heads cannot share a width of 64 evenly: make width"),
    ):
        with pytest.raises(ValidationError, match=words):
            ForecastParams(family="forecast", head=head)


def test_every_head_can_be_configured_by_its_name() -> None:
    for name in HEADS:
        model = TypeAdapter(ForecastParams).validate_python({"family": "forecast", "head": name})
        settings = model.model_dump(exclude={"family"})
        network = forecast(length=48, channels=2, horizon=3, targets=[1], outputs=3, **settings)
        assert isinstance(network, nn.Module)
        assert network({"series": torch.randn(2, 48, 2)}).shape == (2, 3)
