"""Join preparation, network and answer into the file that is shipped: raw columns in, answers out."""

import json

import onnx
from onnx import compose, helper

from ann.data.kinds import PREFIX
from ann.data.schema import Schema
from ann.export.answer import answer_graph
from ann.export.network import normalise

NETWORK, ANSWER = "ann:network/", "ann:answer/"
"""Prefixes of the names inside, which no column is likely to have."""


def join(
    preprocess: onnx.ModelProto, network: onnx.ModelProto, schema: Schema, tags: dict[str, str]
) -> onnx.ModelProto:
    """Return one model; its inputs are the raw columns by name, its outputs those of `answer_graph`.

    `tags` are written into the file's metadata beside what a reader of the file must know: task, labels, kinds of
    columns, missing markers.
    """
    middle = compose.add_prefix(network, NETWORK)
    groups = [put.name for put in network.graph.input]
    joined = compose.merge_models(
        preprocess,
        middle,
        io_map=[(f"{PREFIX}{group}", f"{NETWORK}{group}") for group in groups],
        outputs=[f"{NETWORK}logits"],
    )
    back = compose.add_prefix(answer_graph(schema.target), ANSWER, rename_outputs=False)
    joined = compose.merge_models(joined, back, io_map=[(f"{NETWORK}logits", f"{ANSWER}logits")])
    joined = normalise(joined)
    joined.graph.name = "ann"
    helper.set_model_props(joined, dict(sorted({**_reading(schema), **tags}.items())))
    return joined


def _reading(schema: Schema) -> dict[str, str]:
    """Return what `ann.predict` needs to turn a file's rows into inputs, and outputs into columns."""
    target = schema.target
    series = {feature.name: list(feature.columns) for feature in schema.of_type("series")}
    return {
        "ann.classes": json.dumps(target.classes),
        "ann.missing": json.dumps(schema.missing),
        "ann.quantiles": json.dumps(target.quantiles),
        "ann.targets": json.dumps(target.names),
        "ann.task": target.task,
        "ann.types": json.dumps({feature.name: feature.type for feature in schema.features if not feature.columns}),
    } | ({"ann.series": json.dumps({**series, "length": schema.windows.length})} if schema.windows else {})
