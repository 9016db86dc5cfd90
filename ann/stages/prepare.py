"""prepare: rows to tensors, through the graph that will also stand in the shipped file."""

import logging
from dataclasses import replace

import numpy as np

from ann.artifacts import fresh_folder, load_arrays, save_arrays, save_json
from ann.config import Params
from ann.config.split import AutoSplit, GroupSplit, SplitParams, TimeSplit
from ann.data.description import without_media
from ann.data.examples import Examples
from ann.data.graph import save_model
from ann.data.leakage import find_leakage
from ann.data.preparation import Statistics, fit_statistics, preparation_graph, run_preparation
from ann.data.schema import Schema, infer_schema
from ann.data.sources import file_of_rows, read_table
from ann.data.splits import split_kind, split_rows
from ann.data.task import category_text, target_values
from ann.data.windows import naive_errors, require_even_times, target_channels, window_starts
from ann.project import Project
from ann.stages.process import stage_process

log = logging.getLogger("ann.data")


def run(params: Params, project: Project) -> None:
    """Write schema.json, leakage.json, preprocess.onnx, and the arrays of train, valid and test.

    Raises:
        DataError: the target or a column cannot be used, or a class is too rare to split.
    """
    table = read_table(params.data, project)
    schema = infer_schema(table, params.data)
    if schema.windows:
        require_even_times(table, schema)
    values = target_values(table, schema.target)
    plain = without_media(table)
    split, task = chosen_split(params.prepare.split, schema), schema.target.task
    parts = split_rows(
        plain, values, task=task, split=split, seed=params.seed, files=file_of_rows(table), time=schema.time
    )
    findings = find_leakage(
        plain,
        values,
        task=task,
        parts=parts,
        features=tuple(
            (name, "number" if feature.columns else feature.type)
            for feature in schema.features
            for name in feature.sources
        ),
        split_name=split_kind(split, task),
        group=schema.group,
        time=schema.time,
    )
    for finding in findings:
        log.warning("%s", finding.line())
    rows = window_starts(parts, schema.windows) if schema.windows else parts
    schema = schema.with_target(schema.target.fitted(values[parts["train"]]))
    statistics = fit_statistics(Examples(table, schema), rows["train"], params.prepare)
    examples = Examples(table, schema, channels=statistics.channels, rate=statistics.rate)
    graph = preparation_graph(statistics, schema.features, schema.missing)
    with fresh_folder(project.build.folder("prepare")) as folder:
        save_json(folder / "leakage.json", {"findings": [finding.to_json() for finding in findings]})
        save_model(graph, folder / "preprocess.onnx")
        for name, chosen in rows.items():
            arrays = run_preparation(graph, examples, chosen)
            if not schema.windows:
                arrays["target"] = schema.target.stored(values[chosen])
            save_arrays(folder / name, {**arrays, "rows": chosen})
            slices = {f"slice_{i}": category_text(table[column].iloc[chosen]) for i, column in enumerate(schema.slices)}
            save_arrays(folder / name, {key: text.astype(np.str_) for key, text in slices.items()})
        if schema.windows:
            schema = _with_naive(schema, load_arrays(folder / "train")["series"])
        save_json(folder / "schema.json", {**schema.to_json(), **_seen(statistics, schema)})


def chosen_split(split: SplitParams, schema: Schema) -> SplitParams:
    """Return the split; `auto` keeps to the column with the role `group`, else to the one with the role `time`."""
    if isinstance(split, AutoSplit):
        if schema.group:
            return GroupSplit(name="group", column=schema.group, valid=split.valid, test=split.test)
        if schema.time:
            return TimeSplit(name="time", column=schema.time, valid=split.valid, test=split.test)
    return split


def _seen(statistics: Statistics, schema: Schema) -> dict[str, object]:
    """Return what a network, and a reader of raw files, must know."""
    groups = statistics.groups()
    if schema.windows:
        [series] = schema.of_type("series")
        groups["series"] = {
            "length": schema.windows.length,
            "channels": len(series.columns),
            "horizon": schema.windows.horizon,
            "targets": target_channels(schema),
        }
    return {"groups": groups, "media": {"channels": statistics.channels, "rate": statistics.rate}}


def _with_naive(schema: Schema, series: np.ndarray) -> Schema:
    """Return the schema with the error of the naive forecast; a metric is given by it only where it is not zero."""
    assert schema.windows is not None
    errors = naive_errors(series, target_channels(schema), schema.windows.season)
    naive = tuple(map(float, errors)) if (errors > 0).all() else ()
    return schema.with_target(replace(schema.target, naive=naive))


if __name__ == "__main__":
    stage_process(run)
