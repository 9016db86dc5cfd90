"""The last words of a run: what came out, and where to look further. Read from `build/` alone."""

from pathlib import Path
from typing import Any

from rich.markup import escape
from rich.table import Table

from ann.artifacts import Build, load_json
from ann.compression.shipped import shipped_latency
from ann.compression.table import measured_table
from ann.config import Params
from ann.project import Project
from ann.report.terminal import console, table
from ann.report.variants import variants_markdown, variants_table

MARKS = {"fresh": "unchanged", "restored": "from the cache", "ran": "done"}


def stage_line(stage: str, how: str, seconds: float) -> str:
    """Return one line about a stage that ended."""
    took = f"{seconds:6.1f} s" if how == "ran" else ""
    return f"{stage:<10} {MARKS[how]:<15}{took}".rstrip()


def print_summary(project: Project) -> None:
    """Print what was validated, how good the shipped file is, what was chosen and registered, and what to do next."""
    build, out = project.build, console()
    report, decision = load_json(build.validation_report), load_json(build.decision)
    verdicts = report["expectations"]
    warned = sum(not verdict["success"] for verdict in verdicts)
    out.print()
    out.print(
        f"[bold]Data[/]      {report['rows']:,} rows, {report['columns']} columns, "
        f"{len(verdicts) - warned} of {len(verdicts)} expectations met"
    )
    for finding in load_json(build.leakage)["findings"]:
        out.print(f"[yellow]Leakage[/]   {_leakage(finding)}", soft_wrap=True)
    out.print(_metrics_table(build))
    out.print(variants_table(measured_table(build, project.params().compress)))
    out.print(_shipped_line(build, project.params()))
    out.print(
        f"[bold]Registry[/]  {decision['name']} version {decision['version']} is {decision['alias']}"
        f"  ({'; '.join(_rule(rule) for rule in decision['rules'])})"
    )
    out.print("\n[bold]Look further[/]")
    for what, command in next_steps(project):
        out.print(f"  {what:<22} {command}", soft_wrap=True, markup=False)


def next_steps(project: Project) -> list[tuple[str, str]]:
    """Return what can be looked at next, and how."""
    return [
        ("runs and models", f"mlflow ui --backend-store-uri {project.tracking_uri}"),
        ("data docs", _relative(project.build.data_docs)),
        ("pictures", _relative(project.build.folder("evaluate"))),
        ("score a file", f"ann predict FILE.csv -o OUT.csv --model {_relative(project.build.model)}"),
    ]


def metric_rows(project: Project) -> list[dict[str, Any]]:
    """Return the shipped file's test metrics, one row each."""
    metrics = load_json(project.build.model_metrics)["test"]
    return [
        {"metric": name} | {bound: round(value, 4) for bound, value in row.items()} for name, row in metrics.items()
    ]


def summary_markdown(project: Project) -> str:
    """Return the outcome, the links and the variants as Markdown, for Prefect's page of the run."""
    decision = load_json(project.build.decision)
    lines = [
        f"**{decision['name']}** version {decision['version']} is `{decision['alias']}`.",
        "",
        f"Lineage key `{decision['key']}`; the MLflow run carries it as the tag `ann.key`.",
        "",
        *(f"- {what}: `{command}`" for what, command in next_steps(project)),
        "",
        variants_markdown(measured_table(project.build, project.params().compress)),
    ]
    return "\n".join(lines)


def _leakage(finding: dict[str, str]) -> str:
    where = f"column {finding['column']!r}: " if finding["column"] else ""
    return escape(f"{where}{finding['observed']}; {finding['advice']}")


def _metrics_table(build: Build) -> Table:
    bounds = ("value", "low", "high")
    found = table("Shipped file on test rows", "metric", *bounds)
    for name, row in load_json(build.model_metrics)["test"].items():
        found.add_row(name, *(f"{row[bound]:.4f}" for bound in bounds))
    return found


def _shipped_line(build: Build, params: Params) -> str:
    times = shipped_latency(build, params.export.latency_batches)["latency_ms"]
    shown = ", ".join(f"{row['p50']:.3f} ms at batch {batch}" for batch, row in times.items())
    return f"\n[bold]Shipped[/]   {build.model.stat().st_size:,} bytes, {shown} (raw columns to labels, one thread)"


def _rule(rule: dict[str, Any]) -> str:
    if "ours" not in rule:
        return str(rule["rule"])
    theirs = "not comparable" if rule["theirs"] is None else f"{rule['theirs']:.4f}"
    return f"{rule['rule']}: {rule['ours']:.4f} against {theirs}"


def _relative(path: Path) -> str:
    here = Path.cwd()
    return str(path.relative_to(here)) if path.is_relative_to(here) else str(path)
