"""`train.augment:` changes of a training batch that keep its labels true; `name` chooses which fields follow."""

from typing import Annotated, Literal, TypeAlias

from pydantic import Field

from ann.config.section import Section, default_tag

Share: TypeAlias = Annotated[float, Field(ge=0, le=1)]


class Rotation(Section):
    """Turn each image by an angle drawn evenly from -degrees to degrees."""

    name: Literal["rotation"]
    """Chooses this one."""
    degrees: float = Field(default=10, gt=0, le=180)
    """Greatest angle."""


class Shift(Section):
    """Move each image along both axes by whole pixels, whose rows at the edge are repeated."""

    name: Literal["shift"]
    """Chooses this one."""
    share: float = Field(default=0.1, gt=0, lt=1)
    """Greatest way as a share of the side; a pixel at least."""


class Zoom(Section):
    """Enlarge or shrink each image around its middle, by a factor drawn evenly from 1 - share to 1 + share."""

    name: Literal["zoom"]
    """Chooses this one."""
    share: float = Field(default=0.1, gt=0, lt=1)
    """Greatest change of the size."""


class Flip(Section):
    """Mirror each image with probability 1/2."""

    name: Literal["flip"]
    """Chooses this one."""
    axis: Literal["horizontal", "vertical"] = "horizontal"
    """`horizontal` swaps left and right."""


class ResizedCrop(Section):
    """Cut a random part out of each image and enlarge it to the whole (Szegedy et al. 2015)."""

    name: Literal["resized_crop"]
    """Chooses this one."""
    area: tuple[Annotated[float, Field(gt=0, le=1)], Annotated[float, Field(gt=0, le=1)]] = (0.6, 1.0)
    """Least and greatest share of the area."""
    ratio: tuple[Annotated[float, Field(gt=0)], Annotated[float, Field(gt=0)]] = (0.75, 1.3333)
    """Least and greatest width over height."""


class ColourJitter(Section):
    """Change brightness, contrast and saturation, each by a factor drawn evenly from 1 - x to 1 + x."""

    name: Literal["colour_jitter"]
    """Chooses this one."""
    brightness: Share = 0.2
    """Greatest change of brightness."""
    contrast: Share = 0.2
    """Greatest change of the distance to the image's mean grey."""
    saturation: Share = 0.2
    """Greatest change of the distance to each pixel's own grey; nothing for one channel."""


class Erase(Section):
    """Set a rectangle to zero (Zhong et al. 2017, arXiv:1708.04896)."""

    name: Literal["erase"]
    """Chooses this one."""
    probability: Share = 0.5
    """Share of images that lose one."""
    area: tuple[Annotated[float, Field(gt=0, lt=1)], Annotated[float, Field(gt=0, lt=1)]] = (0.02, 0.2)
    """Least and greatest share of the area."""


class Mixup(Section):
    """Blend each row with another, and their labels alike (Zhang et al. 2018, arXiv:1710.09412)."""

    name: Literal["mixup"]
    """Chooses this one."""
    alpha: float = Field(default=0.2, gt=0)
    """Shape of the Beta distribution that the share is drawn from, one a batch."""


class Cutmix(Section):
    """Paste a rectangle of another image, and blend the labels by its area (Yun et al. 2019, arXiv:1905.04899)."""

    name: Literal["cutmix"]
    """Chooses this one."""
    alpha: float = Field(default=1.0, gt=0)
    """Shape of the Beta distribution that the area is drawn from, one a batch."""


class Noise(Section):
    """Add normal noise to numbers: columns, or every time of a series."""

    name: Literal["noise"]
    """Chooses this one."""
    std: float = Field(default=0.05, gt=0)
    """Standard deviation [of the scaled number]."""


class Mask(Section):
    """Set numbers to their mean, 0 after scaling: single columns of a row, or a stretch of a series."""

    name: Literal["mask"]
    """Chooses this one."""
    share: float = Field(default=0.1, gt=0, lt=1)
    """Mean share of columns, or of the length, that is masked."""


class SpecAugment(Section):
    """Set a stretch of each sound's frames and one of its mel bands to 0, the mean (SpecAugment, arXiv:1904.08779)."""

    name: Literal["spec_augment"]
    """Chooses this one."""
    frames: float = Field(default=0.1, ge=0, lt=1)
    """Mean share of the frames."""
    bands: float = Field(default=0.1, ge=0, lt=1)
    """Mean share of the bands."""


AugmentParams: TypeAlias = Annotated[
    Rotation | Shift | Zoom | Flip | ResizedCrop | ColourJitter | Erase | Mixup | Cutmix | Noise | Mask | SpecAugment,
    Field(discriminator="name"),
    default_tag("name", ""),
]
