"""The variants beside each other as a table, on a terminal and as Markdown."""

from typing import Any

from rich.markup import escape
from rich.table import Table

from ann.report.terminal import table


def variants_table(content: dict[str, Any]) -> Table:
    """Return the table of candidates.json for a terminal, the shipped variant in bold."""
    first, *numbers = heads(content)
    found = table(f"\nVariants on validation rows ({content['metric']})", first, *numbers)
    found.add_column("")
    for candidate in content["candidates"]:
        told = "<- shipped" if candidate["chosen"] else escape(candidate["why"])
        found.add_row(*cells(candidate), told, style="bold" if candidate["chosen"] else None)
    return found


def variants_markdown(content: dict[str, Any]) -> str:
    """Return the table of candidates.json as Markdown, with what it was measured by below."""
    names = heads(content)
    lines = [f"| {' | '.join([*names, 'verdict'])} |", f"|---{'|---:' * (len(names) - 1)}|---|"]
    for candidate in content["candidates"]:
        told = "**shipped**" if candidate["chosen"] else candidate["why"]
        lines.append(f"| {' | '.join([*cells(candidate), told])} |")
    machine = content["machine"]
    threads = "one thread" if machine["threads"] == 1 else f"{machine['threads']} threads"
    lines += [
        "",
        f"Quality and drop: {content['metric']} on validation rows; the upper bound of a drop may be at most "
        f"{content['max_drop']:g}. Times: medians on {machine['processor']}, {threads}, ONNX Runtime "
        f"{machine['onnxruntime']}. Load: from opening the file to its first answer. MB: what a process grows by that "
        f"loads the file and answers its largest batch.",
    ]
    return "\n".join(lines) + "\n"


def heads(content: dict[str, Any]) -> list[str]:
    """Return the names of the columns; the batch sizes are those of the first candidate."""
    batches = content["candidates"][0]["latency_ms"]
    return ["variant", "quality", "drop up to", "bytes", "as .xz", "MB", "load ms", *(f"ms at {b}" for b in batches)]


def cells(candidate: dict[str, Any]) -> list[str]:
    """Return a candidate's figures as texts, in the order of `heads`."""
    return [
        candidate["name"],
        f"{candidate['quality']['value']:.4f}",
        f"{candidate['drop']['high']:.4f}",
        f"{candidate['bytes']:,}",
        f"{candidate['packed_bytes']:,}",
        f"{candidate['memory_mb']:.1f}",
        f"{candidate['load_ms']:.1f}",
        *(f"{timing['p50']:.3f}" for timing in candidate["latency_ms"].values()),
    ]
