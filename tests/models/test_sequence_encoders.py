"""Encoders of padded sequences: padding changes nothing, pooling follows its formula, torch agrees, export agrees."""

import math

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from ann.data.batches import TensorData
from ann.export.network import export_network, run_network
from ann.models.recurrent import CELLS, Recurrent
from ann.models.sequences import AttentionPooling, at_least_one, last_of, lengths_of, mean_of, reversed_within
from ann.models.transformer import Attention, EncoderBlock, Transformer, sinusoids

LENGTHS = [7, 1, 4, 0, 6]
WIDTH = 8


def batch(times: int = 7, seed: int = 0) -> tuple[Tensor, Tensor]:
    """Return (5, times, 8) values and the mask of LENGTHS; what stands in the padding is noise."""
    x = torch.randn(len(LENGTHS), times, WIDTH, generator=torch.Generator().manual_seed(seed))
    return x, torch.arange(times).unsqueeze(0) < torch.tensor(LENGTHS).unsqueeze(1)


def recurrent(cell: str = "lstm", **settings: object) -> Recurrent:
    torch.manual_seed(1)
    given = {"units": 6, "layers": 2, "bidirectional": True, "pooling": "last", "dropout": 0.0, **settings}
    return Recurrent(WIDTH, cell=cell, **given).eval()


def transformer(**settings: object) -> Transformer:
    torch.manual_seed(1)
    given = {"heads": 2, "layers": 2, "inner": 16, "norm": "pre", "positions": "sinusoidal", "longest": 32}
    return Transformer(WIDTH, **{**given, "activation": "gelu", "dropout": 0.0, **settings}).eval()


ENCODERS: dict[str, nn.Module] = {
    **{
        f"{cell} {pooling} {'both ways' if both else 'one way'}": recurrent(cell, pooling=pooling, bidirectional=both)
        for cell in CELLS
        for pooling in ("last", "attention")
        for both in (False, True)
    },
    **{
        f"{norm} {positions}": transformer(norm=norm, positions=positions)
        for norm in ("pre", "post")
        for positions in ("sinusoidal", "learned")
    },
}


@pytest.mark.parametrize("name", ENCODERS)
def test_what_stands_in_the_padding_changes_nothing(name: str) -> None:
    (x, mask), encoder = batch(), ENCODERS[name]
    filled = torch.where(mask.unsqueeze(2), x, 1e3)
    real = mask.any(dim=1)
    torch.testing.assert_close(encoder(x, mask)[real], encoder(filled, mask)[real], rtol=0, atol=1e-6)


@pytest.mark.parametrize("name", ENCODERS)
def test_more_padding_changes_nothing(name: str) -> None:
    (x, mask), encoder = batch(), ENCODERS[name]
    longer = torch.cat([x, torch.full((len(x), 5, WIDTH), 7.0)], dim=1)
    longer_mask = torch.cat([mask, torch.zeros(len(x), 5, dtype=torch.bool)], dim=1)
    torch.testing.assert_close(encoder(longer, longer_mask), encoder(x, mask), rtol=0, atol=1e-5)


@pytest.mark.parametrize("name", ENCODERS)
def test_a_sequence_alone_gives_what_it_gives_in_a_batch(name: str) -> None:
    (x, mask), encoder = batch(), ENCODERS[name]
    together = encoder(x, mask)
    for row, length in enumerate(LENGTHS):
        if length:
            alone = encoder(x[row : row + 1, :length], mask[row : row + 1, :length])
            torch.testing.assert_close(alone[0], together[row], rtol=0, atol=1e-5)


@pytest.mark.parametrize("name", ENCODERS)
def test_an_empty_sequence_gives_numbers(name: str) -> None:
    x, mask = batch()
    out = ENCODERS[name](x, mask)
    assert out.shape == (len(LENGTHS), ENCODERS[name].units)
    assert torch.isfinite(out).all()


@pytest.mark.parametrize("cell", CELLS)
def test_a_bidirectional_layer_is_torchs_over_packed_sequences(cell: str) -> None:
    encoder = recurrent(cell, layers=1)
    theirs = CELLS[cell](WIDTH, 6, batch_first=True, bidirectional=True)
    own = {**encoder.forwards[0].state_dict()}
    own |= {f"{name}_reverse": tensor for name, tensor in encoder.backwards[0].state_dict().items()}
    theirs.load_state_dict(own)
    x, mask = batch()
    real = mask.any(dim=1)
    packed = nn.utils.rnn.pack_padded_sequence(x[real], mask[real].sum(dim=1), batch_first=True, enforce_sorted=False)
    state = theirs(packed)[1]
    hidden = state[0] if cell == "lstm" else state
    torch.testing.assert_close(encoder(x, mask)[real], torch.cat([hidden[0], hidden[1]], dim=1), rtol=0, atol=1e-6)


class Thinned(nn.Module):
    """Every second time of the text group's values goes through an encoder."""

    def __init__(self, encoder: nn.Module) -> None:
        super().__init__()
        self.encoder = encoder

    def forward(self, inputs: dict[str, Tensor]) -> Tensor:
        x = functional.avg_pool1d(inputs["text"].transpose(1, 2), 3, 2, padding=1).transpose(1, 2)
        return self.encoder(x, x[..., 0] > -9)


