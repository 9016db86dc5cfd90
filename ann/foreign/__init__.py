"""`ann compress`: smaller variants of a network that was not trained here, measured on rows of one's own.

A torch network comes as a function that builds it and its weights, and can follow every recipe but students and
lottery tickets. An ONNX file can be quantized.
"""

import io
import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr
from functools import partial
from pathlib import Path
from shutil import copyfile
from typing import Any

import numpy as np
import onnx
import torch

from ann.artifacts import fresh_folder, replace_text
from ann.compression.bench import Bench
from ann.compression.choice import FP32
from ann.compression.integers import Seen, quantized_graph
from ann.compression.judge import Judge, judge
from ann.compression.packing import packed_bytes
from ann.compression.quantization import quantizable
from ann.compression.recipes import make_variants, recipes_for
from ann.compression.written import Entry, write_choice, written
from ann.config.compress import DEFAULT_RECIPES, CompressParams, Recipe
from ann.config.section import Section
from ann.config.stages import EvaluateParams
from ann.config.steps import Quantize
from ann.config.train import TrainParams
from ann.data.batches import TensorData
from ann.data.graph import save_model
from ann.errors import AnnError, ConfigError, DataError
from ann.evaluation.scoring import primary_metric
from ann.foreign.graphs import Given, answers_of, are_probabilities, fed, load_onnx, with_logits
from ann.foreign.networks import Adapter, adapted, as_network_reads, load_torch, reason_of
from ann.foreign.rows import Arrays, Rows, read_rows
from ann.report.pictures import draw_front
from ann.report.variants import variants_markdown
from ann.seeding import generator
from ann.training.network import pick_device, save_network

VALID = 0.3
"""Share of the rows by which variants are judged; by the others they are calibrated and fine-tuned."""


class ForeignParams(Section):
    """Settings of `ann compress`: sections as in params.yaml, all of which may be left out."""

    seed: int = 0
    """Of the split, the calibration rows and fine-tuning."""
    compress: CompressParams = CompressParams()
    """Recipes and the rule of the choice."""
    train: TrainParams = TrainParams()
    """How fine-tuning trains, but for epochs and lr, which stand in a step."""
    evaluate: EvaluateParams = EvaluateParams()
    """Bootstrap of the intervals."""


def compress(
    model: str,
    data: Path,
    out: Path,
    params: ForeignParams,
    *,
    target: str,
    weights: Path | None = None,
    registry: str | None = None,
) -> Entry:
    """Write the variants, their table and the chosen `model.onnx` into the folder `out`; return the table.

    `model` is an .onnx file, a `models:/` address, or `package.module:function`, which is looked for here first.
    `registry` is the MLflow that addresses are of; without it the one of MLFLOW_TRACKING_URI. `out` must be empty,
    not there, or written by this function before.

    Raises:
        AnnError: the network cannot be loaded, or does not go with the rows.
    """
    out = out.resolve()
    _require_ours(out)
    is_file = model.endswith(".onnx") or model.startswith("models:/")
    if not is_file and not all(model.partition(":")):
        raise ConfigError(f"--model: {model} is no .onnx file, models:/ address or package.module:function")
    if is_file and weights is not None:
        raise ConfigError(f"--weights: {model} has its weights inside: leave --weights out")
    rows = read_rows(data, target)
    if is_file:
        given = load_onnx(model, registry or os.environ.get("MLFLOW_TRACKING_URI"))
        make = partial(_of_onnx, given, rows.named(given.classes) if given.classes else rows, data.parent)
    else:
        make = partial(_of_torch, model, weights, as_network_reads(rows))
    with fresh_folder(out) as folder:
        entries, against = make(params, folder / "variants")
        table = write_choice(entries, against, params.compress, "", folder)
        chosen = next(candidate["name"] for candidate in table["candidates"] if candidate["chosen"])
        copyfile(folder / "variants" / f"{chosen}.onnx", folder / "model.onnx")
        replace_text(folder / "variants.md", variants_markdown(table))
        draw_front(table["candidates"], max(params.compress.batches), folder / "front.png")
    return table


