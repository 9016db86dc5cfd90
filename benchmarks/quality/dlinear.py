"""DLinear as it was published (Zeng et al. 2023, arXiv:2205.13504), written for itself in torch.

Settings are those of github.com/cure-lab/LTSF-Linear, scripts/EXP-LongForecasting/Linear/etth1.sh. B windows of L times
and C channels; H times ahead.
"""

from copy import deepcopy

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

EPOCHS, PATIENCE, BATCH, LR = 10, 3, 32, 0.005
KERNEL = 25
LOOKBACKS = (96, 336, 720)


class DLinear(nn.Module):
    """One matrix for a moving average, one for what it leaves; weights begin as torch draws them."""

    def __init__(self, length: int, horizon: int) -> None:
        super().__init__()
        self.seasonal = nn.Linear(length, horizon)
        self.trend = nn.Linear(length, horizon)

    def forward(self, x: Tensor) -> Tensor:
        """(B, L, C) -> (B, H, C)."""
        x = x.transpose(1, 2)
        padded = functional.pad(x, (KERNEL // 2, KERNEL // 2), mode="replicate")
        trend = functional.avg_pool1d(padded, KERNEL, stride=1)
        return (self.seasonal(x - trend) + self.trend(trend)).transpose(1, 2)


def dlinear(series: np.ndarray, ends: tuple[int, int, int], horizon: int, seed: int) -> dict[str, float]:
    """Return test MSE and MAE of the lookback that is best on validation windows, and which it was.

    `series` is (T, C), scaled; `ends` are the times at which the training, validation and test part end.
    """
    tried = [(*_fitted(series, ends, horizon, length, seed), length) for length in LOOKBACKS]
    valid, network, length = min(tried, key=lambda entry: entry[0])
    mse, mae = _errors(network, *windows(series, ends[1], ends[2], length, horizon))
    return {"mse": mse, "mae": mae, "valid_mse": valid, "lookback": length}


def windows(series: np.ndarray, start: int, end: int, length: int, horizon: int) -> tuple[Tensor, Tensor]:
    """Return (B, L, C) and (B, H, C): every window whose times ahead lie from `start` to `end`."""
    part = torch.as_tensor(series[max(start - length, 0) : end], dtype=torch.float32)
    both = part.unfold(0, length + horizon, 1).transpose(1, 2)
    return both[:, :length], both[:, length:]


def _fitted(
    series: np.ndarray, ends: tuple[int, int, int], horizon: int, length: int, seed: int
) -> tuple[float, DLinear]:
    """Return the least validation MSE and the network that has it."""
    torch.manual_seed(seed)
    past, ahead = windows(series, 0, ends[0], length, horizon)
    network = DLinear(length, horizon)
    optimizer = torch.optim.Adam(network.parameters(), lr=LR)
    best, kept, since = float("inf"), network, 0
    for epoch in range(EPOCHS):
        for group in optimizer.param_groups:
            group["lr"] = LR * 0.5 ** max(0, epoch - 1)  # halved from the third epoch on, as the published code does
        order = torch.randperm(len(past))
        for rows in order[: len(order) // BATCH * BATCH].split(BATCH):
            optimizer.zero_grad()
            functional.mse_loss(network(past[rows]), ahead[rows]).backward()
            optimizer.step()
        mse, _ = _errors(network, *windows(series, ends[0], ends[1], length, horizon))
        since = 0 if mse < best else since + 1
        if mse < best:
            best, kept = mse, deepcopy(network)
        if since == PATIENCE:
            break
    return best, kept


@torch.no_grad()
def _errors(network: nn.Module, past: Tensor, ahead: Tensor) -> tuple[float, float]:
    """Return mean squared and absolute error over all windows, times and channels."""
    error = torch.cat([network(x) - y for x, y in zip(past.split(512), ahead.split(512), strict=True)])
    return float((error**2).mean()), float(error.abs().mean())
