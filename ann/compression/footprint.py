"""Memory and cold start of ONNX files in ONNX Runtime: each is loaded and run in a fresh process.

`python -m ann.compression.footprint` reads a request as JSON on standard input and answers on standard output.
A process that has loaded one file keeps what the library took, so no two files share one. Files are visited in turn
(A B C C B A), threads are as in `ann.compression.measure`, and the operating system has the files in its cache.
"""

import json
import resource
import sys
import tempfile
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from time import perf_counter
from typing import Any

import numpy as np

from ann.artifacts import load_inputs, save_inputs
from ann.compression.measure import answer_of, batch_of, open_file

ROUNDS = 3
STATUS = Path("/proc/self/status")


@dataclass(frozen=True)
class Footprint:
    """What one file takes of a process that has onnxruntime imported already; medians over fresh processes."""

    memory_mb: float
    """Growth of the resident memory to its peak while the file is loaded and answers its largest batch [10^6 bytes]."""
    load_ms: float
    """From opening the file to the first answer, of one row."""


def footprints(files: list[Path], inputs: dict[str, np.ndarray], batch: int, rounds: int = ROUNDS) -> list[Footprint]:
    """Return what each file takes; `inputs` are rows by input name, the first ones repeated to fill the `batch`.

    Raises:
        StageError: a measuring process failed.
    """
    found: list[list[dict[str, float]]] = [[] for _ in files]
    with tempfile.TemporaryDirectory() as folder:
        rows = Path(folder) / "rows.npz"
        save_inputs(rows, {name: values[:batch] for name, values in inputs.items()})
        for number in range(rounds):
            order = range(len(files))
            for file in order if number % 2 == 0 else reversed(order):
                request = {"file": str(files[file]), "rows": str(rows), "batch": batch}
                found[file].append(answer_of("ann.compression.footprint", request, what="memory"))
    return [
        Footprint(*(float(median(visit[name] for visit in visits)) for name in ("memory_mb", "load_ms")))
        for visits in found
    ]


def answer(request: dict[str, Any]) -> dict[str, float]:
    """Load and run one file in this process, which must have loaded none before."""
    inputs = load_inputs(Path(request["rows"]))
    one, many = batch_of(inputs, 1), batch_of(inputs, request["batch"])
    _forget_peak()
    before = _resident_mb()
    started = perf_counter()
    session = open_file(request["file"])
    session.run(None, one)
    load_s = perf_counter() - started
    session.run(None, many)
    return {"memory_mb": max(0.0, _peak_mb() - before), "load_ms": load_s * 1e3}


def _forget_peak() -> None:
    """Let the kernel count the peak from here on, so that what importing took for a moment is not in it."""
    with suppress(OSError):  # a container may forbid it; the peak is then that of the whole process
        Path("/proc/self/clear_refs").write_text("5")


def _resident_mb() -> float:
    return _status_mb("VmRSS") if STATUS.exists() else _peak_mb()


def _peak_mb() -> float:
    """Return the greatest resident memory so far; Linux hands the one of `getrusage` down to children, so not that."""
    if STATUS.exists():
        return _status_mb("VmHWM")
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 1e6


def _status_mb(name: str) -> float:
    [line] = [line for line in STATUS.read_text().splitlines() if line.startswith(f"{name}:")]
    return int(line.split()[1]) * 1024 / 1e6


if __name__ == "__main__":
    print(json.dumps(answer(json.load(sys.stdin))))  # noqa: T201 - the answer of this process
