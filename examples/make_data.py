"""Make the data that the examples bundle: `python examples/make_data.py NAME [SOURCE]` writes examples/NAME/data/.

The data are bundled already; this says where they come from. Those made of scikit-learn's data sets need no SOURCE.
"""
# ruff: noqa: T201  # the prints are the result

import csv
import gzip
import io
import shutil
import sys
import tarfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image
from sklearn.datasets import load_diabetes, load_digits

EXAMPLES = Path(__file__).parent
SEED = 0
SENTENCES = 1000
CLIPS = 5
"""Clips of each speaker and digit."""
QUESTIONS = {
    "more": ("is it more than that", "does it exceed the number", "is the picture the larger one", "is it above"),
    "less": ("is it less than that", "does it stay below the number", "is the picture the smaller one", "is it under"),
}


def regression(folder: Path, source: Path | None) -> None:
    """Write 442 patients: ten measurements in their own units, and the progress of diabetes a year later."""
    del source
    table = load_diabetes(as_frame=True, scaled=False).frame
    table["sex"] = table["sex"].map({1.0: "a", 2.0: "b"})  # the source does not say which is which
    table.rename(columns={"target": "progress"}).to_csv(folder / "diabetes.csv", index=False)


def image(folder: Path, source: Path | None) -> None:
    """Write 1,797 handwritten digits of 8 x 8 pixels in the form of MNIST."""
    del source
    digits = load_digits()
    pixels = (digits.images * 255 / 16).round().astype(np.uint8)
    for name, array in {"images-idx3-ubyte": pixels, "labels-idx1-ubyte": digits.target.astype(np.uint8)}.items():
        head = bytes([0, 0, 8, array.ndim]) + b"".join(size.to_bytes(4, "big") for size in array.shape)
        (folder / f"digits-{name}.gz").write_bytes(gzip.compress(head + array.tobytes(), mtime=0))


def forecast(folder: Path, source: Path | None) -> None:
    """Copy ETTh1.csv and its licence, unmodified, out of the folder SOURCE."""
    assert source is not None
    for name in ("ETTh1.csv", "LICENSE"):
        shutil.copyfile(source / name, folder / name)


def text(folder: Path, source: Path | None) -> None:
    """Write clear sentences of film critics out of SOURCE, the sdist of vaderSentiment 3.3.2."""
    assert source is not None
    with tarfile.open(source) as outer:
        name = next(name for name in outer.getnames() if name.endswith("hutto_ICWSM_2014.tar.gz"))
        inner = outer.extractfile(name)
        assert inner is not None
        with tarfile.open(fileobj=io.BytesIO(inner.read())) as package:
            file = package.extractfile("hutto_ICWSM_2014/movieReviewSnippets_GroundTruth.txt")
            assert file is not None
            lines = file.read().decode("utf-8").splitlines()
    rows = [line.split("\t") for line in lines]
    clear = [(text, "positive" if float(score) > 0 else "negative") for _, score, text in rows if abs(float(score)) > 1]
    chosen = np.sort(np.random.default_rng(SEED).choice(len(clear), SENTENCES, replace=False))
    with (folder / "sentences.csv").open("w", encoding="utf-8", newline="") as out:
        writer = csv.writer(out)
        writer.writerow(["sentence", "sentiment"])
        writer.writerows(clear[i] for i in chosen)


def speech(folder: Path, source: Path | None) -> None:
    """Unpack 200 spoken digits out of SOURCE, a .tar.gz of the Free Spoken Digit Dataset."""
    assert source is not None
    with tarfile.open(source) as archive:
        for member in archive:
            name = Path(member.name).name
            if name.endswith(".wav") and int(name.removesuffix(".wav").split("_")[2]) < CLIPS:
                file = archive.extractfile(member)
                assert file is not None
                (folder / name).write_bytes(file.read())


def multimodal(folder: Path, source: Path | None) -> None:
    """Write pictures of digits beside a number and a question; only all three together give the answer."""
    del source
    digits, random = load_digits(), np.random.default_rng(SEED)
    number = random.uniform(0, 9, len(digits.target)).round(1)
    way = random.choice(["more", "less"], len(number))
    question = [QUESTIONS[kind][random.integers(len(QUESTIONS[kind]))] for kind in way]
    more = digits.target > number
    answer = np.where(more == (way == "more"), "yes", "no")
    pictures = [_png((pixels * 255 / 16).round().astype(np.uint8)) for pixels in digits.images]
    columns = {"picture": pictures, "question": question, "number": number, "answer": answer}
    pd.DataFrame(columns).to_parquet(folder / "questions.parquet", index=False)


def _png(pixels: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    return buffer.getvalue()


MADE: dict[str, Callable[[Path, Path | None], None]] = {
    "custom": image,
    "forecast": forecast,
    "image": image,
    "keras": image,
    "multimodal": multimodal,
    "regression": regression,
    "speech": speech,
    "text": text,
    "transfer": image,
}

if __name__ == "__main__":
    if len(sys.argv) not in (2, 3) or sys.argv[1] not in MADE:
        raise SystemExit(f"{__doc__}\nNAME is one of {', '.join(sorted(MADE))}.")
    target = EXAMPLES / sys.argv[1] / "data"
    target.mkdir(parents=True, exist_ok=True)
    MADE[sys.argv[1]](target, Path(sys.argv[2]) if len(sys.argv) == 3 else None)
    print(f"{target} holds {len(list(target.iterdir()))} files")
