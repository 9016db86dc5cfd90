"""Recurrent encoders of padded sequences; padding never changes what comes out.

B sequences, T times of which the first `length` of each are real, E values a time, H units, U values that come out.
"""

from typing import Any

import torch
from torch import Tensor, nn

from ann.models.sequences import AttentionPooling, at_least_one, last_of, lengths_of, reversed_within
from ann.models.units import Part
from ann.models.wiring import Values, Wiring

CELLS = {"gru": nn.GRU, "lstm": nn.LSTM, "rnn": nn.RNN}
"""Elman 1990; Hochreiter & Schmidhuber 1997; Cho et al. 2014 (arXiv:1406.1078)."""
ONNX_GATES = {"GRU": (1, 0, 2), "LSTM": (0, 3, 1, 2), "RNN": (0,)}
"""Which of torch's gates stands in each place of the ONNX operator's."""


class Recurrent(nn.Module):
    """Layers of a cell, one way or both, then the last state or an attention over all times.

    The way back runs over each sequence turned round within its length, since a recurrent layer that starts in the
    padding would carry it along (and packed sequences cannot be exported).
    """

    def __init__(
        self, width: int, *, cell: str, units: int, layers: int, bidirectional: bool, pooling: str, dropout: float
    ) -> None:
        """`width` is E, `units` H of each way, `pooling` is `last` or `attention`."""
        super().__init__()
        self.bidirectional = bidirectional
        widths = [width] + [units * (2 if bidirectional else 1)] * (layers - 1)
        self.forwards = nn.ModuleList(CELLS[cell](width, units, batch_first=True) for width in widths)
        self.backwards = nn.ModuleList(
            CELLS[cell](width, units, batch_first=True) for width in (widths if bidirectional else [])
        )
        self.dropout = nn.Dropout(dropout)
        self.attention = AttentionPooling(self.units) if pooling == "attention" else None

    @property
    def units(self) -> int:
        """U, the units of the last layer's ways."""
        return sum(units_of(ways[-1]) for ways in (self.forwards, self.backwards) if len(ways))

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        """(B, T, E), (B, T) true where a time is real -> (B, U)."""
        mask = at_least_one(mask)
        lengths = lengths_of(mask)
        x = self.states(x, lengths)
        if self.attention is not None:
            pooled: Tensor = self.attention(x, mask)
            return pooled
        if not self.bidirectional:
            return last_of(x, lengths)
        there = units_of(self.forwards[-1])
        return torch.cat([last_of(x[..., :there], lengths), x[:, 0, there:]], dim=1)

    def states(self, x: Tensor, lengths: Tensor) -> Tensor:
        """(B, T, E), (B,) of one at least -> (B, T, U); what stands at a padded time means nothing."""
        for number, forwards in enumerate(self.forwards):
            if number:
                x = self.dropout(x)
            there = states_of(forwards, x)
            if self.bidirectional:
                back = states_of(self.backwards[number], reversed_within(x, lengths))
                x = torch.cat([there, reversed_within(back, lengths)], dim=2)
            else:
                x = there
        return x

    def wire(self, wiring: Wiring, x: Values, name: str) -> Values:
        """Each layer's ways have units of their own, side by side."""
        ways = {"forwards": self.forwards, "backwards": self.backwards}
        for number in range(len(self.forwards)):
            x = wiring.beside(
                *(
                    _wire_cell(wiring, x, f"{name}.{way}.{number}", cells[number])
                    for way, cells in ways.items()
                    if len(cells)
                )
            )
        return x if self.attention is None else wiring.through(x, f"{name}.attention", self.attention)


def _wire_cell(wiring: Wiring, x: Values, name: str, cell: nn.Module) -> Values:
    """A unit has a row in every gate, and the gates of the next time read it."""
    units = units_of(cell)
    wiring.read(x, f"{name}.weight_ih_l0", cell.get_parameter("weight_ih_l0").shape[1])
    parts = [
        Part(f"{name}.{tensor}", 0, start)
        for tensor, values in cell.named_parameters()
        for start in range(0, len(values), units)
    ]
    return wiring.made(name, units, [*parts, Part(f"{name}.weight_hh_l0", 1)])


def units_of(cell: nn.Module) -> int:
    """Return H of a layer."""
    assert isinstance(cell, nn.RNNBase)
    return cell.hidden_size


def states_of(cell: nn.Module, x: Tensor) -> Tensor:
    """(B, T, E) -> (B, T, H), the state after each time.

    An export is given the ONNX operator itself, since torch's way there unrolls the cell where T is a share of the
    input's length, as it is behind a convolution with a stride.
    """
    assert isinstance(cell, nn.RNNBase)
    if not torch.onnx.is_in_onnx_export():
        states: Tensor = cell(x)[0]
        return states
    operator = cell.mode.partition("_")[0]
    attributes: dict[str, Any] = {"hidden_size": cell.hidden_size}
    if operator == "GRU":
        attributes["linear_before_reset"] = 1

    def arranged(name: str) -> Tensor:
        gates = getattr(cell, name).chunk(len(ONNX_GATES[operator]))
        return torch.cat([gates[place] for place in ONNX_GATES[operator]]).unsqueeze(0)

    biases = torch.cat([arranged("bias_ih_l0"), arranged("bias_hh_l0")], dim=1)
    states = torch.onnx.ops.symbolic(
        operator,
        (x.transpose(0, 1), arranged("weight_ih_l0"), arranged("weight_hh_l0"), biases),
        attributes,
        dtype=x.dtype,
        shape=(x.shape[1], 1, x.shape[0], cell.hidden_size),
    )
    return states.squeeze(1).transpose(0, 1)
