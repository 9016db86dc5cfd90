"""Latency of the shipped file, raw columns to labels, on this machine."""

from typing import Any

from ann.artifacts import Build, file_sha256, load_inputs, load_json, save_json
from ann.compression.measure import machine, measure

ROUNDS = 15


def shipped_latency(build: Build, batches: tuple[int, ...]) -> dict[str, Any]:
    """Return the content of latency.json, measuring where it is missing or belongs to another file."""
    stamp = file_sha256(build.model)
    if build.latency.exists() and (content := load_json(build.latency)).get("model_sha256") == stamp:
        return content
    [timings] = measure([build.model], load_inputs(build.example_inputs), batches, ROUNDS)
    rows = {str(batch): {"p50": timing.p50_ms, "p95": timing.p95_ms} for batch, timing in timings.items()}
    save_json(build.latency, {"model_sha256": stamp, "machine": machine(), "latency_ms": rows})
    return load_json(build.latency)
