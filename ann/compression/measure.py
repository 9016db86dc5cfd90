"""Latency of ONNX files in ONNX Runtime, measured in a process of its own, interleaved.

`python -m ann.compression.measure` reads a request as JSON on standard input and answers on standard output.
Each round visits every file in turn (forwards, then backwards: A B C C B A), so a machine that slows down slows all.
One thread, no spinning: what a busy server gives one request.
"""

import json
import os
import platform
import subprocess
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np
import onnxruntime as ort

from ann.artifacts import load_inputs, save_inputs
from ann.errors import StageError

THREADS = 1
ROUND_S = 0.004
"""Seconds that one file is called in one visit, at least once."""
RESAMPLES = 2000


@dataclass(frozen=True)
class Timing:
    """Latency of one file at one batch size."""

    p50_ms: float
    p95_ms: float
    ratio: float
    """Median over rounds of this file's time to the first file's, with a 95 % bootstrap interval."""
    ratio_low: float
    ratio_high: float


def measure(
    files: list[Path], inputs: dict[str, np.ndarray], batches: tuple[int, ...], rounds: int
) -> list[dict[int, Timing]]:
    """Return, for each file, a timing per batch size; ratios are to the first file.

    `inputs` are rows by input name; the first ones are repeated to fill a batch.

    Raises:
        StageError: the measuring process failed.
    """
    with tempfile.TemporaryDirectory() as folder:
        rows = Path(folder) / "rows.npz"
        save_inputs(rows, {name: values[: max(batches)] for name, values in inputs.items()})
        request = {
            "files": [str(file) for file in files],
            "rows": str(rows),
            "batches": list(batches),
            "rounds": rounds,
        }
        seconds = answer_of("ann.compression.measure", request, what="latency")  # [file][batch][round] -> calls
    return [
        {batch: _timing(seconds[number][i], seconds[0][i]) for i, batch in enumerate(batches)}
        for number in range(len(files))
    ]


def answer_of(module: str, request: dict[str, Any], *, what: str) -> Any:
    """Run a module in a process of its own, which reads the request as JSON, and return what it prints as JSON.

    Raises:
        StageError: the process failed; `what` it measures stands in the error.
    """
    process = subprocess.run(
        [sys.executable, "-m", module], input=json.dumps(request), capture_output=True, text=True, check=False
    )
    if process.returncode != 0:
        reason = (process.stderr.strip() or f"it said nothing and ended with {process.returncode}").splitlines()[-1]
        raise StageError(f"the {what} measurement failed: {reason}")
    return json.loads(process.stdout)


def machine() -> dict[str, object]:
    """Return what the figures depend on: processor, threads, ONNX Runtime."""
    return {
        "processor": platform.processor() or platform.machine(),
        "cores": os.cpu_count(),
        "threads": THREADS,
        "onnxruntime": ort.__version__,
    }


def _timing(ours: list[list[float]], first: list[list[float]]) -> Timing:
    calls = np.concatenate([np.array(visit) for visit in ours]) * 1e3
    ratios = np.array([np.median(a) / np.median(b) for a, b in zip(ours, first, strict=True)])
    random = np.random.default_rng(0)
    draws = np.median(random.choice(ratios, size=(RESAMPLES, len(ratios))), axis=1)
    low, high = np.quantile(draws, [0.025, 0.975])
    return Timing(
        float(np.median(calls)), float(np.quantile(calls, 0.95)), float(np.median(ratios)), float(low), float(high)
    )


def answer(request: dict[str, Any]) -> list[list[list[list[float]]]]:
    """Time every file at every batch size; return seconds as [file][batch][round][call]."""
    sessions = [open_file(file) for file in request["files"]]
    inputs = load_inputs(Path(request["rows"]))
    feeds = [batch_of(inputs, batch) for batch in request["batches"]]
    calls = [[partial(session.run, None, feed) for feed in feeds] for session in sessions]
    seconds: list[list[list[list[float]]]] = [[[] for _ in feeds] for _ in sessions]
    for call in (call for row in calls for call in row):
        _visit(call)  # warm-up
    for number in range(request["rounds"]):
        order = range(len(sessions))
        for file in order if number % 2 == 0 else reversed(order):
            for batch in range(len(feeds)):
                seconds[file][batch].append(_visit(calls[file][batch]))
    return seconds


def _visit(call: Callable[[], object]) -> list[float]:
    """Call for ROUND_S and return the seconds of each call."""
    times: list[float] = []
    started = perf_counter()
    while not times or perf_counter() - started < ROUND_S:
        before = perf_counter()
        call()
        times.append(perf_counter() - before)
    return times


def open_file(file: str) -> ort.InferenceSession:
    """Return a session as files are measured: one thread, which sleeps when it waits."""
    options = ort.SessionOptions()
    options.intra_op_num_threads = THREADS
    options.inter_op_num_threads = THREADS
    options.log_severity_level = 3
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    return ort.InferenceSession(file, options, providers=["CPUExecutionProvider"])


def batch_of(inputs: dict[str, np.ndarray], batch: int) -> dict[str, np.ndarray]:
    """Return `batch` rows, repeating those there are."""
    return {name: np.resize(values, (batch, *values.shape[1:])) for name, values in inputs.items()}


if __name__ == "__main__":
    print(json.dumps(answer(json.load(sys.stdin))))  # noqa: T201 - the answer of this process
