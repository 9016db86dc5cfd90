"""Structured pruning: whole hidden units go, so tensors really shrink."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from ann.config.layers import MLPParams
from ann.models.mlp import MLP


def prune_mlp(network: MLP, model: MLPParams, ratio: float) -> tuple[MLP, MLPParams]:
    """Return a smaller copy of `network` without the least important `ratio` of each hidden layer, and its parameters.

    At least one unit stays. The unit's importance is the product of the norms of its incoming weights (BatchNorm's
    scale included) and its outgoing weights: how much of the next layer it can move (Li et al. 2017,
    arXiv:1608.08710, extended to both sides).
    """
    blocks = [Block.of(block) for block in network.blocks]
    following = [*(block.linear for block in blocks[1:]), network.head]
    kept = [block.strongest(ratio, after) for block, after in zip(blocks, following, strict=True)]
    smaller = model.model_copy(update={"hidden": tuple(len(units) for units in kept)})
    embeddings = [embedding for embedding in network.embeddings if isinstance(embedding, nn.Embedding)]
    with torch.random.fork_rng(devices=[]):  # the weights are replaced at once; no stream of numbers may move
        pruned = MLP(
            width=blocks[0].linear.in_features - sum(embedding.embedding_dim for embedding in embeddings),
            sizes=[embedding.num_embeddings for embedding in embeddings],
            outputs=network.head.out_features,
            **{**smaller.model_dump(exclude={"family"}), "hidden": list(smaller.hidden)},
        )
    pruned.load_state_dict(_kept_weights(network, kept))
    return pruned, smaller


@dataclass(frozen=True)
class Block:
    """The layers of a hidden block that know its units."""

    linear: nn.Linear
    norm: nn.BatchNorm1d | None

    @classmethod
    def of(cls, block: nn.Module) -> "Block":
        """Find the layers in a hidden block."""
        [linear] = [layer for layer in block.children() if isinstance(layer, nn.Linear)]
        return cls(linear, next((layer for layer in block.children() if isinstance(layer, nn.BatchNorm1d)), None))

    @torch.no_grad()
    def strongest(self, ratio: float, after: nn.Linear) -> Tensor:
        """Return the sorted indices of the units that stay, by importance for the layer `after`."""
        importance = self.linear.weight.norm(dim=1) * after.weight.norm(dim=0)
        if self.norm is not None and self.norm.running_var is not None:
            importance = importance * (self.norm.weight / (self.norm.running_var + self.norm.eps).sqrt()).abs()
        count = max(1, round(self.linear.out_features * (1 - ratio)))
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