@pytest.mark.parametrize("cell", CELLS)
def test_the_exported_cell_agrees_where_the_length_is_a_share_of_the_inputs(cell: str) -> None:
    network = Thinned(recurrent(cell))
    graph = export_network(network, TensorData({"text": batch()[0]}, torch.zeros(5)))
    assert [node.op_type for node in graph.graph.node].count(cell.upper()) == 4
    for times in (1, 2, 7, 40):
        x = batch(times, seed=times)[0]
        found = run_network(graph, {"text": x.numpy()})
        np.testing.assert_allclose(found, network({"text": x}).detach().numpy(), rtol=0, atol=1e-5)


@pytest.mark.parametrize("training", [False, True])
def test_attention_is_torchs_on_the_same_weights(training: bool) -> None:
    torch.manual_seed(0)
    mine, theirs = Attention(WIDTH, heads=4, dropout=0.0), nn.MultiheadAttention(WIDTH, 4, batch_first=True)
    with torch.no_grad():
        mine.in_proj.weight.copy_(theirs.in_proj_weight)
        mine.in_proj.bias.copy_(theirs.in_proj_bias.normal_())
        mine.out_proj.load_state_dict(theirs.out_proj.state_dict())
    x, mask = batch()
    real = mask.any(dim=1)
    x, mask = x[real], mask[real]
    expected = theirs.train(training)(x, x, x, key_padding_mask=~mask, need_weights=False)[0]
    torch.testing.assert_close(mine.train(training)(x, mask)[mask], expected[mask], rtol=0, atol=1e-6)


@pytest.mark.parametrize("norm", ["pre", "post"])
def test_a_block_is_torchs_encoder_layer(norm: str) -> None:
    torch.manual_seed(0)
    mine = EncoderBlock(WIDTH, heads=2, inner=16, norm=norm, activation="relu", dropout=0.0)
    theirs = nn.TransformerEncoderLayer(WIDTH, 2, 16, dropout=0.0, batch_first=True, norm_first=norm == "pre")
    with torch.no_grad():
        theirs.self_attn.in_proj_weight.copy_(mine.attention.in_proj.weight)
        theirs.self_attn.in_proj_bias.copy_(mine.attention.in_proj.bias)
        theirs.self_attn.out_proj.load_state_dict(mine.attention.out_proj.state_dict())
        for ours, name in ((mine.dense[0], "linear1"), (mine.dense[2], "linear2"), (mine.first, "norm1")):
            getattr(theirs, name).load_state_dict(ours.state_dict())
        theirs.norm2.load_state_dict(mine.second.state_dict())
    x, mask = batch()
    real = mask.any(dim=1)
    x, mask = x[real], mask[real]
    expected = theirs(x, src_key_padding_mask=~mask)
    torch.testing.assert_close(mine(x, mask)[mask], expected[mask], rtol=0, atol=1e-5)


def test_positions_follow_the_paper() -> None:
    table = sinusoids(50, 7).double().numpy()
    for time, place in ((0, 0), (3, 4), (49, 5), (17, 6)):
        angle = time / 10_000 ** (2 * (place // 2) / 7)
        assert table[time, place] == pytest.approx(math.cos(angle) if place % 2 else math.sin(angle), abs=1e-5)


def test_without_positions_a_transformer_would_not_see_order_and_with_them_it_does() -> None:
    x, mask = torch.randn(1, 5, WIDTH), torch.ones(1, 5, dtype=torch.bool)
    encoder = transformer()
    assert not torch.allclose(encoder(x, mask), encoder(x.flip(1), mask), atol=1e-4)
    with torch.no_grad():
        encoder.positions.zero_()
    torch.testing.assert_close(encoder(x, mask), encoder(x.flip(1), mask), rtol=0, atol=1e-5)


def test_pooling_follows_its_formulas() -> None:
    x, mask = batch()
    torch.manual_seed(0)
    layer = AttentionPooling(WIDTH)
    pooled, mean, last = layer(x, mask), mean_of(x, mask), last_of(x, lengths_of(at_least_one(mask)))
    for row, length in enumerate(LENGTHS):
        own = x[row, :length].detach().double().numpy()
        if not length:
            assert torch.count_nonzero(mean[row]) == 0
            continue
        inner = np.tanh(own @ layer.inner.weight.detach().double().numpy().T + layer.inner.bias.detach().numpy())
        scores = inner @ layer.outer.weight.detach().double().numpy()[0]
        weights = np.exp(scores) / np.exp(scores).sum()
        np.testing.assert_allclose(pooled[row].detach().numpy(), weights @ own, rtol=0, atol=1e-5)
        np.testing.assert_allclose(mean[row].numpy(), own.mean(axis=0), rtol=0, atol=1e-6)
        assert torch.equal(last[row], x[row, length - 1])


def test_turning_round_twice_changes_nothing() -> None:
    x, mask = batch()
    lengths = lengths_of(at_least_one(mask))
    once = reversed_within(x, lengths)
    assert torch.equal(once[0], x[0].flip(0))
    assert torch.equal(once[2, :4], x[2, :4].flip(0))
    assert torch.equal(once[2, 4:], x[2, 4:])
    assert torch.equal(reversed_within(once, lengths), x)
