"""Every family is built for the data that it reads; those of dense layers learn, reach every weight, and export."""

from typing import get_args

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

from ann.config.layers import DenseMLPParams, MLPParams, ResMLPParams
from ann.config.model import Architecture, read_model
from ann.config.train import TrainParams
from ann.data.batches import TensorData
from ann.data.target import Target, classification
from ann.errors import ConfigError
from ann.export.network import export_network, run_network, verify_network
from ann.models import FAMILIES, build_network, check_family
from ann.models.blocks import hidden_block
from ann.models.dropout import Dropout
from ann.models.tabular import MEANS
from ann.training.fit import fit

PARAMS = {"mlp": MLPParams, "resmlp": ResMLPParams, "densemlp": DenseMLPParams}
STYLES = [
    {},
    {"norm": "batch", "activation": "gelu"},
    {"norm": "batch", "norm_position": "after", "activation": "leaky_relu"},
    {"norm": "group", "activation": "silu", "initialisation": "orthogonal"},
    {"norm": "none", "activation": "selu", "dropout_kind": "auto"},
    {"norm": "layer", "norm_position": "after", "activation": "elu", "initialisation": "xavier_normal"},
]
KINDS: dict[str, dict[str, object]] = {
    "numeric": {"width": 3},
    "categorical": {"sizes": [5]},
    "text": {"words": 9, "length": 6},
    "image": {"channels": 1, "height": 16, "width": 16},
    "audio": {"mels": 8, "frames": 20},
    "series": {"length": 8, "channels": 2, "horizon": 3, "targets": [1]},
}
GROUPS = {name: KINDS[name] for name in ("numeric", "categorical")}
SETTINGS: dict[str, dict[str, object]] = {
    **{name: {} for name in FAMILIES if name != "pretrained"},  # its libraries need not be installed
    "custom": {"module": "torch.nn:Identity"},
}
THREE = classification(3)
LABELS = Target("multilabel", ("a", "b"))
NUMBERS = Target("regression", ("a", "b"), quantiles=(0.1, 0.5, 0.9))
FORECAST = Target("forecast", ("b",), horizon=3)
EMBEDDED = 4
"""ceil(1.6 * 5^0.56)"""


def rows(count: int = 64) -> TensorData:
    random = torch.Generator().manual_seed(0)
    inputs = {
        "numeric": torch.randn(count, 3, generator=random),
        "categorical": torch.randint(5, (count, 1), generator=random),
    }
    return TensorData(inputs, torch.randint(3, (count,), generator=random))


def build(family: str, **settings: object) -> nn.Module:
    torch.manual_seed(1)
    model = PARAMS[family](**{"family": family, "hidden": (16, 16), "dropout": 0.0, **settings})
    return build_network(model, GROUPS, classification(3))


def names_of(section: type) -> tuple[str, ...]:
    return get_args(section.model_fields["family"].annotation)


def test_every_family_of_the_configuration_can_be_built() -> None:
    assert set(FAMILIES) == {name for section in get_args(Architecture) for name in names_of(section)}
    for name, settings in SETTINGS.items():
        groups = {group: KINDS[group] for group in FAMILIES[name].reads or ["text"] if group != "audio_frames"}
        target = FORECAST if "series" in groups else THREE
        network = build_network(read_model({"family": name, **settings}), groups, target)
        assert isinstance(network, nn.Module), name


@pytest.mark.parametrize("target", [THREE, LABELS, NUMBERS], ids=lambda target: target.task)
def test_a_network_gives_as_many_values_as_the_target_needs(target: Target) -> None:
    for family in ("mlp", "tabular"):
        network = build_network(read_model({"family": family}), GROUPS, target).eval()
        assert network(rows(2).inputs).shape == (2, {"multiclass": 3, "multilabel": 2, "regression": 6}[target.task])


