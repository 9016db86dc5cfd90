"""Each transform against an oracle of its own: NumPy, SciPy and torch.flip, or a count of many draws."""

import re
from typing import Any

import numpy as np
import pytest
import torch
from pydantic import TypeAdapter
from scipy import stats
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensorMode

from ann.config.augment import AugmentParams
from ann.errors import ConfigError
from ann.training.augmentation import (
    TRANSFORMS,
    Inputs,
    build_augment,
    colour_jitter,
    cutmix,
    erase,
    flip,
    mask,
    mixup,
    noise,
    spec_augment,
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
        "audio": torch.randn(ROWS, 9, 6, generator=dice(96)).to(dtype),
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


def assert_evenly_drawn(values: Tensor, low: float, high: float) -> None:
    """Kolmogorov-Smirnov over the rows of one batch: bounds, shape, and a draw for each row."""
    assert low - 1e-5 <= values.min()
    assert values.max() <= high + 1e-5
    assert stats.kstest(values.numpy(), stats.uniform(low, high - low).cdf).pvalue > 0.01


def classes() -> Tensor:
    return torch.arange(ROWS) % 3


def full(value: float) -> Tensor:
    return torch.full((ROWS,), value)


@pytest.mark.parametrize(("axis", "dim"), [("horizontal", -1), ("vertical", -2)])
def test_flip_mirrors_about_half_of_the_rows(axis: str, dim: int) -> None:
    image = images(2000, 1)
    flipped = flip(image, axis=axis, generator=dice())
    changed = (flipped != image).flatten(1).any(dim=1)
    assert 900 < changed.sum() < 1100
    assert torch.equal(flipped[changed], torch.flip(image, dims=(dim,))[changed])


def grey(image: np.ndarray) -> np.ndarray:
    return (image * LUMA).sum(axis=1, keepdims=True)


def test_brightness_multiplies() -> None:
    image = images(2000)
    factor = colour_jitter(image, brightness=0.3, contrast=0.0, saturation=0.0, generator=dice()) / image
    torch.testing.assert_close(factor, factor[:, :1, :1, :1].expand_as(factor))
    assert_evenly_drawn(factor[:, 0, 0, 0], 0.7, 1.3)


@pytest.mark.parametrize("name", ["contrast", "saturation"])
def test_contrast_and_saturation_scale_the_distance_to_grey(name: str) -> None:
    image = images(2000, dtype=torch.float64)
    shares = {"brightness": 0.0, "contrast": 0.0, "saturation": 0.0} | {name: 0.4}
    changed = colour_jitter(image, **shares, generator=dice()).numpy()
    centre = grey(image.numpy())
    if name == "contrast":
        centre = centre.mean(axis=(2, 3), keepdims=True)
    before, after = image.numpy() - centre, changed - centre
    factor = (before * after).sum(axis=(1, 2, 3)) / (before**2).sum(axis=(1, 2, 3))
    np.testing.assert_allclose(after, before * factor[:, None, None, None], atol=1e-6)
    assert_evenly_drawn(torch.from_numpy(factor), 0.6, 1.4)


def test_colour_jitter_follows_its_formula() -> None:
    image = images(dtype=torch.float64)
    changed = colour_jitter(image, brightness=0.2, contrast=0.5, saturation=0.8, generator=dice(7))
    random = dice(7)
    brightness, contrast, saturation = (
        1 + share * (2 * torch.rand(ROWS, generator=random).double().numpy().reshape(-1, 1, 1, 1) - 1)
        for share in (0.2, 0.5, 0.8)
    )
    expected = image.numpy() * brightness
    mean = grey(expected).mean(axis=(2, 3), keepdims=True)
    expected = mean + contrast * (expected - mean)
    expected = grey(expected) + saturation * (expected - grey(expected))
    np.testing.assert_allclose(changed.numpy(), expected, atol=1e-6)


def test_saturation_does_nothing_to_one_channel() -> None:
    changed = colour_jitter(images(channels=1), brightness=0.0, contrast=0.0, saturation=1.0)
    torch.testing.assert_close(changed, images(channels=1))


def test_erase_removes_one_rectangle_of_the_wanted_area() -> None:
    image = torch.ones(2000, 2, 30, 50)
    gone = erase(image, probability=0.7, area=(0.1, 0.3), generator=dice()) == 0
    assert torch.equal(gone[:, 0], gone[:, 1])
    gone = gone[:, 0]
    hit = gone.flatten(1).any(dim=1)
    assert 1330 < hit.sum() < 1470
    height, width = gone.any(dim=2).sum(dim=1)[hit], gone.any(dim=1).sum(dim=1)[hit]
    area = gone.sum(dim=(1, 2))[hit]
    assert torch.equal(area, height * width)  # as many as its bounding box: a rectangle, all of it inside
    rounding = (height + width + 1) / 2
    assert (area >= 0.1 * 1500 - rounding).all()
    assert (area <= 0.3 * 1500 + rounding).all()
    assert (area / 1500).mean().item() == pytest.approx(0.2, abs=0.005)
    assert (width / height).max() > 2
    assert (height / width).max() > 2
    assert ((width / height).log().abs() < np.log(1 / 0.3) + 0.15).all()
    top, bottom, left, right = (
        side.any(dim=1).sum().item() for side in (gone[:, 0], gone[:, -1], gone[:, :, 0], gone[:, :, -1])
    )
    assert top == pytest.approx(bottom, rel=0.25)  # it reaches each border equally often
    assert left == pytest.approx(right, rel=0.25)
    assert min(top, left) > 20


@pytest.mark.parametrize("probability", [0.0, 1.0])
def test_erase_spares_all_or_hits_all(probability: float) -> None:
    erased = erase(images(500), probability=probability, area=(0.02, 0.2), generator=dice())
    assert (erased == 0).flatten(1).any(dim=1).float().mean() == probability


def test_erase_removes_a_pixel_at_least() -> None:
    erased = erase(images(500, 1), probability=1.0, area=(1e-4, 2e-4), generator=dice())
    assert ((erased == 0).sum(dim=(1, 2, 3)) == 1).all()


@pytest.mark.parametrize("groups", [("image",), ("series", "numeric")])
def test_mixup_blends_inputs_and_target_alike(groups: tuple[str, ...]) -> None:
    """Row i holds the i-th unit vector, as does its one-hot label: they must stay equal."""
    rows = 12
    unit = torch.eye(rows)
    every = {"image": unit.view(rows, 1, 3, 4), "series": unit.view(rows, 6, 2), "numeric": unit}
    mixed, target = mixup(
        {group: every[group] for group in groups}, torch.arange(rows), alpha=1.0, num_classes=rows, generator=dice(2)
    )
    for values in mixed.values():
        torch.testing.assert_close(values.reshape(rows, rows), target)
    own = target.diagonal()
    lam = own.min()  # rows that meet themselves keep all
    assert 0.05 < lam < 0.95
    assert ((own - lam).abs() < 1e-6).sum() >= 8
    assert (((own - lam).abs() < 1e-6) | ((own - 1).abs() < 1e-6)).all()
    torch.testing.assert_close(target.sum(dim=1), torch.ones(rows))
    torch.testing.assert_close(target.sum(dim=0), torch.ones(rows))  # each row is another's partner once


@pytest.mark.parametrize("alpha", [0.2, 1.0, 4.0])
def test_the_share_of_mixup_follows_beta(alpha: float) -> None:
    generator, rows = dice(), torch.tensor([[0.0], [1.0]])
    shares = []
    while len(shares) < 500:
        mixed, _ = mixup({"numeric": rows}, rows, alpha=alpha, num_classes=None, generator=generator)
        if (share := mixed["numeric"][1, 0].item()) not in (0.0, 1.0):  # else both rows met themselves
            shares.append(share)
    assert stats.kstest(shares, stats.beta(alpha, alpha).cdf).pvalue > 0.01


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.int64])
def test_mixup_keeps_a_linear_regression_true(dtype: torch.dtype) -> None:
    values = torch.arange(20).view(10, 2)
    mixed, target = augmented(
        [{"name": "mixup", "alpha": 1}], {"numeric": values.float()}, values.sum(dim=1).to(dtype), None, dice()
    )
    assert target.shape == (10,)
    assert not torch.equal(mixed["numeric"], values.float())
    torch.testing.assert_close(mixed["numeric"].sum(dim=1), target.float())


