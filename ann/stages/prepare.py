"""prepare: rows to tensors, through the graph that will also stand in the shipped file."""

import numpy as np

from ann.artifacts import fresh_folder, save_arrays, save_json
from ann.config import Params
from ann.data.graph import save_model
from ann.data.preparation import fit_statistics, preparation_graph, run_preparation
from ann.data.schema import category_text, class_ids, infer_schema
from ann.data.sources import read_table
from ann.data.splits import stratified_split
from ann.project import Project
from ann.stages.process import stage_process


def run(params: Params, project: Project) -> None:
    """Write schema.json, preprocess.onnx, and the arrays of train, valid and test.

    Raises:
        DataError: the target or a column cannot be used, or a class is too rare to split.
    """
    table = read_table(params.data, project)
    schema = infer_schema(table, params.data)
    target = class_ids(table[schema.target], schema.classes)
    parts = stratified_split(table, target, params.prepare.split, params.seed)
    statistics = fit_statistics(table.iloc[parts["train"]], schema, params.prepare)
    graph = preparation_graph(statistics, schema.missing)
    with fresh_folder(project.build.folder("prepare")) as folder:
        groups = {"width": statistics.width, "sizes": statistics.sizes}
        save_json(folder / "schema.json", {**schema.to_json(), "groups": groups})
        save_model(graph, folder / "preprocess.onnx")
        for name, rows in parts.items():
            arrays = run_preparation(graph, table.iloc[rows], schema)
            save_arrays(folder / name, {**arrays, "target": target[rows], "rows": rows})
            slices = {f"slice_{i}": category_text(table[column].iloc[rows]) for i, column in enumerate(schema.slices)}
            save_arrays(folder / name, {key: values.astype(np.str_) for key, values in slices.items()})


if __name__ == "__main__":
    stage_process(run)
