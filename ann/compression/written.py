"""Variants as files, and the choice among them."""

from pathlib import Path
from typing import Any

from ann.artifacts import file_sha256, load_json, save_json
from ann.compression.bench import Bench
from ann.compression.costs import flops, parameters
from ann.compression.judge import Judge
from ann.compression.packing import packed_bytes
from ann.compression.recipes import Variant
from ann.compression.table import chosen_name, timed, write_table
from ann.config.compress import CompressParams
from ann.data.graph import save_model
from ann.training.network import save_network

Entry = dict[str, Any]


def written(variant: Variant, bench: Bench, folder: Path) -> Entry:
    """Write a variant's files, and return what is a function of the commit: quality, the paired drop, and its size."""
    path = folder / f"{variant.name}.onnx"
    save_model(variant.graph, path)
    if not variant.quantized:
        save_network(variant.network, path.with_suffix(".safetensors"))
    answers = bench.judge.answers(variant.graph)
    return {
        "name": variant.name,
        "recipe": variant.recipe,
        "model": variant.model.model_dump(mode="json") if variant.model else None,
        "quantized": variant.quantized,
        "quality": bench.judge.quality(answers).to_json(),
        "drop": bench.judge.drop(answers).to_json(),
        "bytes": path.stat().st_size,
        "packed_bytes": packed_bytes(variant.graph),
        "parameters": parameters(variant.network),
        "flops": flops(variant.network, bench.example),
    }


def write_choice(entries: list[Entry], judge: Judge, params: CompressParams, key: str, folder: Path) -> Entry:
    """Measure the variants in `folder`, write choice.json, candidates.json and front.csv, and return the second."""
    candidates = timed(entries, folder / "variants", judge.inputs, params)
    choice = {
        "key": key,
        "metric": judge.metric,
        "objective": params.objective,
        "max_drop": params.max_drop,
        "chosen": chosen_name(candidates, params),
        "candidates": entries,
    }
    save_json(folder / "choice.json", choice)
    write_table(choice, candidates, params, file_sha256(folder / "choice.json"), folder / "candidates.json")
    return load_json(folder / "candidates.json")