def test_cutmix_counts_exactly_the_pixels_that_it_pastes() -> None:
    """The pixel p of the image i is i + p / 1000, so that each tells where it comes from."""
    rows, generator, clipped = 16, dice(), 0
    place = torch.arange(HEIGHT * WIDTH).view(HEIGHT, WIDTH) / 1000
    image = torch.arange(rows).view(-1, 1, 1, 1) + place.expand(rows, 2, -1, -1)
    for _ in range(30):
        mixed, target = cutmix({"image": image}, torch.arange(rows), alpha=1.0, num_classes=rows, generator=generator)
        owner = mixed["image"].floor()
        torch.testing.assert_close(mixed["image"] - owner, place.expand_as(image), rtol=0, atol=1e-5)
        assert torch.equal(owner[:, 0], owner[:, 1])
        counts = torch.stack([(owner[:, 0] == other).sum(dim=(1, 2)) for other in range(rows)], dim=1)
        torch.testing.assert_close(target, counts / (HEIGHT * WIDTH), rtol=0, atol=1e-6)
        pasted = owner[:, 0] != torch.arange(rows).view(-1, 1, 1)
        height, width = pasted.any(dim=2).sum(dim=1), pasted.any(dim=1).sum(dim=1)
        assert torch.equal(pasted.sum(dim=(1, 2)), height * width)
        clipped += int(((height < height.max()) & (height > 0)).sum())
    assert clipped > 30


