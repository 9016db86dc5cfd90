"""A measured row: written as soon as it is known, so that a long benchmark goes on where it stopped."""

import json
import os
import platform
import subprocess
from collections.abc import Callable
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import psutil

RESULTS = Path(__file__).parent / "results"
REPOSITORY = Path(__file__).parent.parent


@dataclass(frozen=True)
class Row:
    """One figure beside its bar."""

    row: str
    value: float
    low: float
    high: float
    unit: str
    bar: str
    met: bool | None
    seeds: list[int]
    note: str
    machine: str
    commit: str
    date: str


def measured(
    values: list[float],
    *,
    row: str,
    unit: str,
    bar: str,
    met: Callable[[float], bool] | None,
    seeds: list[int],
    note: str,
    middle: Callable[[list[float]], Any] = np.median,
) -> Row:
    """Return the row of repeated figures: their median, or another `middle`, least and greatest."""
    value = float(middle(values))
    return Row(
        row=row,
        value=value,
        low=float(min(values)),
        high=float(max(values)),
        unit=unit,
        bar=bar,
        met=None if met is None else met(value),
        seeds=seeds,
        note=note,
        machine=machine(),
        commit=commit(),
        date=today(),
    )


def save(benchmark: str, row: Row) -> None:
    """Put the row into benchmarks/results/<benchmark>.json in place of an older one of its name."""
    path = RESULTS / f"{benchmark}.json"
    old = json.loads(path.read_text()) if path.exists() else []
    rows = [entry for entry in old if entry["row"] != row.row] + [asdict(row)]
    RESULTS.mkdir(exist_ok=True)
    path.write_text(json.dumps(sorted(rows, key=lambda entry: entry["row"]), indent=2) + "\n")
    verdict = "" if row.met is None else " met" if row.met else " MISSED"
    print(f"{row.row}: {row.value:.4g} {row.unit} ({row.low:.4g} to {row.high:.4g}); bar {row.bar or 'none'}{verdict}")


def machine() -> str:
    """Return processor, cores and memory in one line."""
    name = platform.processor() or platform.machine()
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        models = [line.split(":", 1)[1].strip() for line in cpuinfo.read_text().splitlines() if "model name" in line]
        name = models[0] if models else name
    return f"{name}, {os.cpu_count()} cores, {psutil.virtual_memory().total / 2**30:.0f} GiB"


def today() -> str:
    """Return the date in UTC."""
    return datetime.now(UTC).strftime("%Y-%m-%d")


def commit() -> str:
    """Return the short hash of HEAD."""
    done = subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"], cwd=REPOSITORY, capture_output=True, text=True, check=True
    )
    return done.stdout.strip()
