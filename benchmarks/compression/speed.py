"""Measured latency: pruned networks, int8, and ONNX Runtime beside torch; each side in processes of its own."""

import json
import subprocess
import sys
import tempfile
from pathlib import Path
from statistics import median

import numpy as np
import onnx
import torch

from ann.compression.measure import measure
from ann.compression.recipes import make_variants
from ann.config.compress import Recipe
from ann.config.optimizers import AdamW
from ann.config.steps import Prune, Quantize
from ann.config.train import TrainParams
from ann.data.graph import save_model
from ann.models.mlp import MLP
from ann.training.network import save_network
from benchmarks.compression.networks import (
    SETS,
    Images,
    bench_of,
    convolutional,
    errors,
    perceptron,
    read_images,
    trained_bench,
    worst_loss,
)
from benchmarks.pairs import interleave, ratio
from benchmarks.quality.kept import FOLDER, Figures, kept
from benchmarks.rows import REPOSITORY, measured, save

DENSE = TrainParams(epochs=15, batch_size=128, optimizer=AdamW(lr=1e-3))
IMAGES = TrainParams(epochs=6, batch_size=128, optimizer=AdamW(lr=2e-3))
STATIC = Quantize(step="quantize", mode="static")
EXACT = Quantize(step="quantize", mode="static", sensitive="quantize")
THIN = Prune(step="prune", ratio=0.75, rounds=3, epochs=4, lr=1e-3, distil=0.7)
THIN_CNN = Prune(step="prune", ratio=0.5, rounds=2, epochs=2, lr=1e-3, distil=0.7)
ROUNDS, BATCHES, PAIRS = 31, (1, 64, 1024), 6


def structured(seeds: list[int]) -> None:
    """Units removed from the perceptron and channels from the CNN."""
    for row, step in (("784-512-256-128-10", THIN), ("CNN 16-32", THIN_CNN)):
        recipes = (Recipe(name="pruned", steps=(step,)), Recipe(name="pruned-int8", steps=(step, STATIC)))
        settings = [row, [recipe.model_dump(mode="json") for recipe in recipes]]
        found = [kept("structured", row, seed, settings, _Structured(row, recipes)) for seed in seeds]
        wrong = [np.load(_path(row, seed)) for seed in seeds]
        for name in ("pruned", "pruned-int8"):
            lost, bound = worst_loss([part[name] for part in wrong], [part["fp32"] for part in wrong])
            values = [figures[f"{name}_b64"] for figures in found]
            save(
                "compression",
                measured(
                    values,
                    row=f"{row}, {name}, batch 64",
                    unit="x faster",
                    bar=">= 2",
                    met=lambda value, bound=bound: value >= 2 and bound <= 0.1,
                    seeds=seeds,
                    note=f"lost {lost:+.3f} points, at most {bound:.3f} (95 %, bar 0.1); the aim is 4",
                ),
            )


class _Structured:
    """Trains one network and measures its variants; a class, for it goes to another process."""

    def __init__(self, row: str, recipes: tuple[Recipe, ...]) -> None:
        self.row, self.recipes = row, recipes

    def __call__(self, seed: int) -> Figures:
        flat = self.row != "CNN 16-32"
        rows = read_images(SETS["mnist"], flat=flat)
        make, settings = (perceptron, DENSE) if flat else (convolutional, IMAGES)
        bench = trained_bench(make, rows, settings, seed)
        variants = list(make_variants(bench, self.recipes))
        np.savez_compressed(
            _path(self.row, seed), **{variant.name: errors(variant.graph, rows.test) for variant in variants}
        )
        times = _ratios([variant.graph for variant in variants], rows, (64,))
        return {f"{variant.name}_b64": found[64] for variant, found in zip(variants, times, strict=True)}


def _path(row: str, seed: int) -> Path:
    return FOLDER / f"structured-{row.replace(' ', '-')}-{seed}.npz"


