"""Augmentation: each training batch changed by tensor arithmetic on its own device, nothing of which waits for a GPU.

Shapes: image (B, C, H, W), series (B, T, C), numeric (B, F); K classes. Each row has draws of its own, but mixup and
cutmix one share a batch; they are torch's global generator's, or those of the one given. Inputs are not changed in
place, since they may be the data set's own. Rotation, shift, zoom and resized_crop draw matrices; neighbours become
one, so that an image is interpolated once. What comes in from outside repeats the image's edge, so that no frame shows
how far it was moved. What erase and mask remove is zero.
"""

import math
from collections.abc import Callable, Collection, Sequence
from functools import partial, reduce
from itertools import groupby
from typing import Any

import torch
from torch import Generator, Tensor
from torch.nn import functional

from ann.config.augment import AugmentParams
from ann.errors import ConfigError

ERASE_RATIO = (0.3, 1 / 0.3)  # width over height of an erased rectangle (arXiv:1708.04896)
Inputs = dict[str, Tensor]
Batch = tuple[Inputs, Tensor]
Range = tuple[float, float]
Dice = Generator | None
Augment = Callable[[Inputs, Tensor], Batch]
"""(inputs by group, target) -> the same changed; mixup and cutmix make (B,) class ids (B, K) probabilities."""


def build_augment(
    params: tuple[AugmentParams, ...], *, groups: Collection[str], num_classes: int | None, generator: Dice = None
) -> Augment | None:
    """Return the transforms of `params` in order as one function, or None where there are none.

    `groups` are those of the data. `num_classes` is None for regression, whose targets are blended as they are.

    Raises:
        ConfigError: a transform does not fit the groups.
    """
    steps: list[Augment] = []
    for affine, run in groupby(params, key=lambda entry: entry.name in AFFINE):
        transforms = []
        for entry in run:
            if not _fits(entry.name, groups):
                raise _misfit(entry.name, groups)
            transform, names = TRANSFORMS[entry.name]
            transforms.append(partial(transform, **entry.model_dump(exclude={"name"}), generator=generator))
            if entry.name in BLENDS:
                steps.append(partial(transforms[-1], num_classes=num_classes))
            elif not affine:
                steps.append(partial(_change, names=names, change=transforms[-1]))
        if affine:
            steps.append(partial(_change, names=("image",), change=partial(_move, draws=transforms)))
    return partial(_in_order, steps=steps) if steps else None


def _misfit(name: str, groups: Collection[str]) -> ConfigError:
    changed = TRANSFORMS[name][1]
    has, rest = (", ".join(sorted(names)) for names in (groups, set(groups) - set(changed)))
    only = f" alone (it must blend all of a row, as its label, and cannot blend {rest})" if name in BLENDS else ""
    fitting = ", ".join(known for known in TRANSFORMS if _fits(known, groups))
    return ConfigError(
        f"train.augment: {name} needs the group {' or '.join(changed)}{only}, but the data has {has}: "
        f"take {name} out{', or write one of ' * bool(fitting)}{fitting}"
    )


def _fits(name: str, groups: Collection[str]) -> bool:
    """Tell whether the data has a group that the transform changes and, where rows are blended, no other."""
    changed = set(TRANSFORMS[name][1]) & set(groups)
    return bool(changed) and (name not in BLENDS or changed == set(groups))


def _in_order(inputs: Inputs, target: Tensor, *, steps: Sequence[Augment]) -> Batch:
    return reduce(lambda batch, step: step(*batch), steps, (inputs, target))


def _change(inputs: Inputs, target: Tensor, *, names: Sequence[str], change: Callable[[Tensor], Tensor]) -> Batch:
    """Change those of the named groups that there are."""
    return inputs | {name: change(inputs[name]) for name in names if name in inputs}, target


def _move(image: Tensor, *, draws: Sequence[Callable[[Tensor], Tensor]]) -> Tensor:
    return resample(image, reduce(compose, [draw(image) for draw in draws]))


def rotation(image: Tensor, *, degrees: float, generator: Dice = None) -> Tensor:
    """(B, C, H, W) -> (B, 2, 3) matrices that turn each image by U(-degrees, degrees)."""
    return turn(torch.deg2rad(_uniform(image, -degrees, degrees, generator)), *image.shape[-2:])