def _require_ours(out: Path) -> None:
    """Raise ConfigError where the folder cannot be written, or holds what was not made here and would be lost."""
    above = next(folder for folder in out.parents if folder.exists())
    for place in (above, out):
        if place.exists() and not place.is_dir():
            raise ConfigError(f"-o: {place} is a file: name a folder")
    if not os.access(above, os.W_OK):
        raise ConfigError(f"-o: {above} may not be written: name another folder")
    if out.exists() and any(out.iterdir()) and not (out / "choice.json").exists():
        raise ConfigError(f"-o: {out} holds other files, which would be lost: name a folder that is empty or not there")


def _judging(params: ForeignParams) -> dict[str, Any]:
    settings = params.evaluate
    return {"resamples": settings.resamples, "confidence": settings.confidence, "seed": params.seed}


def _of_torch(
    name: str, weights: Path | None, rows: Rows, params: ForeignParams, folder: Path
) -> tuple[list[Entry], Judge]:
    device = pick_device(params.train.device)
    network = adapted(load_torch(name, weights, Path.cwd()), list(rows.inputs)).eval().to(device)
    train, valid = rows.split(VALID, params.seed)
    outputs = _outputs(network, valid, name, device)
    train, valid = train.answered_by(outputs), valid.answered_by(outputs)
    target = valid.target(outputs)
    metric = primary_metric(target, params.compress.metric)
    bench = Bench(
        network,
        None,
        _tensors(train, device),
        _tensors(valid, device),
        target,
        _fine_tuning(params.train, len(train.truth)),
        params.seed,
        params.compress.max_drop,
        max(params.compress.batches),
        partial(judge, target=target, metric=metric, rows={**valid.inputs, "target": valid.truth}, **_judging(params)),
    )
    with _told(f"{name} cannot be written as ONNX"), _silent():
        _ = bench.graph
    entries = []
    for variant in make_variants(bench, recipes_for(bench, params.compress.recipes)):
        entries.append(written(variant, bench, folder))
        if not variant.quantized and isinstance(variant.network, Adapter):
            save_network(variant.network.network, folder / f"{variant.name}.safetensors")  # by names of its own
    return entries, bench.judge


def _fine_tuning(settings: TrainParams, rows: int) -> TrainParams:
    """Return the settings with a batch no larger than there are rows, unless its size was asked for."""
    if "batch_size" in settings.model_fields_set:
        return settings
    return settings.model_copy(update={"batch_size": min(settings.batch_size, rows)})


def _outputs(network: Adapter, rows: Rows, name: str, device: torch.device) -> int:
    """Return how many numbers the network answers about a row.

    Raises:
        ConfigError: it does not take the rows, or answers something else.
        DataError: it answers NaN or infinity.
    """
    with torch.no_grad(), _told(f"{name} does not take the rows of --data"):
        answers = network(_tensors(rows, device).inputs)
    if not isinstance(answers, torch.Tensor) or answers.shape != (len(rows.truth), answers.shape[-1]):
        shape = tuple(answers.shape) if isinstance(answers, torch.Tensor) else type(answers).__name__
        raise ConfigError(f"--model: {name} must answer (rows, outputs), it answers {shape} of {len(rows.truth)} rows")
    if not answers.isfinite().all():
        raise DataError(f"{name} answers NaN or infinity about rows of --data: remove rows with NaN in their inputs")
    return int(answers.shape[1])


@contextmanager
def _told(what: str) -> Iterator[None]:
    """Turn what a network of the user's own raises into one message."""
    try:
        yield
    except AnnError:
        raise
    except Exception as error:
        raise ConfigError(f"--model: {what}: {type(error).__name__}: {reason_of(error)}") from error


