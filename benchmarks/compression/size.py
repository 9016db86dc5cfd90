"""LeNet-300-100 on MNIST: how small its file becomes at no loss, beside Deep Compression's 40 x (arXiv:1510.00149)."""

from pathlib import Path

import numpy as np

from ann.compression.packing import packed_bytes
from ann.compression.recipes import make_variants
from ann.compression.sparsity import sparsity_of
from ann.config.compress import Recipe
from ann.config.optimizers import AdamW
from ann.config.steps import ShareWeights, Sparsify
from ann.config.train import TrainParams
from benchmarks.compression.networks import SETS, errors, lenet, read_images, trained_bench, worst_loss
from benchmarks.quality.kept import FOLDER, Figures, kept
from benchmarks.rows import measured, save

SETTINGS = TrainParams(epochs=20, batch_size=128, optimizer=AdamW(lr=1e-3))
SPARSE = Sparsify(step="sparsify", sparsity=0.967, scope="global", rounds=12, epochs=4, lr=1e-3, distil=0.8)
FEW = ShareWeights(step="share", values=16, epochs=8, lr=3e-4, distil=0.8)
RECIPES = (Recipe(name="sparse", steps=(SPARSE,)), Recipe(name="packed", steps=(SPARSE, FEW)))
FULL = 1_066_440
"""Bytes of the parameters in float32."""


def size(seeds: list[int]) -> None:
    """Bytes of the file that ONNX Runtime loads, and of it packed; share of weights that are kept."""
    settings = [SETTINGS.model_dump(mode="json"), [recipe.model_dump(mode="json") for recipe in RECIPES]]
    found = [kept("lenet", "size", seed, settings, _measure) for seed in seeds]
    wrong = [np.load(_path(seed)) for seed in seeds]
    full = [part["fp32"] for part in wrong]
    note = f"error of the plain network {100 * np.mean(full):.2f} %; "
    lost, bound = worst_loss([part["packed"] for part in wrong], full)
    for name, file, bar in (("bytes", ".onnx that ONNX Runtime loads", ""), ("packed_bytes", ".onnx.xz", ">= 40")):
        ratios = [FULL / figures[name] for figures in found]
        _save(f"LeNet-300-100, {file}", ratios, "x smaller", bar, seeds, note, lost, bound)
    lost, bound = worst_loss([part["sparse"] for part in wrong], full)
    shares = [100 * figures["kept"] for figures in found]
    _save("LeNet-300-100, kept weights", shares, "%", "<= 4", seeds, note, lost, bound)


def _save(
    row: str, values: list[float], unit: str, bar: str, seeds: list[int], note: str, lost: float, bound: float
) -> None:
    within = bound <= 0.1
    sign, limit = bar.split() if bar else (">=", "0")
    save(
        "compression",
        measured(
            values,
            row=row,
            unit=unit,
            bar=bar,
            met=(lambda value: within and (value >= float(limit) if sign == ">=" else value <= float(limit)))
            if bar
            else None,
            seeds=seeds,
            note=f"{note}lost {lost:+.3f} points, at most {bound:.3f} (95 %, bar 0.1)",
            middle=np.mean,
        ),
    )


def _path(seed: int) -> Path:
    return FOLDER / f"lenet-{seed}.npz"


def _measure(seed: int) -> Figures:
    rows = read_images(SETS["mnist"], flat=True)
    bench = trained_bench(lenet, rows, SETTINGS, seed)
    wrong, figures = {}, {}
    for variant in make_variants(bench, RECIPES):
        wrong[variant.name] = errors(variant.graph, rows.test)
        figures |= {f"{variant.name}_valid": 100 * float(errors(variant.graph, rows.valid).mean())}
        if variant.name == "sparse":
            figures["kept"] = 1 - sparsity_of(variant.network)
        if variant.name == "packed":
            figures |= {"bytes": variant.graph.ByteSize(), "packed_bytes": packed_bytes(variant.graph)}
    np.savez_compressed(_path(seed), **wrong)
    return figures
