"""Turns, shifts, zooms and crops against SciPy, torch.rot90 and torch.roll; a chain interpolates once."""

from typing import Any

import numpy as np
import pytest
import torch
from pydantic import TypeAdapter
from scipy import ndimage, stats
from torch import Tensor

from ann.config.augment import AugmentParams
from ann.training.augmentation import (
    TRANSFORMS,
    Inputs,
    build_augment,
    compose,
    resample,
    resized_crop,
    rotation,
    shift,
    turn,
    window,
    zoom,
)

AUGMENT: TypeAdapter[tuple[AugmentParams, ...]] = TypeAdapter(tuple[AugmentParams, ...])
ROWS, HEIGHT, WIDTH = 6, 11, 14
LUMA = np.array([0.299, 0.587, 0.114]).reshape(1, 3, 1, 1)
PRESERVING = sorted(set(TRANSFORMS) - {"mixup", "cutmix"})


def dice(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def images(rows: int = ROWS, channels: int = 3, dtype: torch.dtype = torch.float32) -> Tensor:
    return torch.rand(rows, channels, HEIGHT, WIDTH, generator=dice(99)).add(0.1).to(dtype)


def inputs_for(name: str, dtype: torch.dtype = torch.float32) -> Inputs:
    """Rows of all groups that the transform can change."""
    every = {
        "image": images(dtype=dtype),
        "series": torch.randn(ROWS, 9, 2, generator=dice(98)).to(dtype),
        "numeric": torch.randn(ROWS, 5, generator=dice(97)).to(dtype),
    }
    return {group: every[group] for group in TRANSFORMS[name][1]}


def augmented(
    params: list[Any], inputs: Inputs, target: Tensor, num_classes: int | None = 3, generator: Any = None
) -> tuple[Inputs, Tensor]:
    augment = build_augment(
        AUGMENT.validate_python(params), groups=inputs.keys(), num_classes=num_classes, generator=generator
    )
    assert augment is not None
    return augment(inputs, target)


def classes() -> Tensor:
    return torch.arange(ROWS) % 3


def full(value: float) -> Tensor:
    return torch.full((ROWS,), value)


@pytest.mark.parametrize("quarters", [1, 2, 3])
def test_a_turn_by_quarters_is_rot90(quarters: int) -> None:
    square = images()[..., :HEIGHT]
    turned = resample(square, turn(full(quarters * torch.pi / 2), HEIGHT, HEIGHT))
    torch.testing.assert_close(turned, torch.rot90(square, quarters, dims=(-2, -1)), rtol=0, atol=1e-5)


def test_half_a_turn_of_an_oblong_image_is_rot90() -> None:
    turned = resample(images(), turn(full(torch.pi), HEIGHT, WIDTH))
    torch.testing.assert_close(turned, torch.rot90(images(), 2, dims=(-2, -1)), rtol=0, atol=1e-5)


@pytest.mark.parametrize("degrees", [-17.0, 8.5, 60.0])
def test_a_turn_of_an_oblong_image_agrees_with_scipy(degrees: float) -> None:
    image = images(dtype=torch.float64)
    turned = resample(image, turn(torch.deg2rad(full(degrees).double()), HEIGHT, WIDTH))
    expected = ndimage.rotate(image.numpy(), degrees, axes=(-2, -1), reshape=False, order=1, mode="nearest")
    np.testing.assert_allclose(turned.numpy(), expected, atol=1e-6)


@pytest.mark.parametrize(
    ("height", "width", "y", "x"), [(0.5, 0.7, 0.3, -0.1), (1.4, 1.4, 0.0, 0.0), (1, 1, 0.3, -0.4)]
)
def test_a_window_agrees_with_scipy(height: float, width: float, y: float, x: float) -> None:
    image = images(dtype=torch.float64)
    seen = resample(image, window(*(full(value).double() for value in (height, width, y, x))))
    middle = (np.array([HEIGHT, WIDTH]) - 1) / 2
    first = middle + np.array([y * HEIGHT, x * WIDTH]) / 2 - middle * [height, width]
    expected = [
        [ndimage.affine_transform(plane, [height, width], first, order=1, mode="nearest") for plane in planes]
        for planes in image.numpy()
    ]
    np.testing.assert_allclose(seen.numpy(), expected, atol=1e-6)


@pytest.mark.parametrize(("down", "right"), [(0, 3), (2, 0), (-4, 5), (1, -6)])
def test_a_shift_by_whole_pixels_repeats_the_edge(down: int, right: int) -> None:
    moved = resample(images(), window(full(1), full(1), full(-2 * down / HEIGHT), full(-2 * right / WIDTH)))
    y, x = (torch.arange(HEIGHT) - down).clamp(0, HEIGHT - 1), (torch.arange(WIDTH) - right).clamp(0, WIDTH - 1)
    expected = images()[:, :, y][..., x]
    torch.testing.assert_close(moved, expected, rtol=0, atol=1e-5)


def test_no_zoom_no_turn_and_the_crop_of_the_whole_change_nothing() -> None:
    image = images()
    for matrices in (
        zoom(image, share=0.0),
        rotation(image, degrees=0.0),
        resized_crop(image, area=(1.0, 1.0), ratio=(0.5, 2.0)),
    ):
        torch.testing.assert_close(resample(image, matrices), image, rtol=0, atol=1e-5)


def test_half_precision_finds_the_same_places() -> None:
    wide = torch.rand(2, 1, 3, 2000, generator=dice()).half()
    matrices = rotation(wide, degrees=0.05, generator=dice())
    expected = resample(wide.float(), matrices)
    torch.testing.assert_close(resample(wide, matrices).float(), expected, rtol=1e-3, atol=1e-3)


def assert_evenly_drawn(values: Tensor, low: float, high: float) -> None:
    """Kolmogorov-Smirnov over the rows of one batch: bounds, shape, and a draw for each row."""
    assert low - 1e-5 <= values.min()
    assert values.max() <= high + 1e-5
    assert stats.kstest(values.numpy(), stats.uniform(low, high - low).cdf).pvalue > 0.01


def test_affine_transforms_draw_evenly_for_each_row() -> None:
    many = images(2000, 1)
    turned = rotation(many, degrees=30.0, generator=dice())
    assert_evenly_drawn(torch.rad2deg(torch.atan2(turned[:, 1, 0] * HEIGHT / WIDTH, turned[:, 0, 0])), -30, 30)

    factor = 1 / zoom(many, share=0.4, generator=dice())[:, 0, 0]
    assert_evenly_drawn(factor, 0.6, 1.4)

    moved = -shift(many, share=0.25, generator=dice())[:, :, 2] / 2 * torch.tensor([WIDTH, HEIGHT])
    for ways, side in zip(moved.unbind(1), (WIDTH, HEIGHT), strict=True):
        pixels, counts = ways.round().unique(return_counts=True)
        torch.testing.assert_close(ways, ways.round(), rtol=0, atol=1e-4)
        assert pixels.tolist() == list(range(-int(side / 4), int(side / 4) + 1))
        assert stats.chisquare(counts).pvalue > 1e-3


def test_a_crop_keeps_area_and_ratio_and_lies_inside() -> None:
    many = images(2000, 1)
    crop = resized_crop(many, area=(0.2, 0.4), ratio=(0.75, 1.3333), generator=dice())
    width, height, x, y = crop[:, 0, 0], crop[:, 1, 1], crop[:, 0, 2], crop[:, 1, 2]
    assert_evenly_drawn(width * height, 0.2, 0.4)
    assert_evenly_drawn(torch.log(width * WIDTH / (height * HEIGHT)), np.log(0.75), np.log(1.3333))
    assert_evenly_drawn(x / (1 - width), -1, 1)
    assert_evenly_drawn(y / (1 - height), -1, 1)


def test_a_crop_whose_ratio_does_not_fit_keeps_its_area() -> None:
    crop = resized_crop(images(500, 1), area=(0.8, 1.0), ratio=(4.0, 5.0), generator=dice())
    width, height = crop[:, 0, 0], crop[:, 1, 1]
    torch.testing.assert_close(width, torch.ones(500))
    assert_evenly_drawn(height, 0.8, 1.0)


def smooth(side: int = 48) -> Tensor:
    """(B, 1, side, side) waves, slow enough that interpolating twice costs little."""
    y, x = torch.meshgrid(torch.arange(side) / side, torch.arange(side) / side, indexing="ij")
    return torch.stack([torch.sin(3 * x + row) * torch.cos(2 * y - row) for row in range(ROWS)])[:, None]


CHAIN = [
    {"name": "rotation", "degrees": 25},
    {"name": "shift", "share": 0.1},
    {"name": "zoom", "share": 0.2},
    {"name": "resized_crop", "area": [0.7, 0.9]},
]


def test_a_chain_of_affine_transforms_is_like_one_after_the_other() -> None:
    chained, _ = augmented(CHAIN, {"image": smooth()}, classes(), generator=dice())
    stepwise, generator = {"image": smooth()}, dice()
    for params in CHAIN:
        stepwise, _ = augmented([params], stepwise, classes(), generator=generator)
    middle = (..., slice(16, 32), slice(16, 32))
    assert (chained["image"] - smooth())[middle].abs().max() > 0.1
    torch.testing.assert_close(chained["image"][middle], stepwise["image"][middle], rtol=0, atol=4e-3)


def test_a_chain_of_affine_transforms_interpolates_once() -> None:
    """What a first shift moves out of the image comes back whole with a second one."""
    there = window(full(1), full(1), full(0.9), full(-0.33))
    back = window(full(1), full(1), full(-0.9), full(0.33))
    torch.testing.assert_close(resample(images(), compose(there, back)), images(), rtol=0, atol=1e-5)

    chained, _ = augmented(CHAIN[:2], {"image": images()}, classes(), generator=dice())
    generator = dice()
    first = rotation(images(), degrees=25, generator=generator)
    second = shift(images(), share=0.1, generator=generator)
    matrices = torch.eye(3).repeat(ROWS, 2, 1, 1)
    matrices[:, 0, :2], matrices[:, 1, :2] = first, second
    product = (matrices[:, 0] @ matrices[:, 1])[:, :2]
    torch.testing.assert_close(chained["image"], resample(images(), product), rtol=0, atol=1e-5)


def test_transforms_run_in_the_order_of_the_configuration() -> None:
    inputs = {"numeric": torch.ones(500, 8)}
    target = torch.zeros(500, dtype=torch.int64)
    masked_last, _ = augmented(["noise", "mask"], inputs, target)
    noise_last, _ = augmented(["mask", "noise"], inputs, target)
    assert (masked_last["numeric"] == 0).any()
    assert not (noise_last["numeric"] == 0).any()

    mixed = [CHAIN[0], "flip", CHAIN[1]]  # what lies between two affine ones keeps them apart
    got, _ = augmented(mixed, {"image": smooth()}, classes(), generator=dice())
    expected, generator = {"image": smooth()}, dice()
    for params in mixed:
        expected, _ = augmented([params], expected, classes(), generator=generator)
    torch.testing.assert_close(got["image"], expected["image"], rtol=0, atol=0)
