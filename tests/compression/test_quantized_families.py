"""Few bits for every kind of network: which kernels ONNX Runtime runs, and how close the answers are."""

from collections import Counter
from pathlib import Path
from typing import NamedTuple

import numpy as np
import onnx
import onnxruntime as ort
import pytest
import torch
from torch import nn

from ann.compression.aware import aware, simulate
from ann.compression.layers import layers_of, weights_of
from ann.compression.quantization import quantizable, quantize
from ann.config.model import read_model
from ann.data.batches import TensorData
from ann.data.target import Target, classification
from ann.export.network import export_network, run_network
from ann.models import build_network

GROUPS = {
    "numeric": {"width": 3},
    "categorical": {"sizes": [5]},
    "text": {"words": 40, "length": 12},
    "image": {"channels": 3, "height": 12, "width": 12},
    "audio": {"mels": 8, "frames": 20},
    "series": {"length": 24, "channels": 2, "horizon": 3, "targets": [1]},
}
COLUMNS = ("numeric", "categorical")


class Kind(NamedTuple):
    model: dict[str, object]
    groups: tuple[str, ...]
    static: dict[str, int]
    """Kernels that must run in int8."""
    dynamic: dict[str, int]


def text(name: str, **settings: object) -> dict[str, object]:
    return {"family": "text", "embedding": 16, "encoder": {"name": name, **settings}}


def forecast(name: str, **settings: object) -> dict[str, object]:
    return {"family": "forecast", "head": {"name": name, **settings}}


KINDS = {
    "mlp": Kind(
        {"family": "mlp", "hidden": [32, 16], "norm": "batch"}, COLUMNS, {"QGemm": 3}, {"DynamicQuantizeMatMul": 3}
    ),
    "resmlp": Kind({"family": "resmlp", "hidden": [16, 8]}, COLUMNS, {"QGemm": 7}, {}),
    "tabular": Kind(
        {"family": "tabular", "hidden": [32, 32], "bins": 8},
        COLUMNS,
        {"MatMulIntegerToFloat": 2},
        {"DynamicQuantizeMatMul": 2},
    ),
    "cnn": Kind({"family": "cnn", "stages": [8, 16], "hidden": [16]}, ("image",), {"QLinearConv": 4, "QGemm": 2}, {}),
    "flat cnn": Kind(
        {"family": "cnn", "stages": [8], "ending": "flatten", "activation": "gelu"},
        ("image",),
        {"QLinearConv": 2, "QGemm": 1},
        {},
    ),
    "resnet": Kind({"family": "resnet", "stages": [8, 16]}, ("image",), {"QLinearConv": 10, "QGemm": 1}, {}),
    "text windows": Kind(
        text("cnn", windows=[2, 3], units=16), ("text",), {"QLinearConv": 2, "QGemm": 1}, {"DynamicQuantizeMatMul": 1}
    ),
    "text transformer": Kind(
        text("transformer", heads=2, inner=32, layers=2),
        ("text",),
        {"MatMulIntegerToFloat": 8, "QGemm": 1},
        {"DynamicQuantizeMatMul": 9},
    ),
    "text lstm": Kind(
        text("lstm", units=16), ("text",), {"QGemm": 1}, {"DynamicQuantizeLSTM": 2, "DynamicQuantizeMatMul": 3}
    ),
    "speech": Kind(
        {"family": "speech", "channels": [16, 16], "units": 16},
        ("audio",),
        {"QLinearConv": 2, "QGemm": 1},
        {"DynamicQuantizeLSTM": 2},
    ),
    "forecast linear": Kind(forecast("dlinear"), ("series",), {"MatMulIntegerToFloat": 2}, {}),
    "forecast mlp": Kind(forecast("mlp", hidden=[32]), ("series",), {"MatMulIntegerToFloat": 2}, {}),
    "forecast gru": Kind(forecast("rnn", units=16), ("series",), {"QGemm": 1}, {"DynamicQuantizeMatMul": 1, "GRU": 1}),
    "forecast transformer": Kind(
        forecast("transformer", width=16, heads=2, inner=32, layers=1), ("series",), {"MatMulIntegerToFloat": 5}, {}
    ),
    "multimodal": Kind(
        {
            "family": "multimodal",
            "width": 16,
            "hidden": [16],
            "columns": {"hidden": [16]},
            "image": {"stages": [8]},
            "text": {"embedding": 16, "encoder": {"name": "cnn", "units": 16}},
        },
        ("numeric", "text", "image"),
        {"QLinearConv": 5, "QGemm": 6},
        {},
    ),
}


FAST = ("mlp", "cnn", "tabular", "text lstm", "text transformer", "forecast mlp")
EVERY = [pytest.param(kind, marks=[] if kind in FAST else [pytest.mark.slow]) for kind in KINDS]
SHORT = [pytest.param(kind, marks=[] if kind in FAST[:3] else [pytest.mark.slow]) for kind in KINDS]
"""For tests that export twice."""


class Made(NamedTuple):
    network: nn.Module
    data: TensorData
    graph: onnx.ModelProto
    rows: dict[str, np.ndarray]
    logits: np.ndarray


def rows_of(groups: tuple[str, ...], count: int = 96) -> TensorData:
    random = torch.Generator().manual_seed(0)
    columns = {
        "numeric": lambda: torch.randn(count, 3, generator=random),
        "categorical": lambda: torch.randint(5, (count, 1), generator=random),
        "text": lambda: (
            torch.randint(1, 40, (count, 12), generator=random)
            * (torch.arange(12) < torch.randint(3, 13, (count, 1), generator=random))
        ),
        "image": lambda: torch.rand(count, 3, 12, 12, generator=random),
        "audio": lambda: torch.randn(count, 20, 8, generator=random),
        "series": lambda: torch.randn(count, 24, 2, generator=random),
    }
    inputs = {name: columns[name]() for name in groups}
    if "audio" in inputs:
        inputs["audio_frames"] = torch.randint(5, 21, (count,), generator=random)
    return TensorData(inputs, torch.randint(3, (count,), generator=random))