def shift(image: Tensor, *, share: float, generator: Dice = None) -> Tensor:
    """(B, C, H, W) -> (B, 2, 3) matrices that move each image by at most `share` of its width and of its height.

    By whole pixels, up to one at least: between pixels everything would blur, as it does not in the rows to come.
    """
    right, down = (_whole_pixels(image, side, share, generator) for side in (image.shape[-1], image.shape[-2]))
    return window(torch.ones_like(down), torch.ones_like(right), -2 * down, -2 * right)


def _whole_pixels(image: Tensor, side: int, share: float, generator: Dice) -> Tensor:
    """Return (B,) ways as shares of a side of so many pixels."""
    most = max(1, int(share * side))
    return torch.floor(_uniform(image, -most, most + 1, generator)) / side


def zoom(image: Tensor, *, share: float, generator: Dice = None) -> Tensor:
    """(B, C, H, W) -> (B, 2, 3) matrices that enlarge each image by U(1 - share, 1 + share) around its middle."""
    side = 1 / _uniform(image, 1 - share, 1 + share, generator)
    return window(side, side, torch.zeros_like(side), torch.zeros_like(side))


def resized_crop(image: Tensor, *, area: Range, ratio: Range, generator: Dice = None) -> Tensor:
    """(B, C, H, W) -> (B, 2, 3) matrices that enlarge a random part to the whole (Szegedy et al. 2015).

    The part's share of the area is U(*area) and its width over height exp U(log ratio); a ratio with which it would
    reach beyond the image gives way to the nearest one that fits.
    """
    height, width = _sides(image, area, ratio, generator)
    down, right = (_uniform(image, -1, 1, generator) for _ in range(2))
    return window(height, width, (1 - height) * down, (1 - width) * right)


def turn(angle: Tensor, height: int, width: int) -> Tensor:
    """(B,) radians, counter-clockwise as seen -> (B, 2, 3) matrices for images of this size, whose angles they keep."""
    cos, sin, zero = torch.cos(angle), torch.sin(angle), torch.zeros_like(angle)
    return torch.stack((cos, -sin * (height / width), zero, sin * (width / height), cos, zero), dim=1).view(-1, 2, 3)


def window(height: Tensor, width: Tensor, y: Tensor, x: Tensor) -> Tensor:
    """(B,) sides as shares of the image's and (B,) middles from -1 to 1 -> (B, 2, 3): this part fills the result."""
    zero = torch.zeros_like(width)
    return torch.stack((width, zero, x, zero, height, y), dim=1).view(-1, 2, 3)


def compose(first: Tensor, second: Tensor) -> Tensor:
    """Two (B, 2, 3) -> the (B, 2, 3) that does `first` to an image, then `second`.

    They lead from the result back to the image, hence first @ second; a sum, since a matrix product may run in TF32.
    """
    product = (first[:, :, :2, None] * second[:, None]).sum(dim=2)
    return torch.cat([product[:, :, :2], product[:, :, 2:] + first[:, :, 2:]], dim=2)


def resample(image: Tensor, matrices: Tensor) -> Tensor:
    """(B, C, H, W) and (B, 2, 3) -> (B, C, H, W), bilinear, with the edge for what lies outside.

    The pixel (x, y) of the result, from -1 to 1 between the edges, is read at matrix @ (x, y, 1) (arXiv:1506.02025).
    """
    dtype = torch.promote_types(image.dtype, torch.float32)  # half precision cannot tell the places of pixels
    y, x = ((2 * torch.arange(pixels, device=image.device) + 1) / pixels - 1 for pixels in image.shape[-2:])
    by_x, by_y, constant = matrices[:, None, None].unbind(dim=-1)
    places = (by_x * x[:, None] + by_y * y[:, None, None] + constant).to(dtype)
    return functional.grid_sample(image.to(dtype), places, padding_mode="border", align_corners=False).to(image.dtype)


def flip(image: Tensor, *, axis: str, generator: Dice = None) -> Tensor:
    """(B, C, H, W) -> (B, C, H, W), each image mirrored with probability 1/2; `horizontal` swaps left and right."""
    chosen = _uniform(image, 0, 1, generator) < 0.5
    return torch.where(_per_row(chosen, image), image.flip(-1 if axis == "horizontal" else -2), image)


def colour_jitter(
    image: Tensor, *, brightness: float, contrast: float, saturation: float, generator: Dice = None
) -> Tensor:
    """(B, C, H, W) -> (B, C, H, W): x b, then mean + c (x - mean), then grey + s (x - grey).

    Each of b, c, s is U(1 - its share, 1 + its share); grey is that of each pixel, mean the mean grey of the image.
    Values are not clipped, since those of standardised images have no bounds.
    """
    by_brightness, by_contrast, by_saturation = (
        _per_row(_uniform(image, 1 - share, 1 + share, generator), image).to(image.dtype)
        for share in (brightness, contrast, saturation)
    )
    image = image * by_brightness
    image = torch.lerp(_grey(image).mean(dim=(2, 3), keepdim=True), image, by_contrast)
    return torch.lerp(_grey(image), image, by_saturation)