@pytest.mark.parametrize(
    ("target", "mean"),
    [(THREE, "classes"), (LABELS, "labels"), (NUMBERS, "numbers"), (classification(2), "classes")],
    ids=str,
)
def test_an_ensemble_averages_what_the_task_answers(target: Target, mean: str) -> None:
    assert build_network(read_model({"family": "tabular"}), GROUPS, target).mean is MEANS[mean]


@pytest.mark.parametrize(
    ("family", "groups", "message"),
    [
        (
            "mlp",
            ["numeric", "text"],
            "model.family: mlp reads numeric and categorical and image columns, but the data has numeric and text: "
            "write auto or multimodal, or drop the text columns",
        ),
        (
            "cnn",
            ["text"],
            "model.family: cnn reads image columns, but the data has text: "
            "write auto or multimodal or text, or drop the text columns",
        ),
        (
            "multimodal",
            ["series"],
            "model.family: multimodal reads numeric and categorical and text and image and audio and audio_frames "
            "columns, but the data has series: write auto or forecast, or drop the series columns",
        ),
    ],
)
def test_data_that_a_family_does_not_read_is_refused_with_those_that_do(
    family: str, groups: list[str], message: str
) -> None:
    with pytest.raises(ConfigError) as caught:
        build_network(read_model({"family": family}), {name: KINDS[name] for name in groups}, THREE)
    assert str(caught.value) == message


@pytest.mark.parametrize("family", PARAMS)
def test_to_dense_layers_a_pixel_is_one_number_more(family: str) -> None:
    groups = {**GROUPS, "image": {"channels": 2, "height": 4, "width": 5}}
    torch.manual_seed(1)
    network = build_network(PARAMS[family](family=family, hidden=(16,), norm="none"), groups, THREE).eval()
    assert network.features == 3 + EMBEDDED + 2 * 4 * 5
    inputs = rows(2).inputs | {"image": torch.randn(2, 2, 4, 5)}
    other = {**inputs, "image": inputs["image"].clone()}
    other["image"][0, 1, 3, 4] += 1  # the last pixel of the first row
    same = (network(inputs) == network(other)).all(dim=1)
    assert same.tolist() == [False, True]


def test_a_forecast_is_refused_by_families_that_make_none() -> None:
    with pytest.raises(ConfigError, match=r"model\.family: tabular makes no forecasts: write auto or forecast"):
        check_family("tabular", GROUPS, FORECAST)
    check_family("forecast", {"series": KINDS["series"]}, FORECAST)


def test_a_network_of_ones_own_is_offered_every_group() -> None:
    check_family("custom", KINDS, FORECAST)
    check_family("custom", KINDS, LABELS)


@pytest.mark.parametrize("style", STYLES, ids=str)
@pytest.mark.parametrize("family", PARAMS)
def test_it_learns_64_random_labels_by_heart(family: str, style: dict[str, object]) -> None:
    network = build(family, **{"hidden": (48, 48), **style})
    params = TrainParams(epochs=300, batch_size=64, optimizer={"lr": 0.02, "weight_decay": 0.0}, early_stopping=None)
    result = fit(network, rows(), rows(), params, seed=0)
    assert max(record.metrics["accuracy"] for record in result.history) == 1.0


@pytest.mark.parametrize("style", STYLES, ids=str)
@pytest.mark.parametrize("family", PARAMS)
def test_the_exported_graph_agrees_for_any_number_of_rows(family: str, style: dict[str, object]) -> None:
    network = build(family, **{**style, "dropout": 0.2})
    with torch.no_grad():
        for _ in range(3):
            network.train()(rows().inputs)  # BatchNorm has seen rows
    graph = export_network(network, rows(4))
    for count in (1, 2, 64):
        verify_network(graph, network, rows(count), classification(3))
    logits = run_network(graph, {name: tensor.numpy() for name, tensor in rows(5).inputs.items()})
    assert logits.shape == (5, 3)
    assert np.isfinite(logits).all()


