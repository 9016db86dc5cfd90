"""Write a torch network as an ONNX graph: column groups in, logits out."""

import logging
import warnings
from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
import torch
from onnx import checker
from torch import nn

from ann.data.batches import TensorData
from ann.data.graph import IR_VERSION, ML_OPSET, OPSET
from ann.errors import StageError
from ann.training.prediction import predict_logits

TOLERANCE = 1e-4
"""Greatest allowed difference of a probability between a float graph and its torch network."""


def export_network(network: nn.Module, example: TensorData) -> onnx.ModelProto:
    """Return the network as ONNX with a free batch size: {"numeric", "categorical"} -> `logits` (N, K).

    BatchNorm is folded into the layer before it. `example` gives types and widths; three rows are enough.
    """
    network.eval()
    inputs = {name: tensor[:3].cpu() for name, tensor in example.inputs.items()}
    rows = torch.export.Dim("N")
    for name in ("torch.onnx", "onnxscript"):
        logging.getLogger(name).setLevel(logging.ERROR)  # they report optional packages that are absent
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        program = torch.onnx.export(
            network.cpu(),
            kwargs={"inputs": inputs},
            dynamo=True,
            dynamic_shapes={"inputs": {name: {0: rows} for name in inputs}},
            input_names=list(inputs),
            output_names=["logits"],
            opset_version=OPSET,
            external_data=False,
            verbose=False,
        )
    assert program is not None
    return normalise(program.model_proto)


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
    wanted = [put.name for put in session.get_inputs()]
    logits: np.ndarray = session.run(["logits"], {name: inputs[name] for name in wanted})[0]
    return logits


def softmax(logits: np.ndarray) -> np.ndarray:
    """(N, K) logits -> (N, K) float64 probabilities."""
    shifted = np.exp(logits.astype(np.float64) - logits.max(axis=1, keepdims=True))
    probabilities: np.ndarray = shifted / shifted.sum(axis=1, keepdims=True)
    return probabilities


def verify_network(model: onnx.ModelProto, network: nn.Module, data: TensorData) -> None:
    """Compare the graph with the torch network on all rows of `data`.

    Raises:
        StageError: a probability differs by more than TOLERANCE.
    """
    cpu = TensorData({name: tensor.cpu() for name, tensor in data.inputs.items()}, data.target.cpu())
    ours = softmax(run_network(model, {name: tensor.numpy() for name, tensor in cpu.inputs.items()}))
    theirs = softmax(predict_logits(network.cpu(), cpu).numpy())
    difference = float(np.abs(ours - theirs).max())
    if not difference <= TOLERANCE:  # a NaN is no agreement
        raise StageError(
            f"the exported graph differs from its network by {difference:.2g} in a probability; "
            f"at most {TOLERANCE:g} is allowed"
        )