def _grey(image: Tensor) -> Tensor:
    """(B, C, H, W) -> (B, 1, H, W): luma of red, green and blue (ITU-R BT.601), else the mean of the channels."""
    if image.shape[1] != 3:
        return image.mean(dim=1, keepdim=True)
    return 0.299 * image[:, 0:1] + 0.587 * image[:, 1:2] + 0.114 * image[:, 2:3]


def erase(image: Tensor, *, probability: float, area: Range, generator: Dice = None) -> Tensor:
    """(B, C, H, W) -> (B, C, H, W) with a rectangle of zeros in a share of the images (Zhong et al. 2017).

    Its share of the area is U(*area), up to whole pixels, and it lies inside the image as a whole.
    """
    chosen = _uniform(image, 0, 1, generator) < probability
    sides = zip(_sides(image, area, ERASE_RATIO, generator), image.shape[-2:], strict=True)
    height, width = (torch.round(share * pixels).clamp(min=1) for share, pixels in sides)
    top = torch.floor(_uniform(image, 0, 1, generator) * (image.shape[-2] - height + 1))
    left = torch.floor(_uniform(image, 0, 1, generator) * (image.shape[-1] - width + 1))
    return image.masked_fill(_rectangles(image, top, left, height, width) & _per_row(chosen, image), 0)


def _sides(image: Tensor, area: Range, ratio: Range, generator: Dice) -> tuple[Tensor, Tensor]:
    """Draw the (B,) heights and (B,) widths of parts of images, as shares of the images' sides."""
    share = _uniform(image, *area, generator)
    drawn = torch.exp(_uniform(image, math.log(ratio[0]), math.log(ratio[1]), generator))
    aspect = torch.clamp(drawn * (image.shape[-2] / image.shape[-1]), min=share, max=1 / share)
    return torch.sqrt(share / aspect), torch.sqrt(share * aspect)


def _rectangles(image: Tensor, top: Tensor, left: Tensor, height: Tensor, width: Tensor) -> Tensor:
    """(B,) pixels -> (B, 1, H, W), true within; what reaches beyond the image is cut off."""
    top, left, height, width = (_per_row(side, image) for side in (top, left, height, width))
    y = torch.arange(image.shape[-2], device=image.device).view(-1, 1)
    x = torch.arange(image.shape[-1], device=image.device)
    return (y >= top) & (y < top + height) & (x >= left) & (x < left + width)


def noise(values: Tensor, *, std: float, generator: Dice = None) -> Tensor:
    """Return series or numeric values + std * N(0, 1)."""
    return values + std * torch.randn(values.shape, dtype=values.dtype, device=values.device, generator=generator)


def mask(values: Tensor, *, share: float, generator: Dice = None) -> Tensor:
    """Set to zero each cell of (B, F) with probability `share`, or of each (T, C) a stretch of share * T times.

    Where share * T is not whole, the stretch is one longer as often as keeps its mean length.
    """
    if values.dim() == 2:
        drawn = torch.rand(values.shape, device=values.device, generator=generator)
        return values.masked_fill(drawn < share, 0)
    times = torch.full((len(values),), values.shape[1], device=values.device)
    return values.masked_fill(_stretches(times, values.shape[1], share, generator)[:, :, None], 0)


def spec_augment(spectrum: Tensor, *, frames: float, bands: float, generator: Dice = None) -> Tensor:
    """(B, T, M) -> (B, T, M), a stretch of each sound's frames and one of its bands at 0 (Park et al. 2019).

    Frames that are all 0 lie behind a sound's end and do not count.
    """
    real = (spectrum != 0).any(dim=2).sum(dim=1)
    all_bands = torch.full_like(real, spectrum.shape[2])
    times = _stretches(real, spectrum.shape[1], frames, generator)
    gone = times[:, :, None] | _stretches(all_bands, spectrum.shape[2], bands, generator)[:, None]
    return spectrum.masked_fill(gone, 0)


