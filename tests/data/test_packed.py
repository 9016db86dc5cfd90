"""Files that may be compressed."""

import bz2
import gzip
import io
import lzma
import zipfile
from pathlib import Path

import pyarrow as pa
import pytest

from ann.data.packed import open_unpacked, unpacked_name
from ann.errors import DataError

CONTENT = b"x,y\n1,a\n"


def zipped(*names):
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        for name in names:
            archive.writestr(name, CONTENT)
    return file.getvalue()


PACKED = {
    "a.csv": CONTENT,
    "a.csv.gz": gzip.compress(CONTENT),
    "a.csv.bz2": bz2.compress(CONTENT),
    "a.csv.xz": lzma.compress(CONTENT),
    "a.csv.zst": pa.compress(CONTENT, "zstd", asbytes=True),
    "A.CSV.ZIP": zipped("a.csv", "__MACOSX/._a.csv"),
}


@pytest.mark.parametrize("name", PACKED)
def test_each_compression_gives_the_bytes_back(tmp_path, name):
    (tmp_path / name).write_bytes(PACKED[name])
    with open_unpacked(tmp_path / name) as stream:
        assert stream.read() == CONTENT
    assert unpacked_name(Path(name)) == "a.csv"


def test_an_archive_of_several_files_is_refused(tmp_path):
    (tmp_path / "a.csv.zip").write_bytes(zipped("a.csv", "b.csv"))
    with pytest.raises(DataError, match=r"a\.csv\.zip must hold one file, but it holds 2: unpack it"):
        open_unpacked(tmp_path / "a.csv.zip").__enter__()
