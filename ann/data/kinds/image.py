"""Images: brought to one size and normalised by the training images' mean and deviation a channel.

C channels, H and W pixels.
"""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnxruntime as ort

from ann.config.kinds import ImageParams
from ann.data.graph import GraphBuilder
from ann.data.kinds import PREFIX
from ann.media import decode_image, image_size

LONGEST_SIDE = 224
"""Greatest side [pixels] that is taken without being asked for."""
LEAST_STD = 1e-6
"""Of pixels in [0, 1]: less is what rounding leaves of a channel of one value."""


@dataclass(frozen=True)
class ImageStatistics:
    """Pixels of [0, 1] -> (x - mean) / std, channel by channel, at one height and width."""

    name: str
    height: int
    width: int
    channels: int
    mean: tuple[float, ...]
    std: tuple[float, ...]

    def group(self) -> dict[str, Any]:
        """Return what a network must know of the group `image`."""
        return {"channels": self.channels, "height": self.height, "width": self.width}


def fit_image(cells: Iterable[Any], name: str, params: ImageParams) -> ImageStatistics:
    """Learn size, channels, mean and deviation from the training images, of which one is decoded at a time.

    Raises:
        DataError: an image cannot be read.
    """
    cells = list(cells)
    sizes = [image_size(cell) for cell in cells]
    channels = params.channels if params.channels != "auto" else max(size[2] for size in sizes)
    height, width = _shape(Counter((size[0], size[1]) for size in sizes), params)
    plain = ImageStatistics(name, height, width, channels, (0.0,) * channels, (1.0,) * channels)
    builder = GraphBuilder(PREFIX.removesuffix("/"))
    pixels = _sized_nodes(builder, plain)
    builder.output(pixels, np.float32, ["N", channels, height, width])
    session = ort.InferenceSession(builder.model().SerializeToString(), providers=["CPUExecutionProvider"])
    total, squares = np.zeros(channels), np.zeros(channels)
    for cell in cells:
        image = session.run([pixels], {name: decode_image(cell, channels)[None]})[0][0].astype(np.float64)
        total += image.mean(axis=(1, 2))
        squares += (image**2).mean(axis=(1, 2))
    mean = total / len(cells)
    std = np.sqrt(np.maximum(squares / len(cells) - mean**2, 0))
    std[std < LEAST_STD] = 1.0
    return ImageStatistics(name, height, width, channels, tuple(mean.tolist()), tuple(std.tolist()))


def _shape(sizes: Counter[tuple[int, int]], params: ImageParams) -> tuple[int, int]:
    """Return height and width: those asked for, else by the ratio of the commonest size, the larger of two."""
    height, width = max(sizes, key=lambda size: (sizes[size], size))
    if params.height and params.width:
        return params.height, params.width
    if params.height:
        scale = params.height / height
    elif params.width:
        scale = params.width / width
    else:
        scale = min(1.0, LONGEST_SIDE / max(height, width))
    return params.height or max(1, round(height * scale)), params.width or max(1, round(width * scale))


def image_nodes(builder: GraphBuilder, statistics: ImageStatistics) -> str:
    """Append the nodes from (N, H, W, C) uint8 of any height and width; return their (N, C, height, width) float32."""
    shape = (statistics.channels, 1, 1)
    mean = builder.constant(f"{PREFIX}image_mean", np.array(statistics.mean, dtype=np.float32).reshape(shape))
    std = builder.constant(f"{PREFIX}image_std", np.array(statistics.std, dtype=np.float32).reshape(shape))
    return builder.op("Div", builder.op("Sub", _sized_nodes(builder, statistics), mean), std)


def _sized_nodes(builder: GraphBuilder, statistics: ImageStatistics) -> str:
    """Append the nodes that give pixels of [0, 1] at the statistics' size."""
    raw = builder.input(statistics.name, np.uint8, ["N", "H", "W", statistics.channels])
    pixels = builder.cast(builder.op("Transpose", raw, perm=[0, 3, 1, 2]), np.float32)
    pixels = builder.op("Div", pixels, builder.constant(f"{PREFIX}image_white", np.array(255, dtype=np.float32)))
    # All four sizes are given, since ONNX Runtime takes those of two axes wrongly where it moves a Transpose past them.
    size = builder.constant(f"{PREFIX}image_size", np.array([statistics.height, statistics.width]))
    sizes = builder.op("Concat", builder.op("Shape", pixels, end=2), size, axis=0)
    return builder.op(
        "Resize",
        pixels,
        "",
        "",
        sizes,
        mode="linear",
        coordinate_transformation_mode="half_pixel",
        antialias=1,
        exclude_outside=1,  # else weights beyond the border count, unlike in Pillow and torch
    )
