"""Networks over sounds: padding, lengths, parameters, learning, export."""

import numpy as np
import pytest
import torch
from pydantic import ValidationError
from torch import Tensor
from torch.nn import functional

from ann.config.networks import SpeechParams
from ann.data.batches import TensorData
from ann.export.network import export_network, run_network
from ann.models.speech import FrameConvolution, Speech

MELS, FRAMES, OUTPUTS = 6, 21, 4
KINDS: dict[str, dict[str, object]] = {
    "lstm": {},
    "gru of two layers": {"cell": "gru", "layers": 2},
    "convolutions": {"cell": "none", "kernel": 3},
    "stride 3": {"stride": 3, "channels": (8, 8, 8)},
    "sequence": {"output": "sequence"},
    "sequence of convolutions": {"output": "sequence", "cell": "none"},
}


def build(kind: str, **settings: object) -> Speech:
    given = {"channels": (8, 10), "units": 5, "dropout": 0.0, **KINDS[kind], **settings}
    torch.manual_seed(1)
    return Speech(
        mels=MELS,
        frames=FRAMES,
        outputs=OUTPUTS,
        **SpeechParams(family="speech", **given).model_dump(exclude={"family"}),
    )


def sounds(lengths: list[int], frames: int | None = None, seed: int = 0) -> dict[str, Tensor]:
    frames = frames or max(lengths)
    x = torch.randn(len(lengths), frames, MELS, generator=torch.Generator().manual_seed(seed))
    real = torch.arange(frames) < torch.tensor(lengths).unsqueeze(1)
    return {"audio": x * real.unsqueeze(2), "audio_frames": torch.tensor(lengths)}


LENGTHS = [21, 1, 8, 0, 5, 2]


@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize("kind", KINDS)
def test_padding_changes_no_answer(kind: str, training: bool) -> None:
    network, inputs = build(kind).train(training), sounds(LENGTHS)
    expected = network(inputs)
    longer = {**inputs, "audio": functional.pad(inputs["audio"], (0, 0, 0, 11), value=9.0)}
    real = torch.arange(21) < inputs["audio_frames"].unsqueeze(1)
    noisy = {**inputs, "audio": torch.where(real.unsqueeze(2), inputs["audio"], 50.0)}
    for other in (longer, noisy):
        found = network(other)
        if network.sequence:
            times = network.times_left(inputs["audio_frames"])
            for row, left in enumerate(times):
                torch.testing.assert_close(found[row, :left], expected[row, :left], rtol=0, atol=1e-6)
        else:
            torch.testing.assert_close(found, expected, rtol=0, atol=1e-6)


@pytest.mark.parametrize("kind", KINDS)
def test_a_sound_alone_gives_what_it_gives_beside_longer_ones(kind: str) -> None:
    network, inputs = build(kind).eval(), sounds([21, 1, 8, 2])
    together = network(inputs)
    for row, length in enumerate([21, 1, 8, 2]):
        alone = {"audio": inputs["audio"][row : row + 1, :length], "audio_frames": torch.tensor([length])}
        found = network(alone)[0]
        expected = together[row, : len(found)] if network.sequence else together[row]
        torch.testing.assert_close(found, expected, rtol=0, atol=1e-6)


@pytest.mark.parametrize("kind", KINDS)
def test_sounds_without_frames_give_numbers_and_finite_gradients(kind: str) -> None:
    network = build(kind)
    out = network(sounds([0, 0], frames=7))
    assert torch.isfinite(out).all()
    out.sum().backward()
    assert all(torch.isfinite(p.grad).all() for p in network.parameters() if p.grad is not None)


