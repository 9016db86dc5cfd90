"""BatchNorm with little around it."""

import torch
from torch import Tensor, nn


class BatchNorm1d(nn.BatchNorm1d):
    """torch's own (Ioffe & Szegedy 2015, arXiv:1502.03167) and its state, without the count of batches it has seen.

    The count matters only where `momentum` is None; kept, it and the checks around it take longer than the
    normalisation of a small batch.
    """

    def forward(self, x: Tensor) -> Tensor:
        """(B, C) -> the same."""
        if self.momentum is None or not self.training or len(x) < 2:  # torch says what is wrong with a single row
            return super().forward(x)
        return torch.batch_norm(
            x,
            self.weight,
            self.bias,
            self.running_mean,
            self.running_var,
            True,
            self.momentum,
            self.eps,
            x.is_cuda and torch.backends.cudnn.enabled,
        )
