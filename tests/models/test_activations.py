"""Activations of torch beside the closed forms of the NumPy reference."""

import numpy as np
import pytest
import torch

from ann.models.activations import ACTIVATIONS
from ann.models.reference import ACTIVATIONS as REFERENCE

POINTS = np.concatenate([np.linspace(-6, 6, 241), [-30.0, 30.0]])


def test_the_two_know_the_same_names() -> None:
    assert ACTIVATIONS.keys() == REFERENCE.keys()


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_value_and_derivative_follow_the_closed_form(name: str) -> None:
    z = torch.from_numpy(POINTS).requires_grad_()
    value = ACTIVATIONS[name]()(z)
    value.sum().backward()
    expected, slope = REFERENCE[name](POINTS)
    np.testing.assert_allclose(value.detach().numpy(), expected, rtol=1e-10, atol=1e-12)
    np.testing.assert_allclose(z.grad.numpy(), slope, rtol=1e-10, atol=1e-12)
