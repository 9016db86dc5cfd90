"""Affine quantization: x is about scale * (code - zero point), with integer codes of few bits.

Zero is exactly representable always, since padding, relu and pruned weights are zeros.
"""

from typing import NamedTuple

import numpy as np

from ann.errors import ConfigError

Numbers = np.ndarray


class Quantized(NamedTuple):
    """Codes, and what turns them back into numbers."""

    codes: Numbers
    """int8, of the numbers' shape."""
    scale: Numbers
    """float32, () or one an index of the axis."""
    zero_point: Numbers
    """int8, of the scale's shape; zeros where it is symmetric."""


def quantize_affine(
    x: Numbers, bits: int, *, symmetric: bool, axis: int | None = None, least: Numbers | float = 0.0
) -> Quantized:
    """Return codes of `bits` for finite float32 numbers; with an `axis` each of its indices has a scale of its own.

    Scales are no smaller than `least`.

    Symmetric codes lie in +-(2^(bits - 1) - 1) and have the zero point 0; others take all of
    -2^(bits - 1) .. 2^(bits - 1) - 1. A number is off by half a scale at most.

    Raises:
        ConfigError: bits are outside 2..8.
    """
    others = None if axis is None else tuple(index for index in range(x.ndim) if index != axis % x.ndim)
    low, high = (x.min(axis=others), x.max(axis=others)) if x.size else (np.zeros(()), np.zeros(()))
    scale, zero_point = affine_of(low, high, bits, symmetric=symmetric, least=least)
    lowest, highest = code_range(bits, symmetric=symmetric)
    codes = np.rint(x / _along(scale, x, axis)) + _along(zero_point, x, axis)
    return Quantized(np.clip(codes, lowest, highest).astype(np.int8), scale, zero_point)


def dequantize(quantized: Quantized, axis: int | None = None) -> Numbers:
    """Return the float32 numbers that the codes stand for; `axis` is that of `quantize_affine`."""
    codes, scale, zero_point = quantized
    steps = codes.astype(np.float32) - _along(zero_point, codes, axis).astype(np.float32)
    numbers: Numbers = steps * _along(scale, codes, axis)
    return numbers


def affine_of(
    low: Numbers | float, high: Numbers | float, bits: int, *, symmetric: bool, least: Numbers | float = 0.0
) -> tuple[Numbers, Numbers]:
    """Return scale and zero point that cover low..high, which is widened to contain 0; an empty range has scale 1.

    Scales are no smaller than `least`.
    """
    lowest, highest = code_range(bits, symmetric=symmetric)
    low, high = np.minimum(low, 0).astype(np.float32), np.maximum(high, 0).astype(np.float32)
    if symmetric:
        scale = np.maximum(-low, high) / np.float32(highest)
    else:
        scale = high / np.float32(highest - lowest) - low / np.float32(highest - lowest)  # high - low may overflow
    scale = np.where(scale >= np.finfo(np.float32).tiny, scale, np.float32(1))  # below it divisions overflow
    scale = np.maximum(scale, least).astype(np.float32)
    if symmetric:
        return scale, np.zeros(scale.shape, np.int8)
    return scale, np.clip(np.rint(lowest - low / scale), lowest, highest).astype(np.int8)


def code_range(bits: int, *, symmetric: bool) -> tuple[int, int]:
    """Return the least and the greatest code.

    Raises:
        ConfigError: bits are outside 2..8.
    """
    if not 2 <= bits <= 8:
        raise ConfigError(f"quantize.bits: codes have 2 to 8 bits, not {bits}: write 8")
    half: int = 2 ** (bits - 1)
    return (1 - half if symmetric else -half), half - 1


def _along(values: Numbers, x: Numbers, axis: int | None) -> Numbers:
    """Give values of one axis the shape that broadcasts over x."""
    if axis is None:
        return values
    return values.reshape([-1 if index == axis % x.ndim else 1 for index in range(x.ndim)])