@pytest.mark.parametrize("stride", [1, 2, 3])
def test_a_sequence_has_one_time_for_every_reduction_begun(stride: int) -> None:
    network = build("sequence", stride=stride).eval()
    for frames in range(1, 22):
        out = network(sounds([frames]))
        expected = -(-frames // stride**2)
        assert out.shape == (1, expected, OUTPUTS)
        assert network.times_left(torch.tensor([frames])).item() == expected


def test_a_sequence_can_be_trained_with_ctc() -> None:
    network, inputs = build("sequence", stride=1, units=16), sounds([21, 15, 18, 12])
    words = torch.tensor([[1, 2, 3], [3, 1, 2], [2, 2, 1], [1, 3, 1]])
    optimizer = torch.optim.Adam(network.parameters(), lr=0.02)
    for _ in range(60):
        optimizer.zero_grad()
        logs = network(inputs).log_softmax(dim=2).transpose(0, 1)
        times = network.times_left(inputs["audio_frames"])
        loss = functional.ctc_loss(logs, words, times, torch.full((4,), 3))
        loss.backward()
        optimizer.step()
    best = network(inputs).argmax(dim=2)
    for row, left in enumerate(times):
        assert [int(k) for k in torch.unique_consecutive(best[row, :left]) if k] == words[row].tolist()


def test_a_block_is_torchs_convolution_over_what_is_real() -> None:
    torch.manual_seed(0)
    block = FrameConvolution(MELS, 5, kernel=3, stride=2, activation="relu", dropout=0.0)
    inputs = sounds([9])
    mask = torch.arange(9).unsqueeze(0) < 6
    own = inputs["audio"][:, :6].transpose(1, 2)
    expected = functional.layer_norm(
        functional.conv1d(own, block.convolution.weight, block.convolution.bias, 2, 1).transpose(1, 2), (5,)
    ).relu()
    torch.testing.assert_close(block(inputs["audio"], mask)[:, :3], expected)


@pytest.mark.parametrize("kind", KINDS)
def test_parameter_counts_follow_the_formulas(kind: str) -> None:
    def convolution(before: int, after: int, kernel: int) -> int:
        return before * after * kernel + after + 2 * after

    def recurrent(width: int, gates: int = 4) -> int:
        return 2 * gates * 5 * (width + 5 + 2)

    two = convolution(MELS, 8, 5) + convolution(8, 10, 5)
    pooling, head = 10 * 10 + 10 + 10, 10 * 7 + 7 + 2 * 7 + 7 * OUTPUTS + OUTPUTS
    expected = {
        "lstm": two + recurrent(10) + pooling,
        "gru of two layers": two + 2 * recurrent(10, 3) + pooling,
        "convolutions": convolution(MELS, 8, 3) + convolution(8, 10, 3) + pooling,
        "stride 3": convolution(MELS, 8, 5) + 2 * convolution(8, 8, 5) + recurrent(8) + pooling,
        "sequence": two + recurrent(10),
        "sequence of convolutions": two,
    }
    assert sum(p.numel() for p in build(kind, hidden=(7,)).parameters()) == expected[kind] + head


@pytest.mark.parametrize("kind", [kind for kind in KINDS if "sequence" not in kind])
def test_it_learns_64_random_labels_by_heart(kind: str) -> None:
    network, inputs = build(kind, units=16, hidden=(32,)), sounds([5 + row % 9 for row in range(64)], frames=14)
    labels = torch.randint(OUTPUTS, (64,), generator=torch.Generator().manual_seed(5))
    optimizer = torch.optim.Adam(network.parameters(), lr=0.02)
    for _ in range(150):
        optimizer.zero_grad()
        functional.cross_entropy(network(inputs), labels).backward()
        optimizer.step()
    assert torch.equal(network.eval()(inputs).argmax(dim=1), labels)


@pytest.mark.parametrize("kind", KINDS)
def test_a_gradient_reaches_every_parameter(kind: str) -> None:
    network = build(kind, activation="tanh", hidden=(9,))
    network(sounds([60] * 40)).square().sum().backward()
    for name, parameter in network.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.abs().sum() > 0, name


@pytest.mark.parametrize("kind", KINDS)
def test_the_exported_graph_agrees_for_any_number_of_sounds_and_frames(kind: str) -> None:
    network = build(kind, hidden=(7,)).eval()
    graph = export_network(network, TensorData(sounds([5, 0, 3], frames=FRAMES), torch.zeros(3)))
    for lengths in ([1], [2, 0], [13, 0, 6, 1], [FRAMES] * 9, [60, 30]):
        inputs = sounds(lengths, seed=len(lengths))
        found = run_network(graph, {name: tensor.numpy() for name, tensor in inputs.items()})
        np.testing.assert_allclose(found, network(inputs).detach().numpy(), rtol=0, atol=1e-5)


def test_an_even_kernel_is_refused() -> None:
    with pytest.raises(ValidationError, match="a window of 4 frames has no middle: write an odd number"):
        SpeechParams(family="speech", kernel=4)
