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
        f"{_predicts(schema)} "
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


def _predicts(schema: dict[str, Any]) -> str:
    target = schema["target"]
    names = ", ".join(f"`{name}`" for name in target["names"])
    classes = f" ({', '.join(target['classes'])})" if target["classes"] else ""
    quantiles = f", quantiles {', '.join(f'{value:g}' for value in target['quantiles'])}" if target["quantiles"] else ""
    ahead = f" for the next {target['horizon']} rows" if target["horizon"] else ""
    columns = sum(len(feature["columns"]) or 1 for feature in schema["features"])
    return f"Predicts {names}{classes}{ahead}{quantiles} ({target['task']}) from {columns} raw columns."


def _slice_lines(build: Build) -> list[str]:
    """Return the torch network's metrics by group."""
    rows = [row for row in load_json(build.slices)["slices"] if "metrics" in row]
    if not rows:
        return []
    metrics = list(rows[0]["metrics"])
    table = [
        f"| {row['column']} | {row['value']} | {row['rows']} | "
        f"{' | '.join(format(row['metrics'][name]['value'], '.4f') for name in metrics)} |"
        for row in rows
    ]
    head = f"| column | value | rows | {' | '.join(metrics)} |"
    return ["## By group", "", head, "|---" * (3 + len(metrics)) + "|", *table, ""]


def _column_lines(schema: dict[str, Any]) -> list[str]:
    features = ", ".join(
        f"`{name}` ({feature['type']})"
        for feature in schema["features"]
        for name in feature["columns"] or [feature["name"]]
    )
    lines = ["## Columns", "", f"Read: {features}."]
    if schema["slices"]:
        lines.append(f"Kept out of the network and used only to report by group: {', '.join(schema['slices'])}.")
    if schema["dropped"]:
        lines.append(f"Dropped: {', '.join(schema['dropped'])}.")
    return [*lines, ""]
