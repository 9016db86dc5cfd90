"""What int8 loses: static and after training for it, on a CNN for Fashion-MNIST and on Adult."""

from pathlib import Path

import numpy as np

from ann.artifacts import load_json
from ann.compression.bench import Bench
from ann.compression.judge import judge
from ann.compression.recipes import make_variants
from ann.config.compress import Recipe
from ann.config.optimizers import AdamW
from ann.config.steps import Quantize
from ann.config.train import TrainParams
from ann.data.batches import TensorData
from ann.data.schema import Schema
from ann.data.windows import load_part
from ann.project import Project
from ann.stages.train import prepared_training
from ann.training.fit import fit
from ann.training.objective import build_objective
from benchmarks.compression.networks import SETS, convolutional, errors, read_images, trained_bench, worst_loss
from benchmarks.data import table_folder
from benchmarks.quality.kept import FOLDER, Figures, kept
from benchmarks.quality.ours import project_of
from benchmarks.quality.settings import ADULT
from benchmarks.rows import measured, save

IMAGES = TrainParams(epochs=8, batch_size=128, optimizer=AdamW(lr=2e-3))
RECIPES = (
    Recipe(name="static", steps=(Quantize(step="quantize", mode="static", sensitive="quantize"),)),
    Recipe(name="aware", steps=(Quantize(step="quantize", mode="aware", epochs=2, lr=1e-4, sensitive="quantize"),)),
)
BARS = {"static": 0.5, "aware": 0.1}


def drop(seeds: list[int]) -> None:
    """Points of accuracy that int8 loses on test rows."""
    settings = [recipe.model_dump(mode="json") for recipe in RECIPES]
    for row, measure in (("Fashion-MNIST CNN", _fashion), ("Adult tabular", _adult)):
        for seed in seeds:
            kept("drop", row, seed, settings, measure)
        wrong = [np.load(_path(row, seed)) for seed in seeds]
        for name, most in BARS.items():
            losses = [100 * float(part[name].mean() - part["fp32"].mean()) for part in wrong]
            _, bound = worst_loss([part[name] for part in wrong], [part["fp32"] for part in wrong])
            save(
                "compression",
                measured(
                    losses,
                    row=f"{row}, int8 {name}",
                    unit="points of accuracy lost, mean",
                    bar=f"<= {most:g}",
                    met=lambda value, most=most: value <= most,
                    seeds=seeds,
                    note=f"at most {bound:.3f} (95 %); every layer in int8",
                    middle=np.mean,
                ),
            )


def _path(row: str, seed: int) -> Path:
    return FOLDER / f"drop-{row.replace(' ', '-')}-{seed}.npz"


def _fashion(seed: int) -> Figures:
    rows = read_images(SETS["fashion"], flat=False)
    bench = trained_bench(convolutional, rows, IMAGES, seed)
    return _measured(bench, rows.test, _path("Fashion-MNIST CNN", seed))


def _adult(seed: int) -> Figures:
    with project_of(ADULT, table_folder("adult"), seed) as project:
        return _of_project(project, seed)


def _of_project(project: Project, seed: int) -> Figures:
    params = project.params()
    prepared = prepared_training(params, project)
    objective = build_objective(prepared.network, prepared.train, params.train, prepared.target)
    fit(prepared.network, prepared.train, prepared.valid, params.train, seed=params.seed, objective=objective)
    schema = Schema.from_json(load_json(project.build.schema))
    parts = {name: load_part(project.build.folder("prepare") / name, schema) for name in ("valid", "test")}

    def judging(graph):  # noqa: ANN001, ANN202
        return judge(
            graph,
            target=prepared.target,
            metric="accuracy",
            rows=parts["valid"],
            resamples=200,
            confidence=0.95,
            seed=seed,
        )

    bench = Bench(
        prepared.network.eval(),
        prepared.model,
        prepared.train,
        prepared.valid,
        prepared.target,
        params.train,
        seed,
        max_drop=0.005,
        batch=64,
        judge_of=judging,
    )
    return _measured(bench, TensorData.on_device(parts["test"]), _path("Adult tabular", seed))


def _measured(bench: Bench, test: TensorData, path: Path) -> Figures:
    wrong = {variant.name: errors(variant.graph, test) for variant in make_variants(bench, RECIPES)}
    np.savez_compressed(path, **wrong)
    return {f"error_{name}": 100 * float(part.mean()) for name, part in wrong.items()}