def test_the_sides_of_cutmix_are_the_root_of_the_share() -> None:
    """Beta(a, a) of a huge a is 1/2; what is not cut off at the border has sqrt(1/2) of each side."""
    image = torch.arange(400.0).view(-1, 1, 1, 1).expand(-1, 1, 60, 40)
    mixed, _ = cutmix({"image": image}, torch.zeros(400), alpha=1e6, num_classes=None, generator=dice())
    pasted = (mixed["image"] != image)[:, 0]
    height, width = pasted.any(dim=2).sum(dim=1), pasted.any(dim=1).sum(dim=1)
    assert (height.max(), width.max()) == (round(60 * 0.5**0.5), round(40 * 0.5**0.5))
    for corner in (pasted[:, 0, 0], pasted[:, 0, -1], pasted[:, -1, 0], pasted[:, -1, -1]):
        assert 0.05 < corner.float().mean() < 0.25  # a middle within 0.35 of both sides: 1/8


def test_blending_twice_keeps_probabilities() -> None:
    _, target = augmented(["cutmix", {"name": "mixup", "alpha": 1}], {"image": images()}, classes(), 3, dice(1))
    assert target.shape == (ROWS, 3)
    torch.testing.assert_close(target.sum(dim=1), torch.ones(ROWS))
    assert ((target > 0).sum(dim=1) > 1).any()


@pytest.mark.parametrize("shape", [(400, 100), (400, 20, 5)])
def test_noise_is_normal_and_independent(shape: tuple[int, ...]) -> None:
    values = torch.randn(shape, generator=dice(5))
    added = noise(values, std=0.3, generator=dice()) - values
    assert stats.kstest(added.flatten().numpy(), stats.norm(0, 0.3).cdf).pvalue > 0.01
    assert added.mean(dim=0).std().item() == pytest.approx(0.3 / 20, rel=0.25)
    assert added.flatten(1).mean(dim=1).std().item() == pytest.approx(0.3 / 10, rel=0.15)


def test_mask_removes_single_cells_of_columns() -> None:
    values = torch.ones(2000, 10)
    gone = mask(values, share=0.2, generator=dice()) == 0
    assert gone.float().mean().item() == pytest.approx(0.2, abs=0.01)
    observed = torch.bincount(gone.sum(dim=1), minlength=11)[:6].numpy()
    np.testing.assert_allclose(observed / 2000, stats.binom(10, 0.2).pmf(np.arange(6)), atol=0.03)


@pytest.mark.parametrize(("times", "share", "lengths"), [(10, 0.3, {3}), (10, 0.25, {2, 3}), (5, 0.1, {0, 1})])
def test_mask_removes_one_stretch_of_a_series(times: int, share: float, lengths: set[int]) -> None:
    gone = mask(torch.ones(2000, times, 2), share=share, generator=dice()) == 0
    assert torch.equal(gone[..., 0], gone[..., 1])
    gone = gone[..., 0]
    assert set(gone.sum(dim=1).tolist()) == lengths
    assert gone.float().mean().item() == pytest.approx(share, abs=0.01)
    starts = (torch.diff(gone.int(), prepend=torch.zeros(2000, 1, dtype=torch.int32)) == 1).sum(dim=1)
    assert starts.max() == 1
    longest = gone[gone.sum(dim=1) == max(lengths)]
    first = torch.bincount(longest.int().argmax(dim=1), minlength=times)
    places = times - max(lengths) + 1
    assert stats.chisquare(first[:places].numpy()).pvalue > 0.01
    assert first[places:].sum() == 0


def test_spec_augment_removes_a_stretch_of_real_frames_and_one_of_bands() -> None:
    sounds, frames = torch.ones(2000, 20, 10), torch.arange(2000) % 20 + 1
    real = torch.arange(20) < frames[:, None]
    changed = spec_augment(sounds * real[:, :, None], frames=0.25, bands=0.3, generator=dice())
    seen = changed != 0
    assert not seen[~real].any()
    bands = ~seen.any(dim=1)
    assert set(bands.sum(dim=1)[frames > 3].tolist()) == {3}
    assert ((torch.diff(bands.int(), prepend=torch.zeros(2000, 1, dtype=torch.int32)) == 1).sum(dim=1) == 1).all()
    times = real & ~seen.any(dim=2)
    lost = times.sum(dim=1)
    assert (lost >= (frames * 0.25).floor()).all()
    assert (lost <= (frames * 0.25).ceil()).all()
    assert lost.sum() / frames.sum() == pytest.approx(0.25, abs=0.01)
    torch.testing.assert_close(seen, real[:, :, None] & ~times[:, :, None] & ~bands[:, None])


