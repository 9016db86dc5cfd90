"""What a network costs: parameters, and multiply-adds of a row."""

import math
from copy import deepcopy
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode


def parameters(network: nn.Module) -> int:
    """Return the number of parameters, frozen ones included and tied ones once; buffers are none."""
    return sum(parameter.numel() for parameter in network.parameters())


@torch.no_grad()
def flops(network: nn.Module, inputs: dict[str, Tensor]) -> float:
    """Return the multiply-adds of matrix products and convolutions in one row of `inputs`: half of torch's flops.

    Norms, activations and look-ups, which are few beside them, are not counted.
    """
    on_cpu = all(tensor.device.type == "cpu" for tensor in network.parameters())
    judged = network if on_cpu else deepcopy(network).cpu()  # a Keras model is written out to be copied
    training = judged.training
    judged.eval()
    rows = {name: tensor.cpu() for name, tensor in inputs.items()}
    count = FlopCounterMode(display=False, custom_mapping={torch.ops.aten.mkldnn_rnn_layer: _recurrent_layer})
    with sdpa_kernel(SDPBackend.MATH), count:  # the counter knows the products, not the fused attention
        judged(rows)
    judged.train(training)
    return count.get_total_flops() / 2 / len(next(iter(rows.values())))


def _recurrent_layer(x: tuple[int, ...], into: tuple[int, ...], back: tuple[int, ...], *_: Any, **__: Any) -> int:
    """(T, B, E), (4 H, E), (4 H, H) -> flops of the one-way LSTM layer that torch has in one piece on a CPU."""
    times, rows, _values = x
    return 2 * times * rows * (math.prod(into) + math.prod(back))
