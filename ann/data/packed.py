"""Open a file that may be compressed, by its suffix."""

import bz2
import gzip
import lzma
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

import pyarrow as pa

from ann.errors import DataError

UNREADABLE = (OSError, EOFError, ValueError, pa.ArrowException, zlib.error, lzma.LZMAError, zipfile.BadZipFile)
"""What libraries raise on a file that is torn, or not what its suffix says; all mean the same here."""


def unpacked_name(path: Path) -> str:
    """Return the file's name in small letters, without the suffix of a compression."""
    name = path.name.lower()
    return name.removesuffix(path.suffix.lower()) if path.suffix.lower() in OPENERS else name


@contextmanager
def open_unpacked(path: Path) -> Iterator[IO[bytes]]:
    """Open a file for reading its uncompressed bytes.

    Raises:
        DataError: it is an archive of several files.
    """
    opener = OPENERS.get(path.suffix.lower(), Path.open)
    with opener(path, "rb") as stream:
        yield stream


@contextmanager
def _open_zip(path: Path, mode: str) -> Iterator[IO[bytes]]:  # noqa: ARG001 - one signature
    with zipfile.ZipFile(path) as archive:
        names = [name for name in archive.namelist() if not name.endswith("/") and not name.startswith("__MACOSX/")]
        if len(names) != 1:
            raise DataError(
                f"{path.name} must hold one file, but it holds {len(names)}: unpack it into the data folder"
            )
        with archive.open(names[0]) as stream:
            yield stream


@contextmanager
def _open_zst(path: Path, mode: str) -> Iterator[IO[bytes]]:
    with path.open(mode) as file, pa.CompressedInputStream(file, "zstd") as stream:
        yield stream


OPENERS: dict[str, Callable[..., object]] = {
    ".gz": gzip.open,
    ".bz2": bz2.open,
    ".xz": lzma.open,
    ".zip": _open_zip,
    ".zst": _open_zst,
}
