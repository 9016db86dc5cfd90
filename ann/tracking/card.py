"""The model card: what a version is, how good it is, for whom, and where it comes from."""

from typing import Any

from ann.artifacts import Build, load_json
from ann.config import Params
from ann.lineage import Lineage


def model_card(build: Build, params: Params, lineage: Lineage, latency: dict[str, Any]) -> str:
    """Return the card of the shipped file as Markdown."""
    schema, parity = load_json(build.schema), load_json(build.parity)
    metrics = load_json(build.model_metrics)["test"]
    size = build.model.stat().st_size
    times = ", ".join(f"{row['p50']:.3f} ms at batch {batch}" for batch, row in latency["latency_ms"].items())
    lines = [
        f"# {params.register_.name}",
        "",
        f"Predicts `{schema['target']}` ({', '.join(schema['classes'])}) from {len(schema['features'])} raw columns. "
        f"Shipped variant: {parity['shipped']}, {size:,} bytes, {times} (raw columns to labels, one thread).",
        "",
        "| test metric | value | 95 % interval |"
        if params.evaluate.confidence == 0.95
        else "| test metric | value | interval |",
        "|---|---|---|",
        *(f"| {name} | {row['value']:.4f} | {row['low']:.4f} to {row['high']:.4f} |" for name, row in metrics.items()),
        "",
        *_slice_lines(build),
        *_column_lines(schema),
        "## Lineage",
        "",
        *(f"- {name}: `{value}`" for name, value in lineage.tags().items()),
        "",
    ]
    return "\n".join(lines)


def _slice_lines(build: Build) -> list[str]:
    """Return the torch network's metrics by group."""
    rows = [row for row in load_json(build.slices)["slices"] if "metrics" in row]
    if not rows:
        return []
    table = [
        f"| {row['column']} | {row['value']} | {row['rows']} | {row['metrics']['auc']['value']:.4f} | "
        f"{row['metrics']['accuracy']['value']:.4f} |"
        for row in rows
    ]
    return ["## By group", "", "| column | value | rows | auc | accuracy |", "|---|---|---|---|---|", *table, ""]


def _column_lines(schema: dict[str, Any]) -> list[str]:
    features = ", ".join(f"`{feature['name']}` ({feature['type']})" for feature in schema["features"])
    lines = ["## Columns", "", f"Read: {features}."]
    if schema["slices"]:
        lines.append(f"Kept out of the network and used only to report by group: {', '.join(schema['slices'])}.")
    if schema["dropped"]:
        lines.append(f"Dropped: {', '.join(schema['dropped'])}.")
    return [*lines, ""]
