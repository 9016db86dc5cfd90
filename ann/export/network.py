"""Write a torch network as an ONNX graph: column groups in, logits out."""

import functools
import logging
import warnings
from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
import torch
from onnx import checker
from torch import nn
from torch.onnx._internal.exporter._registration import ONNXRegistry

from ann.data.batches import TensorData
from ann.data.graph import IR_VERSION, ML_OPSET, OPSET
from ann.data.target import Target
from ann.errors import StageError
from ann.training.prediction import ROWS_AT_ONCE, predict_logits

TOLERANCE = 1e-4
"""Greatest allowed difference between a float graph and its torch network, as `difference` measures it."""
PADDED = {"text": "T", "audio": "F"}
"""Groups whose second axis, words or frames, is as long as the longest row of a batch, and that axis's name."""


def export_network(network: nn.Module, example: TensorData) -> onnx.ModelProto:
    """Return the network as ONNX: column groups -> `logits` (N, K). Rows, words and frames are free in number.

    BatchNorm is folded into the layer before it. `example` gives types and widths; three rows are enough.
    """
    _keep_operators()
    network.eval()
    inputs = {name: tensor[:3].cpu() for name, tensor in example.inputs.items()}
    rows = torch.export.Dim("N")
    shapes = {name: {0: rows} | ({1: torch.export.Dim(PADDED[name])} if name in PADDED else {}) for name in inputs}
    for name in ("torch.onnx", "onnxscript"):
        logging.getLogger(name).setLevel(logging.ERROR)  # they report optional packages that are absent
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        program = torch.onnx.export(
            network.cpu(),
            kwargs={"inputs": inputs},
            dynamo=True,
            dynamic_shapes={"inputs": shapes},
            input_names=list(inputs),
            output_names=["logits"],
            opset_version=OPSET,
            external_data=False,
            verbose=False,
        )
    assert program is not None
    return normalise(program.model_proto)


@functools.cache
def _keep_operators() -> None:
    """Let torch's exporter build its table of ONNX operators once, and not in each export: that is 40 % of the time."""
    ONNXRegistry.from_torchlib = staticmethod(functools.cache(ONNXRegistry.from_torchlib))  # type: ignore[method-assign]


def normalise(model: onnx.ModelProto) -> onnx.ModelProto:
    """Bring a graph to ann's operator sets and drop what other tools left in it; the result is deterministic."""
    del model.graph.value_info[:]  # shapes of before optimisation, which quantization would trust
    model.ir_version = IR_VERSION
    model.producer_name, model.producer_version = "ann", ""
    for part in (model, model.graph, *model.graph.node, *model.graph.input, *model.graph.output):
        del part.metadata_props[:]
        part.doc_string = ""
    domains = {node.domain for node in model.graph.node} | {"", "ai.onnx.ml"}
    known = {"": OPSET, "ai.onnx.ml": ML_OPSET}
    versions = {opset.domain: opset.version for opset in model.opset_import} | known
    del model.opset_import[:]
    model.opset_import.extend(onnx.helper.make_opsetid(domain, versions[domain]) for domain in sorted(domains))
    checker.check_model(model, full_check=True)
    return model


def open_session(model: onnx.ModelProto | Path, threads: int = 0) -> ort.InferenceSession:
    """Return a session on the CPU; `threads` 0 takes ONNX Runtime's own choice."""
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = 3
    source = model.read_bytes() if isinstance(model, Path) else model.SerializeToString()
    return ort.InferenceSession(source, options, providers=["CPUExecutionProvider"])


def run_network(model: onnx.ModelProto | Path, inputs: dict[str, np.ndarray]) -> np.ndarray:
    """Return the (N, K) logits of prepared rows."""
    session = open_session(model)
    wanted = {put.name: inputs[put.name] for put in session.get_inputs()}
    rows = len(next(iter(wanted.values())))
    parts = [
        session.run(["logits"], {name: values[start : start + ROWS_AT_ONCE] for name, values in wanted.items()})[0]
        for start in range(0, rows, ROWS_AT_ONCE)
    ]
    return np.concatenate(parts)


def difference(ours: np.ndarray, theirs: np.ndarray) -> float:
    """Return the greatest |a - b| / max(1, |b|): of probabilities the difference, of large numbers a share."""
    return float((np.abs(ours - theirs) / np.maximum(1, np.abs(theirs))).max())


def verify_network(model: onnx.ModelProto, network: nn.Module, data: TensorData, target: Target) -> None:
    """Compare the answers of the graph with those of the torch network on all rows of `data`.

    Numbers are compared as they are stored, in standard deviations.

    Raises:
        StageError: an answer differs by more than TOLERANCE.
    """
    cpu = TensorData({name: tensor.cpu() for name, tensor in data.inputs.items()}, data.target.cpu())
    ours = run_network(model, {name: tensor.numpy() for name, tensor in cpu.inputs.items()})
    theirs = predict_logits(network.cpu(), cpu).numpy()
    if not target.has_numbers:
        ours, theirs = target.answers(ours), target.answers(theirs)
    found = difference(ours, theirs)
    if not found <= TOLERANCE:  # a NaN is no agreement
        raise StageError(
            f"the exported graph differs from its network by {found:.2g} in an answer; at most {TOLERANCE:g} is allowed"
        )
