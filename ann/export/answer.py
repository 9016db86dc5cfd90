"""The end of the shipped file: a network's outputs become labels, probabilities or predictions in their own unit."""

import numpy as np
import onnx

from ann.data.graph import GraphBuilder
from ann.data.target import Target

THRESHOLD = 0.5
"""A label is set where its probability is above."""


def answer_graph(target: Target) -> onnx.ModelProto:
    """Return the graph from `logits` (N, outputs) to the file's outputs.

    Classes: `label` (N,) text and `probabilities` (N, K). Labels: `labels` (N, L) bool and `probabilities` (N, L).
    Numbers: `prediction` (N,); with several targets M (N, M), with Q quantiles one axis more; a forecast is
    (N, H, C), with quantiles (N, H, C, Q).
    """
    builder = GraphBuilder("answer")
    logits = builder.input("logits", np.float32, ["N", target.outputs])
    if target.has_classes:
        _classes(builder, logits, target)
    elif target.task == "multilabel":
        _labels(builder, logits, target)
    else:
        _numbers(builder, logits, target)
    return builder.model()


def prediction_shape(target: Target) -> list[int]:
    """Return the shape of a row's prediction."""
    quantiles = [len(target.quantiles)] if target.quantiles else []
    if target.task == "forecast":
        return [target.horizon, len(target.names), *quantiles]
    return ([len(target.names)] if len(target.names) > 1 else []) + quantiles


def _classes(builder: GraphBuilder, logits: str, target: Target) -> None:
    builder.op("Softmax", logits, axis=1, output="probabilities")
    number = builder.op("ArgMax", logits, axis=1, keepdims=0)
    builder.op(
        "LabelEncoder",
        number,
        domain="ai.onnx.ml",
        output="label",
        keys_int64s=list(range(len(target.classes))),
        values_strings=list(target.classes),
    )
    builder.output("label", object, ["N"])
    builder.output("probabilities", np.float32, ["N", len(target.classes)])


def _labels(builder: GraphBuilder, logits: str, target: Target) -> None:
    probabilities = builder.op("Sigmoid", logits, output="probabilities")
    threshold = builder.constant("threshold", np.array(THRESHOLD, np.float32))
    builder.op("Greater", probabilities, threshold, output="labels")
    builder.output("labels", bool, ["N", len(target.names)])
    builder.output("probabilities", np.float32, ["N", len(target.names)])


def _numbers(builder: GraphBuilder, logits: str, target: Target) -> None:
    """Undo the scaling of each number."""
    columns, quantiles = len(target.names), max(1, len(target.quantiles))
    whole = builder.constant("whole", np.array([-1, max(1, target.horizon), columns, quantiles], np.int64))
    values = builder.op("Reshape", logits, whole)
    scale = builder.constant("scale", np.array(target.scale, np.float32).reshape(columns, 1))
    shift = builder.constant("shift", np.array(target.shift, np.float32).reshape(columns, 1))
    values = builder.op("Add", builder.op("Mul", values, scale), shift)
    shape = prediction_shape(target)
    wanted = builder.constant("shape", np.array([-1, *shape], np.int64))
    builder.op("Reshape", values, wanted, output="prediction")
    builder.output("prediction", np.float32, ["N", *shape])
