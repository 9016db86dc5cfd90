"""Networks over texts: padding, parameters, learning, dropout of words, formulas of the encoders, export."""

import math

import numpy as np
import pytest
import torch
from pydantic import TypeAdapter, ValidationError
from torch import Tensor, nn
from torch.nn import functional

from ann.config.networks import TextNetworkParams
from ann.data.batches import TensorData
from ann.export.network import export_network, run_network
from ann.models.text import ENCODERS, Mean, Text, WindowCNN, WordDropout

WORDS, LENGTH, EMBEDDING, OUTPUTS = 30, 24, 8, 3
KINDS: dict[str, dict[str, object]] = {
    "mean": {"name": "mean"},
    "mean and max": {"name": "mean", "pooling": "mean_max"},
    "cnn": {"name": "cnn", "units": 6},
    "lstm": {"name": "lstm", "units": 5},
    "gru last": {"name": "gru", "units": 5, "pooling": "last", "layers": 2},
    "transformer": {"name": "transformer", "heads": 2, "inner": 16},
    "learned positions": {"name": "transformer", "heads": 2, "inner": 16, "positions": "learned", "norm": "post"},
}


def build(kind: str, **settings: object) -> Text:
    model = TextNetworkParams(
        family="text", encoder=KINDS[kind], **{"embedding": EMBEDDING, "dropout": 0.0, **settings}
    )
    torch.manual_seed(1)
    return Text(words=WORDS, length=LENGTH, outputs=OUTPUTS, **model.model_dump(exclude={"family"}))


def texts(lengths: list[int], times: int | None = None, seed: int = 0) -> dict[str, Tensor]:
    random = torch.Generator().manual_seed(seed)
    times = times or max(lengths)
    ids = torch.randint(1, WORDS, (len(lengths), times), generator=random)
    return {"text": ids * (torch.arange(times) < torch.tensor(lengths).unsqueeze(1))}


@pytest.mark.parametrize("kind", KINDS)
def test_more_padding_changes_no_answer(kind: str) -> None:
    network, inputs = build(kind).eval(), texts([12, 1, 3, 0, 2, 7])
    longer = {"text": functional.pad(inputs["text"], (0, 9))}
    torch.testing.assert_close(network(longer), network(inputs), rtol=0, atol=1e-6)


@pytest.mark.parametrize("kind", KINDS)
def test_a_text_alone_gives_what_it_gives_beside_longer_ones(kind: str) -> None:
    network, inputs = build(kind).eval(), texts([12, 1, 3, 2])
    together = network(inputs)
    for row, length in enumerate([12, 1, 3, 2]):
        alone = network({"text": inputs["text"][row : row + 1, :length]})
        torch.testing.assert_close(alone[0], together[row], rtol=0, atol=1e-6)


@pytest.mark.parametrize("kind", KINDS)
def test_texts_without_words_give_numbers_and_finite_gradients(kind: str) -> None:
    network = build(kind).train()
    out = network(texts([0, 0], times=5))
    assert out.shape == (2, OUTPUTS)
    assert torch.isfinite(out).all()
    out.sum().backward()
    assert all(torch.isfinite(p.grad).all() for p in network.parameters() if p.grad is not None)


@pytest.mark.parametrize("kind", KINDS)
def test_parameter_counts_follow_the_formulas(kind: str) -> None:
    e = EMBEDDING
    gates = {"lstm": 4, "gru": 3}

    def cell(name: str, width: int, units: int) -> int:
        return gates[name] * units * (width + units + 2)

    attention = 10 * 10 + 10 + 10
    block = (3 * e * e + 3 * e) + (e * e + e) + (e * 16 + 16) + (16 * e + e) + 4 * e
    encoder, units = {
        "mean": (0, e),
        "mean and max": (0, 2 * e),
        "cnn": (sum(6 * e * window + 6 for window in (3, 4, 5)), 18),
        "lstm": (2 * cell("lstm", e, 5) + attention, 10),
        "gru last": (2 * cell("gru", e, 5) + 2 * cell("gru", 10, 5), 10),
        "transformer": (2 * block + 2 * e, e),
        "learned positions": (2 * block + LENGTH * e, e),
    }[kind]
    hidden = units * 7 + 7 + 2 * 7
    expected = WORDS * e + encoder + hidden + 7 * OUTPUTS + OUTPUTS
    assert sum(p.numel() for p in build(kind, hidden=(7,)).parameters()) == expected


@pytest.mark.parametrize("kind", KINDS)
def test_it_learns_64_random_labels_by_heart(kind: str) -> None:
    network = build(kind, embedding=32, hidden=(64,), spatial_dropout=0.0).train()
    inputs = texts([3 + row % 9 for row in range(64)], times=12)
    labels = torch.randint(OUTPUTS, (64,), generator=torch.Generator().manual_seed(5))
    optimizer = torch.optim.Adam(network.parameters(), lr=0.005 if KINDS[kind]["name"] == "transformer" else 0.02)
    for _ in range(150):
        optimizer.zero_grad()
        functional.cross_entropy(network(inputs), labels).backward()
        optimizer.step()
    assert torch.equal(network.eval()(inputs).argmax(dim=1), labels)
    assert torch.count_nonzero(network.embedding.weight[0]) == 0


