"""Join preparation, network and answer into the file that is shipped: raw columns in, label and probabilities out."""

import json

import numpy as np
import onnx
from onnx import compose, helper

from ann.data.graph import GraphBuilder
from ann.data.preparation import PREFIX
from ann.data.schema import Schema
from ann.export.network import normalise

NETWORK, ANSWER = "ann:network/", "ann:answer/"
"""Prefixes of the names inside, which no column is likely to have."""


def join(
    preprocess: onnx.ModelProto, network: onnx.ModelProto, schema: Schema, tags: dict[str, str]
) -> onnx.ModelProto:
    """Return one model; its inputs are the raw columns by name, its outputs `label` (N,) and `probabilities` (N, K).

    `tags` are written into the file's metadata beside the labels and the missing markers.
    """
    middle = compose.add_prefix(network, NETWORK)
    groups = [put.name for put in network.graph.input]
    joined = compose.merge_models(
        preprocess,
        middle,
        io_map=[(f"{PREFIX}{group}", f"{NETWORK}{group}") for group in groups],
        outputs=[f"{NETWORK}logits"],
    )
    back = compose.add_prefix(answer_graph(schema.classes), ANSWER, rename_outputs=False)
    joined = compose.merge_models(joined, back, io_map=[(f"{NETWORK}logits", f"{ANSWER}logits")])
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
