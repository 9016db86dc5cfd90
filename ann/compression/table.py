"""The table of variants: what is a function of the commit, and what was measured on this machine.

`choice.json` holds the first kind and is an output that DVC tracks. `candidates.json` adds latency, memory, load time,
the front and the reasons; a measurement is no function of a commit, so it is taken again wherever the file is missing.
"""

from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from ann.artifacts import GROUPS, Build, file_sha256, load_json, save_json
from ann.compression.choice import Candidate, choose, objection, pareto_front
from ann.compression.footprint import footprints
from ann.compression.measure import Timing, machine, measure
from ann.config.compress import CompressParams
from ann.data.schema import Schema
from ann.data.windows import load_part
from ann.evaluation.intervals import Interval

SIZES = ("bytes", "packed_bytes", "parameters", "flops", "memory_mb", "load_ms")
"""Figures of a candidate that are single numbers."""


def timed(
    entries: list[dict[str, Any]], variants: Path, inputs: dict[str, np.ndarray], params: CompressParams
) -> list[Candidate]:
    """Measure latency, memory and load time of each entry's file (fp32 first) and return the candidates.

    `inputs` are rows by the names of the files' inputs.
    """
    files = [variants / f"{entry['name']}.onnx" for entry in entries]
    timings = measure(files, inputs, params.batches, params.rounds)
    taken = footprints(files, inputs, max(params.batches))
    return [
        Candidate(
            entry["name"],
            Interval(**entry["quality"]),
            Interval(**entry["drop"]),
            entry["bytes"],
            entry["flops"],
            timing,
            footprint,
        )
        for entry, timing, footprint in zip(entries, timings, taken, strict=True)
    ]


def chosen_name(candidates: list[Candidate], params: CompressParams) -> str:
    """Return the name of the variant to ship."""
    return choose(candidates, params.max_drop, params.objective).name


def measured_table(build: Build, params: CompressParams) -> dict[str, Any]:
    """Return the content of candidates.json, measuring again where it is missing or belongs to another choice."""
    stamp = file_sha256(build.choice)
    if build.candidates.exists() and (table := load_json(build.candidates)).get("choice_sha256") == stamp:
        return table
    choice = load_json(build.choice)
    rows = load_part(build.folder("prepare") / "valid", Schema.from_json(load_json(build.schema)))
    inputs = {name: rows[name] for name in GROUPS if name in rows}
    write_table(choice, timed(choice["candidates"], build.variants, inputs, params), params, stamp, build.candidates)
    return load_json(build.candidates)


def write_table(
    choice: dict[str, Any], candidates: list[Candidate], params: CompressParams, stamp: str, path: Path
) -> None:
    """Write candidates.json and front.csv for a choice that was made."""
    front = pareto_front(candidates)
    rows = [
        entry
        | {
            "latency_ms": {str(batch): _timing(timing) for batch, timing in candidate.timings.items()},
            **asdict(candidate.footprint),
            "front": candidate.name in front,
            "chosen": candidate.name == choice["chosen"],
            "allowed": objection(candidate, params.max_drop, params.objective) is None,
            "why": _why(candidate, choice["chosen"], params),
        }
        for entry, candidate in zip(choice["candidates"], candidates, strict=True)
    ]
    head = {name: choice[name] for name in ("key", "metric", "objective", "max_drop")}
    save_json(path, head | {"choice_sha256": stamp, "machine": machine(), "candidates": rows})
    pd.DataFrame([flat_row(row) for row in rows]).to_csv(path.with_name("front.csv"), index=False)


def flat_row(row: dict[str, Any]) -> dict[str, Any]:
    """Return a candidate of candidates.json as one row of a table: for DVC's plots, a spreadsheet, MLflow."""
    times = {
        f"{name}_ms_b{batch}": timing[name] for batch, timing in row["latency_ms"].items() for name in ("p50", "p95")
    }
    bounds = {f"{name}_{bound}": row[name][bound] for name in ("quality", "drop") for bound in ("low", "high")}
    values = {name: row[name]["value"] for name in ("quality", "drop")}
    told = (*SIZES, "front", "allowed", "chosen", "why")
    return {"name": row["name"], **values, **bounds, **times, **{name: row[name] for name in told}}


def _timing(timing: Timing) -> dict[str, float]:
    fields = asdict(timing)
    return {"p50": fields.pop("p50_ms"), "p95": fields.pop("p95_ms"), **fields}


def _why(candidate: Candidate, chosen: str, params: CompressParams) -> str:
    reason = objection(candidate, params.max_drop, params.objective)
    if candidate.name == chosen:
        return f"best in {params.objective} of those that may be shipped"
    return reason or f"allowed; {chosen} preferred"