@pytest.mark.parametrize("name", sorted(TRANSFORMS))
@pytest.mark.parametrize("dtype", [torch.float16, torch.float32, torch.float64])
def test_shape_and_dtype_are_kept_and_inputs_too(name: str, dtype: torch.dtype) -> None:
    inputs, target = inputs_for(name, dtype), classes()
    before = {group: values.clone() for group, values in inputs.items()}
    changed, _ = augmented([name], inputs, target, generator=dice(2))
    for group, values in changed.items():
        assert (values.shape, values.dtype) == (before[group].shape, dtype)
        assert not torch.equal(values, before[group])
        assert torch.equal(inputs[group], before[group])
    assert torch.equal(target, classes())


@pytest.mark.parametrize("name", PRESERVING)
def test_labels_pass_untouched(name: str) -> None:
    target = classes()
    assert augmented([name], inputs_for(name), target)[1] is target


@pytest.mark.parametrize("name", ["rotation", "noise"])
def test_other_groups_pass_untouched(name: str) -> None:
    inputs = inputs_for("mixup") | {"categorical": torch.arange(ROWS)[:, None]}
    changed, _ = augmented([name], inputs, classes())
    assert list(changed) == list(inputs)
    spared = set(inputs) - set(TRANSFORMS[name][1])
    assert all(changed[group] is inputs[group] for group in spared)


@pytest.mark.parametrize("name", sorted(TRANSFORMS))
def test_the_seed_decides(name: str) -> None:
    def drawn(seed: int, generator: torch.Generator | None = None) -> Tensor:
        torch.manual_seed(seed)
        changed, _ = augmented([name], inputs_for(name), classes(), generator=generator)
        return torch.cat([values.flatten() for values in changed.values()])

    assert torch.equal(drawn(1), drawn(1))
    assert not torch.equal(drawn(1), drawn(2))
    assert torch.equal(drawn(1, dice(5)), drawn(2, dice(5)))
    assert not torch.equal(drawn(1, dice(5)), drawn(1, dice(6)))


@pytest.mark.parametrize("name", sorted(TRANSFORMS))
def test_no_value_is_read_back_from_the_device(name: str) -> None:
    """A fake tensor has no values: whatever asks for one fails."""
    with FakeTensorMode(allow_non_fake_inputs=False):
        inputs = {group: torch.zeros(values.shape) for group, values in inputs_for(name).items()}
        changed, _ = augmented([name], inputs, torch.zeros(ROWS, dtype=torch.int64))
        assert {group: values.shape for group, values in changed.items()} == {
            group: values.shape for group, values in inputs.items()
        }


@pytest.mark.parametrize("name", PRESERVING)
def test_everything_lies_on_the_device_of_the_batch(name: str) -> None:
    inputs = {group: values.to("meta") for group, values in inputs_for(name).items()}
    changed, _ = augmented([name], inputs, classes().to("meta"))
    assert {values.device.type for values in changed.values()} == {"meta"}


def test_nothing_to_do_is_none() -> None:
    assert build_augment((), groups=("image",), num_classes=3) is None


def test_every_transform_of_the_configuration_is_built() -> None:
    names = {entry["properties"]["name"]["const"] for entry in AUGMENT.json_schema()["$defs"].values()}
    assert names == set(TRANSFORMS)
    assert list(TRANSFORMS) == sorted(TRANSFORMS)


@pytest.mark.parametrize(
    ("name", "groups", "message"),
    [
        (
            "rotation",
            ["numeric", "categorical"],
            "train.augment: rotation needs the group image, but the data has categorical, numeric: "
            "take rotation out, or write one of mask, noise",
        ),
        (
            "mask",
            ["categorical"],
            "train.augment: mask needs the group series or numeric, but the data has categorical: take mask out",
        ),
        (
            "mixup",
            ["numeric", "categorical"],
            "train.augment: mixup needs the group image or series or numeric alone (it must blend all of a row, as "
            "its label, and cannot blend categorical), but the data has categorical, numeric: "
            "take mixup out, or write one of mask, noise",
        ),
        (
            "cutmix",
            ["image", "series"],
            "train.augment: cutmix needs the group image alone (it must blend all of a row, as its label, and cannot "
            "blend series), but the data has image, series: take cutmix out, or write one of colour_jitter, erase, "
            "flip, mask, mixup, noise, resized_crop, rotation, shift, zoom",
        ),
    ],
)
def test_a_transform_that_does_not_fit_the_data_is_refused(name: str, groups: list[str], message: str) -> None:
    params = AUGMENT.validate_python([name])
    with pytest.raises(ConfigError, match=f"^{re.escape(message)}$"):
        build_augment(params, groups=groups, num_classes=3)
