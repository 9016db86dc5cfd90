"""Figures that are measured once, each in a process of its own, and kept a line each."""

import hashlib
import json
import logging
import multiprocessing
import resource
import sys
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from typing import Any

from benchmarks.rows import REPOSITORY

FOLDER = REPOSITORY / "build" / "benchmarks" / "quality"

Figures = dict[str, Any]
"""Numbers by name, and lists of them, such as the rows that were answered wrongly."""


def kept(row: str, side: str, seed: int, settings: Any, measure: Callable[[int], Figures]) -> Figures:
    """Return what `measure(seed)` gave for these settings, now or in an earlier run, with its `peak_gb` of memory.

    `measure` must be a function of a module, for it runs in a new process.
    """
    path = FOLDER / f"{row}.jsonl"
    key = {"side": side, "seed": seed, "settings": _hash(settings)}
    for line in path.read_text().splitlines() if path.exists() else []:
        entry = json.loads(line)
        if key.items() <= entry.items():
            return entry["figures"]
    context = multiprocessing.get_context("spawn")  # a copy of this process would begin with its memory
    with ProcessPoolExecutor(1, mp_context=context) as pool:
        figures = pool.submit(_with_memory, measure, seed).result()
    FOLDER.mkdir(parents=True, exist_ok=True)
    with path.open("a") as stream:
        stream.write(json.dumps({**key, "figures": figures}) + "\n")
    numbers = ", ".join(f"{name} {value:.5g}" for name, value in figures.items() if not isinstance(value, list))
    print(f"{row}, {side}, seed {seed}: {numbers}")
    return figures


def _hash(settings: Any) -> str:
    return hashlib.sha256(json.dumps(settings, sort_keys=True).encode()).hexdigest()[:16]


def _with_memory(measure: Callable[[int], Figures], seed: int) -> Figures:
    logging.disable(logging.WARNING)  # copies of rows in the data are known
    figures = measure(seed)
    unit = 1 if sys.platform == "darwin" else 1024
    return {**figures, "peak_gb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 1e9}
