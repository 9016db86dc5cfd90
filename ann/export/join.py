"""Join preparation, network and answer into the file that is shipped: raw columns in, label and probabilities out."""

import json

import numpy as np
import onnx
from onnx import compose, helper

from ann.data.graph import GraphBuilder
from ann.data.schema import Schema
from ann.export.network import normalise


def join(
    preprocess: onnx.ModelProto, network: onnx.ModelProto, schema: Schema, tags: dict[str, str]
) -> onnx.ModelProto:
    """Return one model; its inputs are the raw columns by name, its outputs `label` (N,) and `probabilities` (N, K).

    `tags` are written into the file's metadata beside the labels and the missing markers.
    """
    groups = [output.name for output in preprocess.graph.output]
    front = compose.add_prefix(preprocess, "prepare/", rename_inputs=False)
    middle = compose.add_prefix(network, "network/")
    back = compose.add_prefix(answer_graph(schema.classes), "answer/", rename_outputs=False)
    used = [put.name.removeprefix("network/") for put in middle.graph.input]
    joined = compose.merge_models(
        front,
        middle,
        io_map=[(f"prepare/{group}", f"network/{group}") for group in groups if group in used],
        outputs=["network/logits"],
    )
    joined = compose.merge_models(joined, back, io_map=[("network/logits", "answer/logits")])
    joined = normalise(joined)
    joined.graph.name = "ann"
    labels = {"ann.classes": json.dumps(schema.classes), "ann.missing": json.dumps(schema.missing)}
    helper.set_model_props(joined, dict(sorted({**labels, **tags}.items())))
    return joined


def answer_graph(classes: tuple[str, ...]) -> onnx.ModelProto:
    """Return the graph `logits` (N, K) -> `label` (N,) text and `probabilities` (N, K)."""
    builder = GraphBuilder("answer")
    logits = builder.input("logits", np.float32, ["N", len(classes)])
    builder.op("Softmax", logits, axis=1, output="probabilities")
    number = builder.op("ArgMax", logits, axis=1, keepdims=0)
    builder.op(
        "LabelEncoder",
        number,
        domain="ai.onnx.ml",
        output="label",
        keys_int64s=list(range(len(classes))),
        values_strings=list(classes),
    )
    builder.output("label", object, ["N"])
    builder.output("probabilities", np.float32, ["N", len(classes)])
    return builder.model()
