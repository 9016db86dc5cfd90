"""The table of variants: what is a function of the commit, and what was measured on this machine.

`choice.json` holds the first kind and is an output that DVC tracks. `candidates.json` adds latency, the front and the
reasons; a measurement is no function of a commit, so it is measured again wherever the file is missing.
"""

from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from ann.artifacts import GROUPS, Build, file_sha256, load_json, save_json
from ann.compression.choice import Candidate, choose, objection, pareto_front
from ann.compression.measure import Timing, machine, measure
from ann.config.compress import CompressParams
from ann.data.schema import Schema
from ann.data.windows import load_part
from ann.evaluation.intervals import Interval


def timed(
    entries: list[dict[str, Any]], variants: Path, rows: dict[str, np.ndarray], params: CompressParams
) -> list[Candidate]:
    """Measure the latency of each entry's file (fp32 first) and return the candidates."""
    files = [variants / f"{entry['name']}.onnx" for entry in entries]
    inputs = {name: rows[name] for name in GROUPS if name in rows}
    timings = measure(files, inputs, params.batches, params.rounds)
    return [
        Candidate(entry["name"], Interval(**entry["quality"]), Interval(**entry["drop"]), entry["bytes"], timing)
        for entry, timing in zip(entries, timings, strict=True)
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
    write_table(choice, timed(choice["candidates"], build.variants, rows, params), params, stamp, build.candidates)
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
            "front": candidate.name in front,
            "chosen": candidate.name == choice["chosen"],
            "why": _why(candidate, choice["chosen"], params),
        }
        for entry, candidate in zip(choice["candidates"], candidates, strict=True)
    ]
    head = {name: choice[name] for name in ("key", "metric", "objective", "max_drop")}
    save_json(path, head | {"choice_sha256": stamp, "machine": machine(), "candidates": rows})
    _front_points(candidates).to_csv(path.with_name("front.csv"), index=False)


def _front_points(candidates: list[Candidate]) -> pd.DataFrame:
    """Return the figures of the front as a table for DVC's plots."""
    return pd.DataFrame(
        [
            {"name": candidate.name, "drop": candidate.drop.value, "bytes": candidate.bytes}
            | {f"p50_ms_b{batch}": timing.p50_ms for batch, timing in candidate.timings.items()}
            for candidate in candidates
        ]
    )


def _timing(timing: Timing) -> dict[str, float]:
    fields = asdict(timing)
    return {"p50": fields.pop("p50_ms"), "p95": fields.pop("p95_ms"), **fields}


def _why(candidate: Candidate, chosen: str, params: CompressParams) -> str:
    reason = objection(candidate, params.max_drop, params.objective)
    if candidate.name == chosen:
        return f"best in {params.objective} of those that may be shipped"
    return reason or f"allowed; {chosen} preferred"