@contextmanager
def _silent() -> Iterator[None]:
    """Keep from the user what torch prints and logs about a network that it cannot export: the error says it."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with redirect_stderr(io.StringIO()):
            yield
    finally:
        logging.disable(before)


def _tensors(rows: Rows, device: torch.device) -> TensorData:
    inputs = {name: torch.from_numpy(values).to(device) for name, values in rows.inputs.items()}
    return TensorData(inputs, torch.from_numpy(rows.truth).to(device))


def _of_onnx(given: Given, rows: Rows, beside: Path, params: ForeignParams, folder: Path) -> tuple[list[Entry], Judge]:
    settings, graph = params.compress, given.graph
    if settings.objective == "flops":
        raise ConfigError("compress.objective: quantizing an ONNX file changes no flops: write latency or bytes")
    recipes = _recipes(graph, settings)
    train, valid = rows.split(VALID, params.seed)
    inputs = fed(given, valid, beside)
    output, answers = answers_of(graph, inputs)
    judged = partial(with_logits, output=output, probabilities=are_probabilities(answers, rows))
    valid = valid.answered_by(answers.shape[1])
    target = valid.target(answers.shape[1])
    metric = primary_metric(target, settings.metric)
    against = judge(
        judged(graph), target=target, metric=metric, rows={**inputs, "target": valid.truth}, **_judging(params)
    )
    sample = _sample(fed(given, train, beside), params.seed)
    entries = []
    seen = Seen(lambda made: against.worst_drop(judged(made)), lambda made: against.error(judged(made)))
    for name, told, variant in _quantized(graph, recipes, settings.max_drop, sample, seen):
        path = folder / f"{name}.onnx"
        onnx.helper.set_model_props(variant, _properties(given, name))
        save_model(variant, path)
        answered = against.answers(judged(variant))
        entries.append(
            {
                "name": name,
                "recipe": told,
                "model": None,
                "quantized": name != FP32,
                "quality": against.quality(answered).to_json(),
                "drop": against.drop(answered).to_json(),
                "bytes": path.stat().st_size,
                "packed_bytes": packed_bytes(variant),
                "parameters": sum(int(np.prod(tensor.dims)) for tensor in graph.graph.initializer),
                "flops": None,
            }
        )
    return entries, against


def _recipes(graph: onnx.ModelProto, params: CompressParams) -> tuple[Recipe, ...]:
    """Return the recipes, by default those that find something to quantize.

    Raises:
        ConfigError: a recipe has a step that only a torch network can follow, or nothing can be quantized.
    """
    if params.recipes is not None:
        for recipe in params.recipes:
            _only_quantize(recipe)
        return params.recipes
    plain = [recipe for recipe in DEFAULT_RECIPES if not recipe.prunes]
    recipes = tuple(recipe for recipe in plain if quantizable(graph, _only_quantize(recipe).mode))
    if not recipes:
        raise ConfigError(
            "--model holds no Conv, Gemm, MatMul or LSTM with constant float32 weights: there is nothing to quantize"
        )
    return recipes


def _properties(given: Given, name: str) -> dict[str, str]:
    """Return what the file said about itself, which `ann predict` reads."""
    return given.metadata | ({"ann.variant": name} if "ann.variant" in given.metadata else {})


def _quantized(
    graph: onnx.ModelProto, recipes: tuple[Recipe, ...], max_drop: float, sample: Arrays, seen: Seen
) -> Iterator[tuple[str, str, onnx.ModelProto]]:
    """Yield name, description and graph of plain fp32 and of each recipe."""
    yield FP32, "the file as it was given", graph
    for recipe in recipes:
        step = _only_quantize(recipe)
        rows = {name: values[: step.calibration_rows] for name, values in sample.items()}
        told, made = quantized_graph(step, graph, rows, seen=seen, max_drop=max_drop)
        yield recipe.name, told, made


def _only_quantize(recipe: Recipe) -> Quantize:
    """Return the step of a recipe that an ONNX file can follow."""
    step = recipe.steps[-1]
    if len(recipe.steps) > 1 or not isinstance(step, Quantize) or step.mode == "aware":
        raise ConfigError(
            f"compress.recipes: {recipe.name}: an ONNX file can only be quantized, with mode static, dynamic or "
            f"weights: give the torch network for the other steps"
        )
    return step


def _sample(inputs: Arrays, seed: int) -> Arrays:
    """Return the rows in random order, without those with NaN: a file that answers them fills them in itself."""
    order = generator(seed, "calibration").permutation(len(next(iter(inputs.values()))))
    whole = np.ones(len(order), bool)
    for values in inputs.values():
        if values.dtype.kind == "f":
            whole &= np.isfinite(values).reshape(len(values), -1).all(axis=1)
    order = order[whole[order]] if whole.any() else order
    return {name: values[order] for name, values in inputs.items()}
