"""An ONNX file that was not trained here, and rows as it reads them."""

import json
import tempfile
from dataclasses import dataclass
from pathlib import Path

import mlflow
import numpy as np
import onnx
from mlflow import MlflowClient
from mlflow.exceptions import MlflowException
from onnx import TensorProto, helper, numpy_helper, version_converter

from ann.data.graph import IR_VERSION, OPSET
from ann.errors import ConfigError, DataError, did_you_mean
from ann.export.network import normalise, open_session
from ann.foreign.networks import reason_of
from ann.foreign.rows import Arrays, Rows, as_one
from ann.predict import Model
from ann.tracking.store import Store, resolving

REGISTRY = "models:/"
LEAST = 1e-12
"""Below it a probability has no logarithm."""
LOGITS = "logits"
FLOATS = (np.float16, np.float32, np.float64)
NUMPY: dict[int, type] = {
    TensorProto.BOOL: np.bool_,
    TensorProto.DOUBLE: np.float64,
    TensorProto.FLOAT: np.float32,
    TensorProto.FLOAT16: np.float16,
    TensorProto.INT16: np.int16,
    TensorProto.INT32: np.int32,
    TensorProto.INT64: np.int64,
    TensorProto.INT8: np.int8,
    TensorProto.UINT8: np.uint8,
}


