"""Run a network forwards over many rows."""

import torch
from torch import Tensor, nn

from ann.data.batches import TensorData

ROWS_AT_ONCE = 8192


@torch.no_grad()
def predict_logits(network: nn.Module, data: TensorData) -> Tensor:
    """Return (N, K) logits of all rows, in order, in evaluation mode."""
    network.eval()
    return torch.cat([network(batch.inputs) for batch in data.batches(ROWS_AT_ONCE)])


@torch.no_grad()
def pass_through(network: nn.Module, data: TensorData) -> None:
    """Show the network all rows in the mode it is in, for the statistics that it keeps."""
    for batch in data.batches(ROWS_AT_ONCE):
        network(batch.inputs)
