"""Images whose pixels stand in the file: IDX files as MNIST's, and tables with a column a pixel as Kaggle's.

H height, W width, C channels, N images.
"""

import math
import re
from pathlib import Path

import numpy as np
import pandas as pd

from ann.config.data import DataParams
from ann.data.packed import UNREADABLE, open_unpacked
from ann.errors import DataError

IMAGE_COLUMN = "image"
IDX_IMAGES = re.compile(r"(?P<set>.*)images(?P<join>[-.])idx3-ubyte(\.gz)?", re.IGNORECASE)
IDX_LABELS = re.compile(r"(?P<set>.*)labels(?P<join>[-.])idx1-ubyte(\.gz)?", re.IGNORECASE)
UNSIGNED_BYTE = 0x08
NUMBERED_PIXEL = re.compile(r"pixel_?(?P<number>\d+)", re.IGNORECASE)
PLACED_PIXEL = re.compile(r"(?P<row>\d+)x(?P<column>\d+)")
FEWEST_PIXELS = 16
"""A table with fewer such columns is not taken for images unless `data.reading.format` says so."""


def is_idx(name: str) -> bool:
    """Tell whether a file's name is that of IDX images or labels."""
    return bool(IDX_IMAGES.fullmatch(name) or IDX_LABELS.fullmatch(name))


def read_idx(files: list[Path], data: DataParams) -> dict[Path, pd.DataFrame]:
    """Return a frame a file of images: (H, W) uint8 arrays, and the target from the file of labels beside it.

    Raises:
        DataError: a file has no partner, is not what its name says, or partners differ in number.
    """
    target = _one_target(data)
    images = {_set_of(file): file for file in files if IDX_IMAGES.fullmatch(file.name)}
    labels = {_set_of(file): file for file in files if IDX_LABELS.fullmatch(file.name)}
    for missing in images.keys() ^ labels.keys():
        there = images.get(missing) or labels[missing]
        partner = "labels, ...labels-idx1-ubyte" if missing in images else "images, ...images-idx3-ubyte"
        raise DataError(f"{there.name} has no file of {partner}, beside it: add it")
    frames = {}
    for key, file in images.items():
        pixels, classes = _array(file, 3), _array(labels[key], 1)
        if len(pixels) != len(classes):
            raise DataError(
                f"{file.name} holds {len(pixels)} images, but {labels[key].name} {len(classes)} labels: "
                f"they are of different sets"
            )
        frames[file] = pd.DataFrame({IMAGE_COLUMN: _cells(pixels), target: classes.astype(np.int64)})
    return frames


def idx_pair(file: Path) -> list[Path]:
    """Return the files of the same set in the folder of one IDX file."""
    return sorted(path for path in file.parent.iterdir() if is_idx(path.name) and _set_of(path) == _set_of(file))


def has_pixels(names: list[str]) -> bool:
    """Tell whether all columns but one are pixels."""
    pixels = sum(_is_pixel(name) for name in names)
    return pixels >= FEWEST_PIXELS and pixels == len(names) - 1


def join_pixels(table: pd.DataFrame, data: DataParams, file: str) -> pd.DataFrame:
    """Return the table with one column `image` of uint8 arrays in place of its columns of pixels.

    Columns `pixel0`, `pixel1`, ... are (H, W) or, three a place, (H, W, 3) of a square; `1x1`, `1x2`, ... are rows
    and columns of (H, W).

    Raises:
        DataError: the columns make no image, or hold anything but whole numbers of 0 to 255.
    """
    _one_target(data)
    names = [name for name in map(str, table.columns) if _is_pixel(name)]
    if not names:
        raise DataError(f"{file} has no columns of pixels, such as pixel0 or 1x1: leave data.reading.format out")
    names, shape = _placed(names, file)
    for name in names:
        column = table[name]
        numeric = pd.api.types.is_numeric_dtype(column.dtype)
        if not numeric or not (column.between(0, 255) & (column == np.floor(column))).all():
            raise DataError(f"{file}: column {name!r} must hold pixels, whole numbers of 0 to 255")
    pixels = np.empty((len(table), len(names)), dtype=np.uint8)
    for position, name in enumerate(names):
        pixels[:, position] = table[name]
    rest = table.drop(columns=names)
    return pd.DataFrame({IMAGE_COLUMN: _cells(pixels.reshape(-1, *shape))}).join(rest)


def _one_target(data: DataParams) -> str:
    if len(data.targets) != 1 or data.targets[0] == IMAGE_COLUMN:
        raise DataError(
            f"images in files have one label, so data.target must be one name other than {IMAGE_COLUMN!r}; "
            f"got {', '.join(data.targets)}"
        )
    return data.targets[0]


def _set_of(file: Path) -> tuple[Path, str]:
    found = IDX_IMAGES.fullmatch(file.name) or IDX_LABELS.fullmatch(file.name)
    if found is None:
        raise DataError(f"{file.name} is no IDX file by its name, such as train-images-idx3-ubyte")
    return file.parent, found["set"]


def _array(file: Path, dimensions: int) -> np.ndarray:
    """Return the uint8 array of an IDX file, whose format http://yann.lecun.com/exdb/mnist describes."""
    try:
        with open_unpacked(file) as stream:
            content = stream.read()
    except UNREADABLE as error:
        raise DataError(f"{file.name} cannot be read: {str(error).splitlines()[0]}") from None
    head = 4 + 4 * dimensions
    if len(content) < head or content[:4] != bytes([0, 0, UNSIGNED_BYTE, dimensions]):
        raise DataError(f"{file.name} is no IDX file of bytes with {dimensions} dimensions: it begins {content[:4]!r}")
    shape = tuple(int(size) for size in np.frombuffer(content, ">u4", dimensions, offset=4))
    if len(content) - head != math.prod(shape):
        raise DataError(
            f"{file.name} must hold {math.prod(shape)} values of the shape {shape}, but holds {len(content) - head}: "
            f"it is torn, fetch it again"
        )
    if not math.prod(shape):
        raise DataError(f"{file.name} has no rows")
    return np.frombuffer(content, np.uint8, offset=head).reshape(shape)


def _cells(pixels: np.ndarray) -> pd.Series:
    """(N, H, W) or (N, H, W, C) -> N cells, each the array of an image."""
    cells = np.empty(len(pixels), dtype=object)
    cells[:] = list(pixels)
    return pd.Series(cells)


def _is_pixel(name: str) -> bool:
    return bool(NUMBERED_PIXEL.fullmatch(name) or PLACED_PIXEL.fullmatch(name))


def _placed(names: list[str], file: str) -> tuple[list[str], tuple[int, ...]]:
    """Return the columns of pixels in their order, and the shape of an image."""
    places = {name: found for name in names if (found := PLACED_PIXEL.fullmatch(name))}
    if places and len(places) == len(names):
        where = {name: (int(found["row"]), int(found["column"])) for name, found in places.items()}
        height, width = len({row for row, _ in where.values()}), len({column for _, column in where.values()})
        if height * width == len(set(where.values())) == len(names):
            return sorted(names, key=where.__getitem__), (height, width)
    numbers = {name: int(found["number"]) for name in names if (found := NUMBERED_PIXEL.fullmatch(name))}
    for channels in (1, 3):
        side = math.isqrt(len(names) // channels)
        if len(set(numbers.values())) == len(names) == side * side * channels:
            return sorted(names, key=numbers.__getitem__), (side, side) if channels == 1 else (side, side, channels)
    raise DataError(f"{file}: {len(names)} columns of pixels make no image: they must fill a square of 1 or 3 channels")
