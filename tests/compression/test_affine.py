"""Affine codes: how far a number may be off, and that zero is exact."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from ann.compression.affine import affine_of, code_range, dequantize, quantize_affine
from ann.errors import ConfigError

NUMBERS = arrays.arrays(
    np.float32,
    arrays.array_shapes(min_dims=1, max_dims=3, max_side=6),
    elements=st.floats(-1e6, 1e6, width=32, allow_subnormal=False),
)
BITS = st.integers(2, 8)


@given(x=NUMBERS, bits=BITS, symmetric=st.booleans(), axis=st.sampled_from([None, 0, -1]))
@settings(max_examples=200, deadline=None)
def test_a_number_comes_back_within_half_a_step(x: np.ndarray, bits: int, symmetric: bool, axis: int | None) -> None:
    quantized = quantize_affine(x, bits, symmetric=symmetric, axis=axis)
    lowest, highest = code_range(bits, symmetric=symmetric)
    assert quantized.codes.shape == x.shape
    assert quantized.codes.min() >= lowest
    assert quantized.codes.max() <= highest
    shape = [1] * x.ndim
    if axis is not None:
        shape[axis] = -1
    step = quantized.scale.astype(np.float64).reshape(shape)
    off = np.abs(dequantize(quantized, axis).astype(np.float64) - x)
    assert (off <= step / 2 * (1 + 1e-4) + 1e-30).all()


@given(x=NUMBERS, bits=BITS, symmetric=st.booleans())
@settings(max_examples=100, deadline=None)
def test_zero_stays_zero(x: np.ndarray, bits: int, symmetric: bool) -> None:
    with_zero = np.concatenate([x.reshape(-1), np.zeros(1, np.float32)])
    assert dequantize(quantize_affine(with_zero, bits, symmetric=symmetric))[-1] == 0
    codes, _, zero_point = quantize_affine(np.abs(x) + 1, bits, symmetric=symmetric)  # a range that has no zero
    lowest, highest = code_range(bits, symmetric=symmetric)
    assert lowest <= zero_point <= highest
    assert (codes >= zero_point).all()


@pytest.mark.parametrize("axis", [0, 1, 2, -1])
def test_an_axis_has_the_scales_of_its_slices(axis: int) -> None:
    x = np.random.default_rng(0).normal(size=(3, 4, 5)).astype(np.float32) * np.arange(1, 6, dtype=np.float32)
    whole = quantize_affine(x, 7, symmetric=True, axis=axis)
    for index in range(x.shape[axis]):
        part = quantize_affine(x.take(index, axis), 7, symmetric=True)
        assert part.scale == whole.scale[index]
        np.testing.assert_array_equal(part.codes, whole.codes.take(index, axis))


def test_known_codes() -> None:
    x = np.array([-1.0, 0.0, 0.5, 1.0], np.float32)
    codes, scale, zero_point = quantize_affine(x, 8, symmetric=True)
    assert codes.tolist() == [-127, 0, 64, 127]
    assert scale == np.float32(1 / 127)
    assert zero_point == 0
    codes, scale, zero_point = quantize_affine(np.array([0.0, 51.0], np.float32), 8, symmetric=False)
    assert (codes.tolist(), float(zero_point)) == ([-128, 127], -128)
    assert scale == np.float32(0.2)


def test_nothing_but_zeros_and_an_empty_array_have_the_scale_one() -> None:
    for x in (np.zeros((2, 3), np.float32), np.zeros((0, 3), np.float32)):
        codes, scale, _ = quantize_affine(x, 8, symmetric=False)
        assert scale == 1
        assert (codes == -128).all()


def test_numbers_too_small_for_a_scale_become_zero() -> None:
    x = np.array([1e-42, -1e-42], np.float32)
    assert dequantize(quantize_affine(x, 8, symmetric=True)).tolist() == [0, 0]


def test_a_range_as_wide_as_float32_has_a_finite_scale() -> None:
    most = float(np.finfo(np.float32).max)
    scale, zero_point = affine_of(-most, most, 8, symmetric=False)
    assert np.isfinite(scale)
    assert zero_point in (-1, 0)


@pytest.mark.parametrize("bits", [1, 9])
def test_other_numbers_of_bits_are_refused(bits: int) -> None:
    with pytest.raises(ConfigError, match=rf"quantize\.bits: codes have 2 to 8 bits, not {bits}: write 8"):
        quantize_affine(np.ones(3, np.float32), bits, symmetric=True)
