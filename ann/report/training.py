"""What `ann profile` and `ann diagnose` print."""

from ann.artifacts import load_json
from ann.project import Project
from ann.report.terminal import console, table
from ann.training.profiling import Profile


def print_profile(found: Profile, title: str) -> None:
    """Print a step's time, its parts, the share of the hardware's peak, memory, and the operators that took most."""
    out = console()
    out.print(f"[bold]{title}[/]")
    out.print(
        f"step       {found.step_ms:.3f} ms ({found.engine}), {found.rows_per_s:,.0f} rows/s, "
        f"peak memory {found.memory_mb:,.0f} MiB"
    )
    share = found.flops_per_s / found.peak_flops_per_s
    out.print(
        f"products   {found.flops_per_step / 1e6:,.1f} MFLOP a step, {found.flops_per_s / 1e9:,.1f} GFLOP/s: "
        f"{share:.0%} of the {found.peak_flops_per_s / 1e9:,.0f} GFLOP/s of a large fp32 product here"
    )
    parts = table("\nThe step, part by part", "part", "ms", "share")
    total = sum(found.phases_ms.values())
    for name, ms in found.phases_ms.items():
        parts.add_row(name, f"{ms:.3f}", f"{ms / total:.0%}")
    out.print(parts)
    ops = table("\nOperators by their own time", "operator", "share", "calls")
    for op in found.ops:
        ops.add_row(op.name, f"{op.share:.1%}", f"{op.calls:,}")
    out.print(ops)


def print_diagnosis(project: Project) -> None:
    """Print layers, units and warnings of the last training, from its diagnosis.json."""
    out, content = console(), load_json(project.build.diagnosis)
    norms = content["gradient_norms"]
    first, last = norms[next(iter(norms))], norms[next(reversed(norms))]
    numbers = ("shape", "weight mean", "std", "gradient norm, first epoch", "last epoch")
    layers = table("Layers", "layer", *numbers)
    for entry in content["weights"]:
        name, shape = entry["layer"], " x ".join(map(str, entry["shape"]))
        gradients = (f"{epoch[name]:.2g}" if name in epoch else "frozen" for epoch in (first, last))
        layers.add_row(name, shape, f"{entry['mean']:.4f}", f"{entry['std']:.4f}", *gradients)
    out.print(layers)
    for entry in content["units"]:
        out.print(f"{entry['layer']} ({entry['kind']}): {entry['dead']:.1%} of {entry['units']} units are dead")
    out.print()
    for warning in content["warnings"]:
        out.print(f"[yellow]warning[/] {warning}", soft_wrap=True)
    if not content["warnings"]:
        out.print("no vanishing or exploding gradients, no layer that is mostly dead")
    out.print(f"pictures   {project.build.diagnosis.with_suffix('.png')}", soft_wrap=True)
