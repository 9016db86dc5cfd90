"""Structured pruning: whole hidden units go, so tensors really shrink."""

import torch
from torch import Tensor, nn

from ann.config.model import MLPParams
from ann.models.mlp import MLP


def prune_mlp(network: MLP, model: MLPParams, ratio: float) -> tuple[MLP, MLPParams]:
    """Return a smaller copy of `network` without the least important `ratio` of each hidden layer, and its parameters.

    At least one unit stays. The unit's importance is the product of the norms of its incoming weights (BatchNorm's
    scale included) and its outgoing weights: how much of the next layer it can move (Li et al. 2017,
    arXiv:1608.08710, extended to both sides).
    """
    layers = [*(block[0] for block in network.blocks), network.head]
    kept = [
        _strongest(block, following, max(1, round(block[0].out_features * (1 - ratio))))
        for block, following in zip(network.blocks, layers[1:], strict=True)
    ]
    smaller = model.model_copy(update={"hidden": tuple(len(units) for units in kept)})
    embedded = sum(embedding.embedding_dim for embedding in network.embeddings)
    pruned = MLP(
        width=layers[0].in_features - embedded,
        sizes=[embedding.num_embeddings for embedding in network.embeddings],
        num_classes=network.head.out_features,
        **{**smaller.model_dump(exclude={"family"}), "hidden": list(smaller.hidden)},
    )
    pruned.load_state_dict(_kept_weights(network, kept))
    return pruned, smaller


def _strongest(block: nn.Sequential, following: nn.Linear, count: int) -> Tensor:
    """Return the sorted indices of the `count` most important units."""
    with torch.no_grad():
        importance = block[0].weight.norm(dim=1) * following.weight.norm(dim=0)
        if isinstance(block[1], nn.BatchNorm1d):
            importance = importance * (block[1].weight / (block[1].running_var + block[1].eps).sqrt()).abs()
        return importance.topk(count).indices.sort().values


def _kept_weights(network: MLP, kept: list[Tensor]) -> dict[str, Tensor]:
    """Return the state of the network with rows (units) and columns (inputs from pruned units) taken out."""
    weights = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    for number, units in enumerate(kept):
        for name in [name for name in weights if name.startswith(f"blocks.{number}.")]:
            if weights[name].ndim:  # BatchNorm counts its batches in a scalar
                weights[name] = weights[name][units]
        following = f"blocks.{number + 1}.0.weight" if number + 1 < len(kept) else "head.weight"
        weights[following] = weights[following][:, units]
    return weights
