"""Cells that hold an image or a sound: a file (`pathlib.Path`), its bytes, or an array.

Arrays are uint8 (H, W) or (H, W, C) images and float32 (T,) sounds. Whatever is wrong with a cell is a DataError that
names it; no part of a broken file is used.
"""

import io
import math
import warnings
import wave
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from hashlib import sha256
from pathlib import Path
from typing import Any, BinaryIO, TypeAlias

import numpy as np
from PIL import ExifTags, Image, ImageOps, UnidentifiedImageError
from scipy.signal import resample_poly

from ann.errors import DataError

Cell: TypeAlias = Path | bytes | np.ndarray
IMAGE, SOUND, FILE = "an image", "a sound", "a file"
WAY_OUT = {IMAGE: "save it again as .png or .jpg", SOUND: "save it again as PCM .wav", FILE: "put it back"}
"""What a cell must hold, and what to do where it does not."""
SIDEWAYS = 5
"""EXIF orientations from here on swap height and width."""


def decode_image(cell: Cell, channels: int) -> np.ndarray:
    """Return (H, W, channels) uint8, upright: grey with 1 channel, red, green and blue with 3.

    What is transparent is put on white, 16 bits become 8, and of several frames the first is taken.

    Raises:
        DataError: the cell holds no image, or only a part of one.
    """
    with _read(cell, IMAGE) as source:
        image = _image_of_array(source) if isinstance(source, np.ndarray) else _opened(source)
        image.load()
        ImageOps.exif_transpose(image, in_place=True)
        pixels = np.asarray(_plain(image, channels))
    return pixels if pixels.ndim == 3 else pixels[:, :, None]


def image_size(cell: Cell) -> tuple[int, int, int]:
    """Return height, width and channels (1 where the image is grey, else 3) of an upright image, without decoding it.

    Raises:
        DataError: the cell holds no image.
    """
    with _read(cell, IMAGE) as source:
        image = _image_of_array(source) if isinstance(source, np.ndarray) else _opened(source)
        # The method of the class itself, since that of PNG decodes the image. TIFF gives the upright size.
        orientation = Image.Image.getexif(image).get(ExifTags.Base.Orientation, 1)
        sideways = orientation >= SIDEWAYS and image.format != "TIFF"
        width, height = image.size[::-1] if sideways else image.size
        return height, width, 1 if _is_grey(image) else 3


def _opened(source: BinaryIO) -> Image.Image:
    try:
        return Image.open(source)
    except UnidentifiedImageError as error:
        raise ValueError("it has no format that Pillow knows") from error  # the library's message names an address


def _image_of_array(array: np.ndarray) -> Image.Image:
    grey = array.ndim == 2 or (array.ndim == 3 and array.shape[2] == 1)
    if array.dtype != np.uint8 or not array.size or not (grey or (array.ndim == 3 and array.shape[2] in (3, 4))):
        raise ValueError("it must be uint8 (H, W) or (H, W, C) with 1, 3 or 4 channels")
    return Image.fromarray(array.reshape(array.shape[:2]) if grey else array)


def _is_grey(image: Image.Image) -> bool:
    return image.mode in ("1", "L", "LA", "La", "I") or image.mode.startswith("I;16")


def _plain(image: Image.Image, channels: int) -> Image.Image:
    """Return an image of 8 bits without transparency."""
    if image.mode == "I" or image.mode.startswith("I;16"):
        image = _eight_bits(image)
    elif image.mode == "F":
        raise ValueError("its pixels are fractions: save it with 8 or 16 bits")
    elif image.has_transparency_data:
        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
    return image.convert("L" if channels == 1 else "RGB")


