"""What `ann profile` and `ann diagnose` print."""

import sys

from rich.console import Console
from rich.table import Table

from ann.artifacts import load_json
from ann.project import Project
from ann.training.profiling import Profile

WIDTH = 110
"""Columns, where the output is no terminal."""


def print_profile(found: Profile, title: str) -> None:
    """Print a step's time, its parts, the share of the hardware's peak, memory, and the operators that took most."""
    console = _console()
    console.print(f"[bold]{title}[/]")
    console.print(
        f"step       {found.step_ms:.3f} ms ({found.engine}), {found.rows_per_s:,.0f} rows/s, "
        f"peak memory {found.memory_mb:,.0f} MiB"
    )
    share = found.flops_per_s / found.peak_flops_per_s
    console.print(
        f"products   {found.flops_per_step / 1e6:,.1f} MFLOP a step, {found.flops_per_s / 1e9:,.1f} GFLOP/s: "
        f"{share:.0%} of the {found.peak_flops_per_s / 1e9:,.0f} GFLOP/s of a large fp32 product here"
    )
    parts = Table(box=None, pad_edge=False, title="\nThe step, part by part", title_justify="left")
    for name, justify in (("part", "left"), ("ms", "right"), ("share", "right")):
        parts.add_column(name, justify=justify)  # type: ignore[arg-type]
    total = sum(found.phases_ms.values())
    for name, ms in found.phases_ms.items():
        parts.add_row(name, f"{ms:.3f}", f"{ms / total:.0%}")
    console.print(parts)
    ops = Table(box=None, pad_edge=False, title="\nOperators by their own time", title_justify="left")
    for name, justify in (("operator", "left"), ("share", "right"), ("calls", "right")):
        ops.add_column(name, justify=justify)  # type: ignore[arg-type]
    for op in found.ops:
        ops.add_row(op.name, f"{op.share:.1%}", f"{op.calls:,}")
    console.print(ops)


def print_diagnosis(project: Project) -> None:
    """Print layers, units and warnings of the last training, from its diagnosis.json."""
    console, content = _console(), load_json(project.build.diagnosis)
    norms = content["gradient_norms"]
    first, last = norms[next(iter(norms))], norms[next(reversed(norms))]
    layers = Table(box=None, pad_edge=False, title="Layers", title_justify="left")
    layers.add_column("layer")
    for name in ("shape", "weight mean", "std", "gradient norm, first epoch", "last epoch"):
        layers.add_column(name, justify="right")
    for entry in content["weights"]:
        name, shape = entry["layer"], " x ".join(map(str, entry["shape"]))
        gradients = (f"{epoch[name]:.2g}" if name in epoch else "frozen" for epoch in (first, last))
        layers.add_row(name, shape, f"{entry['mean']:.4f}", f"{entry['std']:.4f}", *gradients)
    console.print(layers)
    for entry in content["units"]:
        console.print(f"{entry['layer']} ({entry['kind']}): {entry['dead']:.1%} of {entry['units']} units are dead")
    console.print()
    for warning in content["warnings"]:
        console.print(f"[yellow]warning[/] {warning}", soft_wrap=True)
    if not content["warnings"]:
        console.print("no vanishing or exploding gradients, no layer that is mostly dead")
    console.print(f"pictures   {project.build.diagnosis.with_suffix('.png')}", soft_wrap=True)


def _console() -> Console:
    return Console(file=sys.stdout, highlight=False, width=None if sys.stdout.isatty() else WIDTH)
