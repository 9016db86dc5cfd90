"""Which way a step runs, that the ways agree, and that what cannot run is said."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from ann.config.train import TrainParams
from ann.data.batches import TensorData
from ann.models.mlp import MLP
from ann.training.engine import CompiledStep, EagerStep, build_step, graph_obstacle
from ann.training.fit import FitResult, fit
from ann.training.objective import build_objective
from ann.training.state import TrainState, start_state


def rows(count: int = 96, device: str = "cpu") -> TensorData:
    random = torch.Generator().manual_seed(0)
    x = torch.randn(count, 4, generator=random)
    return TensorData({"numeric": x.to(device)}, (x[:, 0] > 0).long().to(device))


def new_network(dropout: float = 0.0) -> MLP:
    torch.manual_seed(1)
    return MLP(width=4, sizes=[], outputs=2, hidden=[16], norm="layer", dropout=dropout)


def started(**changes: object) -> TrainState:
    network, params = new_network(), TrainParams(batch_size=32, **changes)
    return start_state(network, rows(), params, build_objective(network, rows(), params))


def fitted(device: str = "cpu", **changes: object) -> tuple[MLP, FitResult]:
    network = new_network().to(device)
    params = TrainParams(epochs=3, batch_size=32, early_stopping=None, **changes)
    return network, fit(network, rows(device=device), rows(device=device), params, seed=0)


def test_the_processor_runs_eagerly_by_default() -> None:
    assert isinstance(build_step(started(), rows()), EagerStep)


def test_a_graph_on_a_processor_is_replaced_and_the_log_says_why(caplog) -> None:
    assert isinstance(build_step(started(engine="graphed"), rows()), EagerStep)
    assert "train.engine: graphed needs a CUDA device; steps run eagerly" in caplog.text


def test_what_is_in_the_way_of_a_graph_is_named() -> None:
    assert graph_obstacle(started()) == "a CUDA device"


@pytest.mark.slow
def test_compiled_steps_end_where_eager_ones_do() -> None:
    compiled, result = fitted(engine="compiled")
    eager, reference = fitted(engine="eager")
    for mine, theirs in zip(compiled.parameters(), eager.parameters(), strict=True):
        torch.testing.assert_close(mine, theirs, rtol=1e-4, atol=1e-5)
    assert result.best_loss == pytest.approx(reference.best_loss, rel=1e-4)


@pytest.mark.slow
def test_where_no_compiler_works_steps_run_eagerly_and_the_log_says_why(tmp_path: Path) -> None:
    environment = os.environ | {"CXX": "/nonexistent/c++", "TORCHINDUCTOR_CACHE_DIR": str(tmp_path)}
    process = subprocess.run(
        [sys.executable, "-c", WITHOUT_COMPILER, str(Path(__file__).parent)],
        env=environment,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert process.returncode == 0, process.stderr
    assert "train.engine: compiled does not work here (" in process.stderr
    assert "steps run eagerly" in process.stderr
    assert process.stdout == "the same\n"


WITHOUT_COMPILER = """
import logging, sys
import torch
logging.basicConfig(level=logging.WARNING)
torch.set_num_threads(1)
sys.path.insert(0, sys.argv[1])
from test_engine import fitted
network, result = fitted(engine="compiled")
reference, expected = fitted(engine="eager")
assert result.history == expected.history
assert all(torch.equal(a, b) for a, b in zip(network.parameters(), reference.parameters(), strict=True))
print("the same")
"""


def test_a_compiled_step_is_tried_once(monkeypatch) -> None:
    calls = []
    monkeypatch.setattr(torch, "compile", lambda forward: lambda *given: (calls.append(1), forward(*given))[1])
    state = started(engine="compiled")
    step = build_step(state, rows())
    assert isinstance(step, CompiledStep)
    for _ in range(3):
        step(torch.arange(32), 0.01)
    assert len(calls) == 3


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("optimizer", ["adamw", "adam", "momentum", "rmsprop"])
def test_replayed_graphs_end_where_eager_steps_do(optimizer: str) -> None:
    settings = {"optimizer": {"name": optimizer, "lr": 0.01}, "precision": "fp32"}
    graphed, result = fitted("cuda", engine="graphed", **settings)
    eager, reference = fitted("cuda", engine="eager", **settings)
    for mine, theirs in zip(graphed.parameters(), eager.parameters(), strict=True):
        torch.testing.assert_close(mine, theirs, rtol=1e-3, atol=1e-4)
    assert result.best_loss == pytest.approx(reference.best_loss, rel=1e-3)
