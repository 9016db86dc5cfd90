"""Write docs/benchmarks.md from benchmarks/results: `python -m benchmarks.page`."""

import json

from benchmarks.rows import REPOSITORY, RESULTS

HEAD = """# Benchmarks

Generated from `benchmarks/results/` by `python -m benchmarks.page`; `make bench` measures and generates.
The machines are shared and noisy: read medians and ranges, not single figures.

"""


def page() -> str:
    """Return the page as Markdown."""
    parts = [HEAD]
    for path in sorted(RESULTS.glob("*.json")):
        rows = json.loads(path.read_text())
        parts.append(f"## {path.stem}\n\n`python -m benchmarks.{path.stem}`\n\n")
        parts.append(
            "| row | value | range | bar | met | seeds | note | date, commit |\n|---|---|---|---|---|---|---|---|\n"
        )
        for row in rows:
            met = {True: "yes", False: "**no**", None: ""}[row["met"]]
            seeds = ", ".join(map(str, row["seeds"]))
            parts.append(
                f"| {row['row']} | {row['value']:.4g} {row['unit']} | {row['low']:.4g} to {row['high']:.4g} "
                f"| {row['bar']} | {met} | {seeds} | {row['note']} | {row['date']}, {row['commit']} |\n"
            )
        machines = sorted({row["machine"] for row in rows})
        parts.append(f"\nMachine: {'; '.join(machines)}.\n\n")
    return "".join(parts).rstrip() + "\n"


if __name__ == "__main__":
    (REPOSITORY / "docs" / "benchmarks.md").write_text(page())