def _eight_bits(image: Image.Image) -> Image.Image:
    values = np.asarray(image).astype(np.int64)
    if image.mode == "I" and (image.format != "PPM" or values.max() > 65_535):
        raise ValueError("its pixels have 32 bits: save it with 8 or 16 bits")
    return Image.fromarray(((values + 128) // 257).astype(np.uint8))


def decode_audio(cell: Cell, rate: int | None) -> tuple[np.ndarray, int]:
    """Return (T,) float32 samples in [-1, 1], channels averaged, and their rate [Hz].

    A file of another rate is resampled to `rate`; null keeps the file's own. An array must already have `rate`.

    Raises:
        DataError: the cell holds no PCM .wav file, only a part of one, or no sample.
    """
    with _read(cell, SOUND) as source:
        if isinstance(source, np.ndarray):
            return _samples_of_array(source), _rate_of_array(rate)
        with wave.open(source) as file:
            own, samples = _rate(file), _samples(file)
        if rate is None or rate == own:
            return samples, own
        divisor = math.gcd(rate, own)
        return resample_poly(samples, rate // divisor, own // divisor).astype(np.float32), rate


def audio_facts(cell: Cell, rate: int | None = None) -> tuple[int, int, float]:
    """Return rate [Hz], channels and length [s] by the file's header; an array must have `rate`.

    Raises:
        DataError: the cell holds no PCM .wav file.
    """
    with _read(cell, SOUND) as source:
        if isinstance(source, np.ndarray):
            known = _rate_of_array(rate)
            return known, 1, len(_samples_of_array(source)) / known
        with wave.open(source) as file:
            return _rate(file), file.getnchannels(), file.getnframes() / _rate(file)


def _rate(file: wave.Wave_read) -> int:
    if file.getframerate() < 1:
        raise ValueError("its header gives no rate")
    return file.getframerate()


def _rate_of_array(rate: int | None) -> int:
    if rate is None:
        raise ValueError("an array has no rate: give it as prepare.audio.rate")
    return rate


def _samples_of_array(array: np.ndarray) -> np.ndarray:
    if array.dtype != np.float32 or array.ndim != 1 or not array.size or not np.isfinite(array).all():
        raise ValueError("it must be float32 (T,), without NaN")
    return array


def _samples(file: wave.Wave_read) -> np.ndarray:
    """(T * channels) PCM values of 1 to 4 bytes -> (T,) float32."""
    size, channels, frames = file.getsampwidth(), file.getnchannels(), file.getnframes()
    content = file.readframes(frames)
    if not frames:
        raise ValueError("it has no sample")
    if len(content) != frames * channels * size:
        raise ValueError(f"it is cut off: {len(content) // (channels * size)} of {frames} samples are there")
    raw = np.frombuffer(content, dtype=np.uint8).reshape(-1, size)
    whole = np.zeros((len(raw), 4), dtype=np.uint8)
    whole[:, 4 - size :] = raw if size > 1 else raw ^ np.uint8(128)  # eight bits alone have no sign
    values = whole.view("<i4").reshape(frames, channels) / 2.0**31
    return values.mean(axis=1).astype(np.float32)


def padded_clips(clips: list[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """Return (T,) sounds of different lengths as float32 (N, T), zeros after the end, and (N,) lengths."""
    lengths = np.array([len(clip) for clip in clips], dtype=np.int64)
    samples = np.zeros((len(clips), max(1, lengths.max(initial=1))), dtype=np.float32)
    for row, clip in zip(samples, clips, strict=True):
        row[: len(clip)] = clip
    return samples, lengths


def fingerprint(cell: Cell) -> bytes:
    """Return a digest of the file's bytes, or of an array's type, shape and values: equal for equal cells.

    Raises:
        DataError: the file cannot be read.
    """
    with _read(cell, FILE) as source:
        if isinstance(source, np.ndarray):
            return sha256(f"{source.dtype}{source.shape}".encode() + source.tobytes()).digest()
        return sha256(source.read()).digest()


@contextmanager
def _read(cell: Cell, wanted: str) -> Iterator[Any]:
    """Give a cell's array, or its file opened; what goes wrong meanwhile is an error of the cell."""
    try:
        with warnings.catch_warnings(), _source(cell) as source:
            warnings.simplefilter("ignore")  # of odd metadata
            yield source
    except Exception as error:
        reason = str(error) or "it ends too early"  # EOFError says nothing
        raise DataError(
            f"{_called(cell)} cannot be read as {wanted} ({reason}): {WAY_OUT[wanted]}, or remove the row"
        ) from error


def _source(cell: Cell) -> AbstractContextManager[BinaryIO | np.ndarray]:
    if isinstance(cell, np.ndarray):
        return nullcontext(cell)
    if isinstance(cell, bytes):
        return io.BytesIO(cell)
    if isinstance(cell, Path):
        return cell.open("rb")
    raise TypeError("it must be a path, bytes or an array")


def _called(cell: Cell) -> str:
    if isinstance(cell, np.ndarray):
        return f"an array {cell.dtype} {cell.shape}"
    if isinstance(cell, bytes):
        return f"a cell of {len(cell)} bytes"
    return str(cell) if isinstance(cell, Path) else f"the cell {cell!r}"