@pytest.fixture(scope="module")
def made() -> dict[str, Made]:
    """Networks as they are made when they are asked for."""
    return {}


def network_of(kind: str, made: dict[str, Made]) -> Made:
    if kind not in made:
        model, groups, _, _ = KINDS[kind]
        target = Target("forecast", ("b",), horizon=3) if "series" in groups else classification(3)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            network = build_network(read_model(model), {name: GROUPS[name] for name in groups}, target)
            data = rows_of(groups)
            if hasattr(network, "adapt"):
                network.adapt(data.inputs)
            with torch.no_grad():
                for parameter in network.parameters():
                    parameter.add_(torch.randn_like(parameter), alpha=0.05)  # nothing is left at its first zero
                for _ in range(3):
                    network.train()(data.inputs)
        graph = export_network(network.eval(), data)
        rows = {name: tensor.numpy() for name, tensor in data.inputs.items()}
        made[kind] = Made(network, data, graph, rows, run_network(graph, rows))
    return made[kind]


def kernels(model: onnx.ModelProto, path: Path) -> Counter[str]:
    """Operators that are left when ONNX Runtime has loaded the graph."""
    options = ort.SessionOptions()
    options.log_severity_level = 3
    options.optimized_model_filepath = str(path)
    ort.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    return Counter(node.op_type for node in onnx.load(path).graph.node)


def off(model: onnx.ModelProto, made: Made) -> float:
    """Root mean square difference of logits, as a share of how they vary."""
    found = run_network(model, made.rows)
    assert np.isfinite(found).all()
    return float(np.sqrt(np.mean((found - made.logits) ** 2)) / made.logits.std())


@pytest.mark.parametrize("kind", EVERY)
def test_static(kind: str, made: dict[str, Made], tmp_path: Path) -> None:
    network = network_of(kind, made)
    model = quantize(network.graph, "static", network.rows)
    assert off(model, network) < 0.1
    found = kernels(model, tmp_path / "loaded.onnx")
    assert {name: found[name] for name in KINDS[kind].static} == KINDS[kind].static
    assert not found["Conv"]
    assert not found["Gemm"]


@pytest.mark.parametrize("kind", EVERY)
def test_dynamic(kind: str, made: dict[str, Made], tmp_path: Path) -> None:
    network = network_of(kind, made)
    model = quantize(network.graph, "dynamic", {})
    assert off(model, network) < 0.1
    found = kernels(model, tmp_path / "loaded.onnx")
    assert {name: found[name] for name in KINDS[kind].dynamic} == KINDS[kind].dynamic
    assert not found["ConvInteger"]


@pytest.mark.parametrize("kind", [kind for kind in EVERY if kind.values[0] not in ("forecast linear", "resmlp")])
def test_weights_alone(kind: str, made: dict[str, Made]) -> None:
    network = network_of(kind, made)
    eight, four = (quantize(network.graph, "weights", {}, bits=bits) for bits in (8, 4))
    assert off(eight, network) < 0.03
    assert off(eight, network) < off(four, network) < 0.6
    assert eight.ByteSize() < network.graph.ByteSize()


@pytest.mark.parametrize("kind", SHORT)
def test_the_graph_answers_what_aware_training_saw(kind: str, made: dict[str, Made], tmp_path: Path) -> None:
    network = network_of(kind, made)
    tuned, ranges = aware(network.network, network.data, lambda simulated: None)
    graph = export_network(tuned, network.data)
    names = weights_of(graph, {name: tensor.numpy() for name, tensor in tuned.state_dict().items()})
    assert sorted(names) == sorted(layer.node for layer in layers_of(graph)) == sorted(quantizable(graph, "aware"))
    assert set(names.values()) == set(ranges)
    model = quantize(graph, "aware", {}, ranges=ranges, network=tuned)
    with torch.no_grad():
        simulated = simulate(tuned, network.data, ranges)(network.data.inputs).numpy()
    # Sums in another order round a value between two codes to the other one now and then.
    share = np.abs(run_network(model, network.rows) - simulated) / network.logits.std()
    assert share.max() < 0.02
    assert (share > 1e-4).mean() < 0.05
    found = kernels(model, tmp_path / "loaded.onnx")
    assert {name: found[name] for name in KINDS[kind].static} == KINDS[kind].static


@pytest.mark.parametrize("kind", ["text lstm", "cnn", "tabular"])
@pytest.mark.parametrize("mode", ["static", "dynamic", "weights"])
def test_the_same_input_gives_the_same_bytes(kind: str, mode: str, made: dict[str, Made]) -> None:
    network = network_of(kind, made)
    first, again = (quantize(network.graph, mode, network.rows).SerializeToString(deterministic=True) for _ in range(2))
    assert first == again


@pytest.mark.parametrize("kind", ["cnn", "text transformer", "text lstm"])
@pytest.mark.parametrize("mode", ["static", "dynamic", "weights"])
def test_each_node_can_stay_in_float(kind: str, mode: str, made: dict[str, Made]) -> None:
    network = network_of(kind, made)
    nodes = quantizable(network.graph, mode)
    everything = off(quantize(network.graph, mode, network.rows), network)
    for node in nodes[:3] + nodes[-1:]:
        assert off(quantize(network.graph, mode, network.rows, exclude={node}), network) < 1.5 * everything + 0.01
    alone = quantize(network.graph, mode, network.rows, exclude=set(nodes) - {nodes[-1]})
    assert 0 < off(alone, network) <= 1.05 * everything