def _stretches(lengths: Tensor, longest: int, share: float, generator: Dice) -> Tensor:
    """(B,) lengths -> (B, longest), true in a stretch of share * length that lies within it anywhere."""
    wanted = share * lengths.double()
    length = wanted.floor().float() + (_uniform(lengths, 0, 1, generator) < wanted.frac())
    start = torch.floor(_uniform(lengths, 0, 1, generator) * (lengths - length + 1))
    place = torch.arange(longest, device=lengths.device)
    return (place >= start[:, None]) & (place < (start + length)[:, None])


def mixup(inputs: Inputs, target: Tensor, *, alpha: float, num_classes: int | None, generator: Dice = None) -> Batch:
    """Return lam x + (1 - lam) x' for the inputs and for the target, x' being another row (arXiv:1710.09412).

    lam is Beta(alpha, alpha), one a batch. (B,) class ids become (B, K) probabilities.
    """
    own = _beta(alpha, target.device, generator)
    partner = torch.randperm(len(target), device=target.device, generator=generator)
    mixed = {name: _blend(values, partner, own) for name, values in inputs.items()}
    return mixed, _blend(_soft(target, num_classes), partner, own)


def cutmix(inputs: Inputs, target: Tensor, *, alpha: float, num_classes: int | None, generator: Dice = None) -> Batch:
    """Paste into each image a rectangle of another, and blend the target by the area pasted (arXiv:1905.04899).

    Its sides are sqrt(1 - lam) of the image's, lam being Beta(alpha, alpha), one a batch; its middle is any pixel, and
    what reaches beyond the image is cut off and not counted. (B,) class ids become (B, K) probabilities.
    """
    image = inputs["image"]
    side = torch.sqrt(1 - _beta(alpha, target.device, generator))
    partner = torch.randperm(len(target), device=target.device, generator=generator)
    height, width = (torch.round(side * pixels) for pixels in image.shape[-2:])
    top = torch.floor(_uniform(image, 0, image.shape[-2], generator)) - torch.floor(height / 2)
    left = torch.floor(_uniform(image, 0, image.shape[-1], generator)) - torch.floor(width / 2)
    pasted = _rectangles(image, top, left, height, width)
    mixed = inputs | {"image": torch.where(pasted, image[partner], image)}
    return mixed, _blend(_soft(target, num_classes), partner, 1 - pasted.double().mean(dim=(1, 2, 3)))


def _beta(alpha: float, device: torch.device, generator: Dice) -> Tensor:
    """Draw () Beta(alpha, alpha), the first of two Dirichlet shares; torch.distributions takes no generator."""
    return torch._sample_dirichlet(torch.full((2,), alpha, dtype=torch.float64, device=device), generator=generator)[0]


def _soft(target: Tensor, num_classes: int | None) -> Tensor:
    """(B,) class ids -> (B, K) probabilities; soft targets and those of a regression stay as they are."""
    if num_classes is None or target.is_floating_point():
        return target if target.is_floating_point() else target.float()
    return (target[:, None] == torch.arange(num_classes, device=target.device)).float()


def _blend(values: Tensor, partner: Tensor, own: Tensor) -> Tensor:
    """Return own * values + (1 - own) * values of the partners; `own` is (B,) or ()."""
    own = _per_row(own, values)
    return own.to(values.dtype) * values + (1 - own).to(values.dtype) * values[partner]


def _uniform(rows: Tensor, low: float, high: float, generator: Dice) -> Tensor:
    """Draw (B,) float32 evenly from low to high, one for each of the rows."""
    return low + (high - low) * torch.rand(len(rows), device=rows.device, generator=generator)


def _per_row(values: Tensor, like: Tensor) -> Tensor:
    """(B,) or () -> (B or 1, 1, ...), which broadcasts against the rows of `like`."""
    return values.view(-1, *[1] * (like.dim() - 1))


AFFINE = ("resized_crop", "rotation", "shift", "zoom")  # draw matrices
BLENDS = ("cutmix", "mixup")  # blend rows and their target
TRANSFORMS: dict[str, tuple[Callable[..., Any], tuple[str, ...]]] = {
    "colour_jitter": (colour_jitter, ("image",)),
    "cutmix": (cutmix, ("image",)),
    "erase": (erase, ("image",)),
    "flip": (flip, ("image",)),
    "mask": (mask, ("series", "numeric")),
    "mixup": (mixup, ("image", "series", "numeric")),
    "noise": (noise, ("series", "numeric")),
    "resized_crop": (resized_crop, ("image",)),
    "rotation": (rotation, ("image",)),
    "shift": (shift, ("image",)),
    "spec_augment": (spec_augment, ("audio",)),
    "zoom": (zoom, ("image",)),
}
"""Each with the groups that it changes; the data must have one of them."""
