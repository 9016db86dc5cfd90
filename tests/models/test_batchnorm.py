"""The leaner BatchNorm is torch's in values, gradients and state."""

import pytest
import torch
from torch import nn

from ann.models.batchnorm import BatchNorm1d


def test_a_single_row_has_no_variance_and_is_refused() -> None:
    norm = BatchNorm1d(5)
    with pytest.raises(ValueError, match="more than 1 value per channel"):
        norm(torch.ones(1, 5))
    assert torch.isfinite(norm.running_var).all()


@pytest.mark.parametrize("momentum", [0.1, 0.5, None])
def test_it_is_torchs_over_several_batches_and_in_evaluation(momentum: float | None) -> None:
    random = torch.Generator().manual_seed(0)
    mine, theirs = BatchNorm1d(5, momentum=momentum), nn.BatchNorm1d(5, momentum=momentum)
    for _ in range(3):
        x = torch.randn(7, 5, generator=random)
        inputs = [x.clone().requires_grad_(), x.clone().requires_grad_()]
        outputs = [norm(value) for norm, value in zip((mine, theirs), inputs, strict=True)]
        for norm, output in zip((mine, theirs), outputs, strict=True):
            norm.zero_grad()
            (output**3).sum().backward()
        assert torch.equal(*outputs)
        assert torch.equal(inputs[0].grad, inputs[1].grad)
        assert torch.equal(mine.weight.grad, theirs.weight.grad)
    for name in ("running_mean", "running_var"):
        assert torch.equal(getattr(mine, name), getattr(theirs, name))
    assert torch.equal(mine.eval()(x), theirs.eval()(x))
    assert mine.state_dict().keys() == theirs.state_dict().keys()