@pytest.mark.parametrize("kind", KINDS)
def test_a_gradient_reaches_every_parameter(kind: str) -> None:
    network = build(kind, hidden=(9,), activation="tanh")
    network(texts([LENGTH] * 40)).square().sum().backward()
    for name, parameter in network.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.abs().sum() > 0, name


@pytest.mark.parametrize("kind", KINDS)
def test_the_exported_graph_agrees_for_any_number_of_texts_and_words(kind: str) -> None:
    network = build(kind, hidden=(7,)).eval()
    graph = export_network(network, TensorData(texts([5, 0, 3], times=12), torch.zeros(3)))
    for lengths in ([1], [2, 0], [7, 0, 3, 1], [LENGTH] * 9):
        inputs = texts(lengths, seed=len(lengths))
        found = run_network(graph, {"text": inputs["text"].numpy()})
        np.testing.assert_allclose(found, network(inputs).detach().numpy(), rtol=0, atol=1e-5)


def test_the_mean_and_the_greatest_values_are_those_of_real_words() -> None:
    x = torch.randn(3, 6, EMBEDDING)
    mask = torch.arange(6) < torch.tensor([[6], [2], [1]])
    out = Mean(EMBEDDING, pooling="mean_max")(x, mask).numpy()
    for row, length in enumerate([6, 2, 1]):
        own = x[row, :length].numpy()
        np.testing.assert_allclose(out[row], np.concatenate([own.mean(0), own.max(0)]), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("length", [1, 2, 3, 4, 9])
def test_convolutions_see_windows_of_real_words_alone(length: int) -> None:
    torch.manual_seed(0)
    encoder = WindowCNN(EMBEDDING, windows=(2, 3), units=4, activation="gelu")
    x = torch.randn(1, 9, EMBEDDING)
    found = encoder(x, torch.arange(9).unsqueeze(0) < length)[0].detach().numpy()
    words = x[0, :length].double().numpy()
    expected = []
    for convolution, window in zip(encoder.convolutions, (2, 3), strict=True):
        kernel, bias = convolution.weight.detach().double().numpy(), convolution.bias.detach().double().numpy()
        own = np.pad(words, ((0, max(window - length, 0)), (0, 0)))
        seen = [np.einsum("uew,we->u", kernel, own[t : t + window]) + bias for t in range(len(own) - window + 1)]
        gelu = np.vectorize(lambda value: value * (1 + math.erf(value / math.sqrt(2))) / 2)
        expected.append(gelu(np.array(seen)).max(axis=0))
    np.testing.assert_allclose(found, np.concatenate(expected), rtol=0, atol=1e-5)


def test_word_dropout_takes_its_share_of_words_for_unknown_and_leaves_padding() -> None:
    torch.manual_seed(0)
    ids = torch.full((400, 500), 7)
    ids[:, 400:] = 0
    out = WordDropout(0.3).train()(ids)
    assert set(out[:, :400].unique().tolist()) == {1, 7}
    assert (out[:, :400] == 1).double().mean().item() == pytest.approx(0.3, abs=5 * math.sqrt(0.21 / 160_000))
    assert torch.count_nonzero(out[:, 400:]) == 0
    assert WordDropout(0.3).eval()(ids) is ids


def test_dropout_of_words_and_channels_is_part_of_training_alone() -> None:
    network = build("mean", word_dropout=0.5, spatial_dropout=0.5)
    inputs = texts([12] * 8)
    assert not torch.equal(network.train()(inputs), network(inputs))
    assert torch.equal(network.eval()(inputs), network(inputs))


def test_the_seed_decides_the_weights() -> None:
    for kind in KINDS:
        one, two = build(kind).state_dict(), build(kind).state_dict()
        assert all(torch.equal(one[name], two[name]) for name in one)


def test_every_encoder_can_be_configured_by_its_name() -> None:
    adapter = TypeAdapter(TextNetworkParams)
    for name in ENCODERS:
        model = adapter.validate_python({"family": "text", "encoder": name})
        network = Text(words=9, length=5, outputs=2, **model.model_dump(exclude={"family"}))
        assert isinstance(network.encoder, nn.Module)
        assert network({"text": torch.ones(2, 5, dtype=torch.int64)}).shape == (2, 2)
    assert adapter.validate_python({"family": "text"}).encoder.name == "cnn"


def test_heads_must_share_the_embedding_evenly() -> None:
    with pytest.raises(ValidationError, match="5 heads cannot share a width of 128 evenly: make embedding"):
        TextNetworkParams(family="text", encoder={"name": "transformer", "heads": 5})
