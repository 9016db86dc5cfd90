"""Few values for the weights of each layer, found by k-means and then trained (Han et al. 2016, arXiv:1510.00149).

Codes are int64 tensors by parameter name: 0 where a weight is zero and stays so, else the number of its value from 1.
They cover the matrices of `ann.compression.sparsity` and embeddings. An export folds BatchNorm into the layer before
it, which makes many values of few: fold it before weights are shared.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from copy import deepcopy
from functools import partial
from typing import TypeAlias

import numpy as np
import torch
from torch import Tensor, nn

from ann.compression.sparsity import Masks, parameter_of, projected, weights_of

Codes: TypeAlias = dict[str, Tensor]
"""{parameter name: int64 tensor of its shape}; 0 is zero, others number the values."""

MOST_ROUNDS = 1000
"""Of k-means; some tens are the rule."""


@torch.no_grad()
def share_weights(network: nn.Module, values: int, masks: Masks | None = None) -> tuple[nn.Module, Codes]:
    """Return a copy in which each matrix has at most `values` values beside zero, and the codes.

    Weights that are zero stay so, and those that `masks` call dead become so. The network itself stays as it is.

    Raises:
        ConfigError: the network has no such weights.
    """
    network = deepcopy(network)
    codes = {}
    embeddings = {
        f"{name}.weight" if name else "weight": module.weight
        for name, module in network.named_modules()
        if isinstance(module, nn.Embedding)
    }
    for name, weight in (weights_of(network) | embeddings).items():
        lives = weight != 0
        if masks and name in masks:
            lives &= masks[name]
        codes[name] = torch.zeros_like(weight, dtype=torch.int64)
        if lives.any():
            codes[name][lives] = 1 + _nearest(weight[lives], values)
    _settle(network, codes)
    return network.eval(), codes


@contextmanager
def sharing(network: nn.Module, codes: Codes) -> Iterator[None]:
    """Let weights of one code move together, and zeros not at all, however the network is trained in the block.

    They share the mean of their gradients, which is the direction of steepest descent among such networks. Rounding in
    the kernels of an optimizer may part them by a last bit; at the end each takes their mean.
    """
    _settle(network, codes)
    counts = {name: torch.bincount(code.flatten()) for name, code in codes.items()}
    with projected(network, {name: partial(_mean, code=code, counts=counts[name]) for name, code in codes.items()}):
        try:
            yield
        finally:
            _settle(network, codes)


def centres_of(values: np.ndarray, count: int) -> np.ndarray:
    """Return at most `count` rising float64 centres of (n,) values: k-means from centres at equal distances.

    Equal distances keep the few large weights apart, which matter most. The values are sorted once, so that a round
    costs O(count log n). A centre that nothing is nearest to moves to the value that is worst off.
    """
    ordered = np.sort(values.astype(np.float64))
    distinct = np.unique(ordered)
    if len(distinct) <= count:
        return distinct
    sums = np.concatenate([[0.0], np.cumsum(ordered)])
    centres = np.linspace(ordered[0], ordered[-1], count)
    for _ in range(MOST_ROUNDS):
        edges = np.concatenate([[0], np.searchsorted(ordered, _middles(centres)), [len(ordered)]])
        sizes = np.diff(edges)
        moved = np.where(sizes > 0, np.diff(sums[edges]) / np.maximum(sizes, 1), centres)
        if not sizes.all():
            worst = np.abs(ordered - np.repeat(moved, sizes)).argmax()
            moved[sizes.argmin()] = ordered[worst]
            moved.sort()
        if np.array_equal(moved, centres):
            break
        centres = moved
    return centres


def _nearest(weights: Tensor, count: int) -> Tensor:
    """(n,) -> (n,) int64 numbers of the nearest of `count` centres, from 0."""
    values = weights.cpu().numpy()
    numbers = np.searchsorted(_middles(centres_of(values, count)), values.astype(np.float64), side="right")
    return torch.from_numpy(numbers).to(weights.device)


def _middles(centres: np.ndarray) -> np.ndarray:
    return (centres[1:] + centres[:-1]) / 2


@torch.no_grad()
def _settle(network: nn.Module, codes: Codes) -> None:
    """Give weights of one code their mean, and zeros zero, in place."""
    for name, code in codes.items():
        weight = parameter_of(network, name)
        on_cpu = code.cpu()  # where sums have one order
        weight.copy_(_mean(weight.detach().double().cpu(), on_cpu, torch.bincount(on_cpu.flatten())))


def _mean(values: Tensor, code: Tensor, counts: Tensor) -> Tensor:
    """Put in place of each value the mean over its code, and 0 where the code is 0; `counts` are those of the codes."""
    sums = values.new_zeros(len(counts)).index_add_(0, code.flatten(), values.flatten())
    means = sums / counts.clamp(min=1)
    means[0] = 0.0
    return means[code]
