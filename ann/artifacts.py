"""Every file between two stages: where it lies, and how it is written and read without ever being torn.

`build/<stage>/` is written as a whole: into a folder beside it that takes its place at the end.
Every JSON file carries `"format": 1`.
"""

import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np

from ann.errors import StageError

FORMAT = 1
GROUPS = ("numeric", "categorical", "text", "image", "audio", "audio_frames", "series")
"""Arrays of `build/prepare/<part>/` that a network reads; the others are target, row numbers and slices."""


@dataclass(frozen=True)
class Build:
    """The paths under `build/`; names are stable and may be read by other programs."""

    root: Path

    def folder(self, stage: str) -> Path:
        """Return the folder of one stage."""
        return self.root / stage

    @property
    def validation_report(self) -> Path:  # each expectation with its verdict
        return self.root / "validate" / "report.json"

    @property
    def data_docs(self) -> Path:
        return self.root / "validate" / "docs" / "index.html"

    @property
    def schema(self) -> Path:  # column roles and types, classes, groups
        return self.root / "prepare" / "schema.json"

    @property
    def leakage(self) -> Path:  # what may make test scores too good
        return self.root / "prepare" / "leakage.json"

    @property
    def preprocess(self) -> Path:  # the fitted graph
        return self.root / "prepare" / "preprocess.onnx"

    @property
    def weights(self) -> Path:
        return self.root / "train" / "weights.safetensors"

    @property
    def history(self) -> Path:  # one row an epoch
        return self.root / "train" / "history.csv"

    @property
    def diagnosis(self) -> Path:  # gradients, weights and units of each layer
        return self.root / "train" / "diagnosis.json"

    @property
    def train_summary(self) -> Path:
        return self.root / "train" / "summary.json"

    @property
    def metrics(self) -> Path:  # of the torch network
        return self.root / "evaluate" / "metrics.json"

    @property
    def slices(self) -> Path:  # metrics by group
        return self.root / "evaluate" / "slices.json"

    @property
    def choice(self) -> Path:  # quality of each variant, and the one chosen
        return self.root / "compress" / "choice.json"

    @property
    def candidates(self) -> Path:  # the same with what was measured on this machine
        return self.root / "compress" / "candidates.json"

    @property
    def variants(self) -> Path:
        return self.root / "compress" / "variants"

    @property
    def model(self) -> Path:  # the shipped file
        return self.root / "export" / "model.onnx"

    @property
    def model_metrics(self) -> Path:  # of the shipped file
        return self.root / "export" / "metrics.json"

    @property
    def parity(self) -> Path:
        return self.root / "export" / "parity.json"

    @property
    def example(self) -> Path:  # a few raw rows of the test part
        return self.root / "export" / "example.json"

    @property
    def example_inputs(self) -> Path:  # the same rows as inputs of the shipped file
        return self.root / "export" / "example.npz"

    @property
    def latency(self) -> Path:  # of the shipped file, measured on this machine
        return self.root / "export" / "latency.json"

    @property
    def decision(self) -> Path:
        return self.root / "register" / "decision.json"


@contextmanager
def fresh_folder(folder: Path) -> Iterator[Path]:
    """Yield an empty folder that takes the place of `folder` when the block ends well, and vanishes when it fails.

    A process that is killed in between leaves the old folder or none, never a mixture.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    for left_over in folder.parent.glob(f".{folder.name}-*"):
        shutil.rmtree(left_over)
    beside = folder.parent / f".{folder.name}-{os.getpid()}"
    beside.mkdir()
    try:
        yield beside
        old = folder.parent / f".{folder.name}-old"
        if folder.exists():
            folder.rename(old)
        beside.rename(folder)
        shutil.rmtree(old, ignore_errors=True)
    except BaseException:
        shutil.rmtree(beside, ignore_errors=True)
        raise


def replace_text(path: Path, text: str) -> None:
    """Write `text` so that a reader sees the old file or the whole new one."""
    replace_bytes(path, text.encode())


def replace_bytes(path: Path, content: bytes) -> None:
    """Write `content` so that a reader sees the old file or the whole new one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.parent / f".{path.name}.{os.getpid()}.tmp"
    with beside.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    beside.replace(path)


def save_json(path: Path, content: dict[str, Any]) -> None:
    """Write `content` with the format number in front; the same content gives the same bytes."""
    replace_text(path, json.dumps({"format": FORMAT, **content}, indent=2, allow_nan=False) + "\n")


def load_json(path: Path) -> dict[str, Any]:
    """Read a file that `save_json` wrote.

    Raises:
        StageError: the file is missing, torn, or of another format.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise StageError(f"{path} does not exist: run the stage that writes it, {path.parent.name}") from None
    except ValueError as error:  # torn JSON, or bytes that are no text
        raise StageError(f"{path} is not JSON ({error}): remove it and run its stage again") from None
    if not isinstance(content, dict) or content.get("format") != FORMAT:
        raise StageError(
            f"{path} must hold format {FORMAT}: it was written by another version of ann; run its stage again"
        )
    return content


def save_arrays(folder: Path, arrays: dict[str, np.ndarray]) -> None:
    """Write each array as `<name>.npy`."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, array in arrays.items():
        np.save(folder / f"{name}.npy", array, allow_pickle=False)


def load_arrays(folder: Path, *, mmap: bool = False) -> dict[str, np.ndarray]:
    """Read all arrays of a folder by name.

    Raises:
        StageError: the folder holds none.
    """
    files = sorted(folder.glob("*.npy"))
    if not files:
        raise StageError(f"{folder} holds no arrays: run the stage {folder.parent.name} first")
    return {file.stem: np.load(file, mmap_mode="r" if mmap else None, allow_pickle=False) for file in files}


def save_inputs(path: Path, inputs: dict[str, np.ndarray]) -> None:
    """Write a graph's inputs by name as one .npz; texts are kept without pickle, and any name will do."""
    names = np.array(list(inputs))
    arrays = [values.astype(np.str_) if values.dtype == object else values for values in inputs.values()]
    np.savez(path, names, *arrays, allow_pickle=False)


def load_inputs(path: Path) -> dict[str, np.ndarray]:
    """Read what `save_inputs` wrote."""
    with np.load(path, allow_pickle=False) as file:
        arrays = [file[f"arr_{number}"] for number in range(len(file.files))]
    names, *values = arrays
    return {
        str(name): array.astype(object) if array.dtype.kind == "U" else array
        for name, array in zip(names, values, strict=True)
    }


def file_sha256(path: Path) -> str:
    """Return the sha256 of a file's bytes as hex."""
    digest = sha256()
    with path.open("rb") as file:
        while chunk := file.read(1 << 20):
            digest.update(chunk)
    return digest.hexdigest()