@dataclass(frozen=True, eq=False)
class Given:
    """A file as it came."""

    graph: onnx.ModelProto
    """At the operator set of this program, every node named."""
    metadata: dict[str, str]
    reader: Model | None
    """Makes inputs of raw rows where `ann` exported the file."""

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the classes in the order of the outputs, where the file tells them."""
        return tuple(json.loads(self.metadata.get("ann.classes", "[]")))


def load_onnx(source: str, registry: str | None = None) -> Given:
    """Return a file, or a registered model of the MLflow at `registry`.

    Raises:
        ConfigError: there is no such file, it is no ONNX, or its operators cannot be converted.
    """
    if not source.startswith(REGISTRY):
        return _read(Path(source), source)
    with tempfile.TemporaryDirectory() as folder:
        return _read(_from_registry(source, registry, Path(folder)), source)


def _from_registry(uri: str, registry: str | None, folder: Path) -> Path:
    if registry is None:
        raise ConfigError(
            f"--model: {uri} is an address in an MLflow registry: name its project with -C, or set MLFLOW_TRACKING_URI"
        )
    try:
        with resolving(Store(MlflowClient(registry), "", registry)):
            mlflow.artifacts.download_artifacts(uri, dst_path=str(folder))
    except (MlflowException, OSError) as error:
        raise ConfigError(f"--model: {uri} cannot be had from the registry {registry}: {reason_of(error)}") from None
    found = sorted(folder.rglob("*.onnx"))
    if len(found) != 1:
        raise ConfigError(f"--model: {uri} holds {len(found)} .onnx files, one is needed")
    return found[0]


def _read(path: Path, source: str) -> Given:
    if not path.is_file():
        raise ConfigError(f"--model: there is no file {path}")
    try:
        model = onnx.load(path)
        onnx.checker.check_model(model)
    except Exception as error:  # noqa: BLE001 - protobuf, checker and onnx have no common error
        raise ConfigError(f"--model: {source} is no ONNX file: {reason_of(error)}") from None
    metadata = {entry.key: entry.value for entry in model.metadata_props}
    version = next((opset.version for opset in model.opset_import if opset.domain in ("", "ai.onnx")), OPSET)
    try:
        converted = model if version == OPSET else version_converter.convert_version(model, OPSET)
        converted.ir_version = IR_VERSION
        graph = normalise(_tidied(converted))
        open_session(graph)
    except Exception as error:  # noqa: BLE001 - the converter raises RuntimeError and its own
        raise ConfigError(
            f"--model: {source} is of operator set {version}, and as {OPSET} it does not run: {reason_of(error)}; "
            f"export it again with operator set {OPSET}"
        ) from None
    return Given(graph, metadata, Model(path) if "ann.task" in metadata else None)


def _tidied(model: onnx.ModelProto) -> onnx.ModelProto:
    """Name every node, by which it can be left in float; take constants off the inputs, where old files list them."""
    for number, node in enumerate(model.graph.node):
        node.name = node.name or f"{node.op_type}_{number}"
    constants = {tensor.name for tensor in model.graph.initializer}
    inputs = [put for put in model.graph.input if put.name not in constants]
    del model.graph.input[:]
    model.graph.input.extend(inputs)
    return model


def fed(given: Given, rows: Rows, folder: Path) -> Arrays:
    """Return the rows as the graph's inputs: by name, or all columns together for a single matrix.

    `folder` is where files lie that rows name.

    Raises:
        ConfigError: an input is not there, or of a type that no rows have.
        DataError: a text stands where a number belongs.
    """
    if given.reader is not None:
        given.reader.require_columns(list(rows.inputs))
        columns = [rows.inputs[name] for name in given.reader.columns_read]
        records = [dict(zip(given.reader.columns_read, cells, strict=True)) for cells in zip(*columns, strict=True)]
        return given.reader.inputs(records, folder=folder)
    inputs, wanted = rows.inputs, given.graph.graph.input
    if len(wanted) == 1 and wanted[0].name not in inputs:
        whole = next(iter(inputs.values())) if len(inputs) == 1 and not rows.table else as_one(inputs)
        inputs = {wanted[0].name: whole}
    return {put.name: _typed(put, inputs) for put in wanted}


def _typed(put: onnx.ValueInfoProto, inputs: Arrays) -> np.ndarray:
    if put.name not in inputs:
        raise ConfigError(
            f"--data has no {put.name!r}, which the file of --model reads{did_you_mean(put.name, list(inputs))}"
        )
    values, kind = inputs[put.name], put.type.tensor_type.elem_type
    if kind == TensorProto.STRING:
        return values.astype(str).astype(object)
    if kind not in NUMPY:
        raise ConfigError(
            f"--model: its input {put.name} is of the type {TensorProto.DataType.Name(kind)}, which no rows have"
        )
    if values.dtype.kind not in "biuf":
        raise DataError(f"{put.name} must hold numbers, it holds texts such as {next(iter(values.reshape(-1)))!r}")
    return values.astype(NUMPY[kind])


def answers_of(graph: onnx.ModelProto, inputs: Arrays) -> tuple[str, np.ndarray]:
    """Return the name and the values of the output that holds K fractions a row; (N,) is taken for K = 1.

    Raises:
        ConfigError: there is none, or the graph does not take the rows.
        DataError: it answers NaN or infinity.
    """
    session = open_session(graph)
    names = [put.name for put in session.get_outputs()]
    try:
        found = dict(zip(names, session.run(None, inputs), strict=True))
    except Exception as error:  # noqa: BLE001 - ONNX Runtime raises many types
        raise ConfigError(
            f"--model does not take the {len(next(iter(inputs.values())))} rows of --data: {reason_of(error)}; the "
            f"first dimension of inputs and outputs must be free, and the others those of the rows"
        ) from None
    numbers = {name: values for name, values in found.items() if getattr(values, "dtype", None) in FLOATS}
    for axes in (2, 1):
        for name, values in numbers.items():
            if values.ndim == axes:
                return name, _finite(values.reshape(len(values), -1))
    raise ConfigError(
        f"--model: none of the outputs {', '.join(names)} holds a row of fractions for each row: export one that does "
        f"(of sklearn's classifiers with zipmap=False)"
    )


def _finite(answers: np.ndarray) -> np.ndarray:
    if wrong := int((~np.isfinite(answers)).any(axis=1).sum()):
        raise DataError(
            f"the network answers NaN or infinity about {wrong} of {len(answers)} rows of --data: remove rows with NaN"
        )
    return answers


def with_logits(model: onnx.ModelProto, output: str, *, probabilities: bool) -> onnx.ModelProto:
    """Return a copy whose only output is `logits` (N, K): that output, or the logarithm of probabilities."""
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    output = _renamed(copy, LOGITS, "judge/given") if output == LOGITS else output
    _renamed(copy, LOGITS, "judge/other")
    nodes = [
        helper.make_node("Cast", [output], ["judge/float"], name="judge/cast", to=TensorProto.FLOAT),
        helper.make_node("Flatten", ["judge/float"], ["judge/rows"], name="judge/flatten", axis=1),
    ]
    value, kind = "judge/rows", "Identity"
    if probabilities:
        copy.graph.initializer.append(numpy_helper.from_array(np.array(LEAST, np.float32), "judge/least"))
        nodes.append(helper.make_node("Max", [value, "judge/least"], ["judge/likely"], name="judge/max"))
        value, kind = "judge/likely", "Log"
    copy.graph.node.extend([*nodes, helper.make_node(kind, [value], [LOGITS], name="judge/logits")])
    del copy.graph.output[:]
    copy.graph.output.append(helper.make_tensor_value_info(LOGITS, TensorProto.FLOAT, ["N", "K"]))
    return copy


def _renamed(model: onnx.ModelProto, old: str, new: str) -> str:
    """Give a value another name throughout the graph, in place, and return that name."""
    for node in model.graph.node:
        for names in (node.input, node.output):
            for index, name in enumerate(names):
                names[index] = new if name == old else name
    return new


def are_probabilities(answers: np.ndarray, rows: Rows) -> bool:
    """Tell whether (N, K) outputs are the probabilities of classes and no logits."""
    whole = np.allclose(answers.sum(axis=1), 1, atol=1e-3) and bool((answers >= 0).all())
    return bool(rows.names) and whole