@pytest.mark.parametrize("norm", ["batch", "group", "layer", "none"])
@pytest.mark.parametrize("family", PARAMS)
def test_a_gradient_reaches_every_parameter(family: str, norm: str) -> None:
    network = build(family, norm=norm, activation="tanh")
    functional.cross_entropy(network(rows().inputs), rows().target).backward()
    for name, parameter in network.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.abs().sum() > 0, name


@pytest.mark.parametrize(("norm", "vectors"), [("none", 1), ("layer", 3), ("group", 3), ("batch", 2)])
def test_parameter_counts_follow_the_formula(norm: str, vectors: int) -> None:
    """Hidden widths 16 and 8; `vectors` are bias, scale and shift, as far as a hidden layer has them."""
    features, embeddings = 3 + EMBEDDED, 5 * EMBEDDED
    layer = {(before, after): before * after + vectors * after for before in range(64) for after in (8, 16)}
    expected = {
        "mlp": layer[features, 16] + layer[16, 8] + 8 * 3,
        "densemlp": layer[features, 16] + layer[features + 16, 8] + (features + 24) * 3,
        "resmlp": layer[features, 16] + layer[16, 16] + layer[16, 8] + layer[8, 8] + features * 16 + 16 * 8 + 8 * 3,
    }
    for family, count in expected.items():
        network = build(family, norm=norm, hidden=(16, 8))
        assert sum(parameter.numel() for parameter in network.parameters()) == embeddings + count + 3, family


def test_a_residual_block_of_one_width_passes_its_input_on() -> None:
    network = build("resmlp", norm="none", initialisation="zeros")
    x = torch.randn(4, 16)
    assert torch.equal(network.blocks[1](x), x)


def test_a_dense_layer_keeps_what_enters_it() -> None:
    network = build("densemlp")
    x = torch.randn(4, 7)
    out = network.blocks[0](x)
    assert out.shape == (4, 23)
    assert torch.equal(out[:, :7], x)


@pytest.mark.parametrize("position", ["before", "after"])
def test_where_normalisation_stands(position: str) -> None:
    torch.manual_seed(0)
    block = hidden_block(5, 6, activation="relu", norm="layer", norm_position=position)
    x = torch.randn(9, 5)
    linear = functional.linear(x, block[0].weight, block[0].bias)
    normal = lambda values: functional.layer_norm(values, (6,))  # noqa: E731 - two orders of the same two functions
    expected = normal(linear).relu() if position == "before" else normal(linear.relu())
    torch.testing.assert_close(block(x), expected)


@pytest.mark.parametrize(("units", "groups"), [(16, 8), (12, 6), (8, 4), (7, 1), (9, 3)])
def test_group_norm_is_torchs_in_groups_that_fit(units: int, groups: int) -> None:
    block = hidden_block(5, units, activation="linear", norm="group")
    x = torch.randn(4, 5)
    torch.testing.assert_close(block(x), functional.group_norm(block[0](x), groups))


@pytest.mark.parametrize(
    ("activation", "kind", "expected"),
    [
        ("relu", "auto", Dropout),
        ("selu", "auto", nn.AlphaDropout),
        ("relu", "alpha", nn.AlphaDropout),
        ("selu", "standard", Dropout),
    ],
)
def test_which_dropout_is_taken(activation: str, kind: str, expected: type[nn.Module]) -> None:
    block = hidden_block(5, 6, activation=activation, norm="none", dropout=0.25, dropout_kind=kind)
    assert type(block[-1]) is expected
    assert block[-1].p == 0.25


def test_alpha_dropout_keeps_mean_and_variance_where_standard_does_not() -> None:
    torch.manual_seed(0)
    block = hidden_block(4, 4, activation="selu", norm="none", dropout=0.2)
    x = torch.randn(400_000)
    kept = block[-1].train()(x)
    assert kept.mean().item() == pytest.approx(0, abs=0.01)
    assert kept.std().item() == pytest.approx(1, abs=0.01)
    assert Dropout(0.2).train()(x).std().item() == pytest.approx(0.8**-0.5, abs=0.01)