def _ratios(graphs: list[onnx.ModelProto], rows: Images, batches: tuple[int, ...]) -> list[dict[int, float]]:
    """Return how many times as fast as the first graph each is."""
    inputs = {name: values[: max(batches)].numpy() for name, values in rows.test.inputs.items()}
    with tempfile.TemporaryDirectory() as folder:
        files = [Path(folder) / f"{number}.onnx" for number in range(len(graphs))]
        for graph, file in zip(graphs, files, strict=True):
            save_model(graph, file)
        timings = measure(files, inputs, batches, ROUNDS)
    return [{batch: 1 / found[batch].ratio for batch in batches} for found in timings]


def int8(seeds: list[int]) -> None:
    """Static int8 beside float32, hidden layers of 512; nothing is trained, for weights take the same time."""
    found = [kept("int8", "784-512-512-10", seed, STATIC.model_dump(mode="json"), _int8) for seed in seeds]
    for batch in BATCHES[1:]:
        values = [figures[f"b{batch}"] for figures in found]
        note = "784-512-512-10, one thread"
        bar, met = ">= 2", lambda value: value >= 2
        row = measured(values, row=f"int8, batch {batch}", unit="x faster", bar=bar, met=met, seeds=seeds, note=note)
        save("compression", row)


def _int8(seed: int) -> Figures:
    rows = read_images(SETS["mnist"], flat=True)
    torch.manual_seed(seed)
    network = MLP(width=784, sizes=[], outputs=10, hidden=[512, 512], norm="none", dropout=0.0)
    bench = bench_of(network, rows, DENSE, seed)
    plain, quantized = make_variants(bench, (Recipe(name="int8", steps=(EXACT,)),))
    _, times = _ratios([plain.graph, quantized.graph], rows, BATCHES)
    return {f"b{batch}": times[batch] for batch in BATCHES}


def alone(seeds: list[int]) -> None:
    """One row at a time, 784-512-256-128-10: ONNX Runtime beside torch eager, in processes that take turns."""
    settings = [STATIC.model_dump(mode="json"), THIN.model_dump(mode="json")]
    found = [kept("alone", "784-512-256-128-10", seed, settings, _alone) for seed in seeds]
    for name, least in (("fp32", 2.5), ("int8", 5.0), ("pruned-int8", 6.0)):
        values = [figures[name] for figures in found]
        note = f"torch eager takes {median(figures['torch_us'] for figures in found):.0f} us a row; one thread"
        row = measured(
            values,
            row=f"one row, ONNX Runtime {name} beside torch",
            unit="x faster",
            bar=f">= {least:g}",
            met=lambda value, least=least: value >= least,
            seeds=seeds,
            note=note,
        )
        save("compression", row)


def _alone(seed: int) -> Figures:
    rows = read_images(SETS["mnist"], flat=True)
    bench = trained_bench(perceptron, rows, DENSE, seed)
    recipes = (Recipe(name="int8", steps=(STATIC,)), Recipe(name="pruned-int8", steps=(THIN, STATIC)))
    figures: Figures = {}
    with tempfile.TemporaryDirectory() as folder:
        weights = Path(folder) / "weights.safetensors"
        save_network(bench.network, weights)
        for variant in make_variants(bench, recipes):
            file = Path(folder) / f"{variant.name}.onnx"
            save_model(variant.graph, file)
            inputs = {name: values[:1].numpy() for name, values in rows.test.inputs.items()}
            pairs = interleave(
                lambda file=file, inputs=inputs: measure([file], inputs, (1,), 15)[0][1].p50_ms * 1e3,
                lambda: _torch_us(weights),
                PAIRS,
            )
            figures |= {variant.name: ratio(pairs).median, "torch_us": median(torch_us for _, torch_us in pairs)}
    return figures


def _torch_us(weights: Path) -> float:
    """Return the median microseconds of a row in torch eager, in a process of its own."""
    command = [sys.executable, "-m", "benchmarks.compression.eager", str(weights)]
    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=REPOSITORY)
    return float(json.loads(done.stdout))
