"""Two processes under torchrun take the steps of one: same history, same weights, to rounding; they resume too."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

pytestmark = pytest.mark.slow

SCRIPT = """
import sys
from dataclasses import asdict
from pathlib import Path
import json
import torch
from safetensors.torch import save_file
from ann.config.train import TrainParams
from ann.data.batches import TensorData
from ann.models.mlp import MLP
from ann.training.checkpoints import Checkpoints
from ann.training.distributed import process_group
from ann.training.fit import fit

folder, settings, death = Path(sys.argv[1]), json.loads(sys.argv[2]), int(sys.argv[3])

def rows(count, seed):
    random = torch.Generator().manual_seed(seed)
    x = torch.randn(count, 6, generator=random)
    return TensorData({"numeric": x}, (x[:, 0] > 0).long() + (x[:, 1] > 1).long())

def die(record):
    if record.epoch == death:
        raise SystemExit(9)

torch.manual_seed(4)
network = MLP(width=6, sizes=[], outputs=3, hidden=[16, 8], norm=settings.pop("norm"), dropout=0.0)
with process_group(torch.device("cpu")) as group:
    result = fit(network, rows(205, 0), rows(64, 1), TrainParams(**settings), seed=2, group=group,
                 checkpoints=Checkpoints(folder, "key"), callbacks=(die,))
    if group.leads:
        save_file({name: tensor.clone() for name, tensor in network.state_dict().items()}, folder / "weights.st")
        (folder / "history.json").write_text(json.dumps([asdict(record) for record in result.history]))
"""
BASE = {"epochs": 4, "batch_size": 30, "early_stopping": None, "norm": "layer"}


def run(folder: Path, processes: int, settings: dict[str, object], death: int = 0) -> int:
    folder.mkdir(exist_ok=True)
    script = folder / "script.py"
    script.write_text(SCRIPT)
    launcher = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(processes)]
    command = [sys.executable, *(launcher if processes > 1 else []), script, folder, json.dumps(settings), str(death)]
    env = {**os.environ, "OMP_NUM_THREADS": "1"}
    return subprocess.run(command, env=env, capture_output=True, timeout=200, check=False).returncode


def history(folder: Path) -> list[dict[str, object]]:
    return json.loads((folder / "history.json").read_text())


def assert_equal(folder: Path, other: Path) -> None:
    mine, theirs = load_file(folder / "weights.st"), load_file(other / "weights.st")
    for name, tensor in mine.items():
        torch.testing.assert_close(tensor, theirs[name], rtol=1e-4, atol=2e-5, msg=name)
    for record, twin in zip(history(folder), history(other), strict=True):
        for name in ("lr", "train_loss", "valid_loss", "grad_norm"):
            assert record[name] == pytest.approx(twin[name], rel=1e-4), (record["epoch"], name)


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"norm": "batch", "optimizer": {"name": "momentum", "lr": 0.05}},  # Adam makes steps of rounding
        {"accumulate": 3, "loss": {"name": "focal"}},
        {"average": "ema", "optimizer": {"name": "momentum", "lr": 0.1}, "clip_norm": 0.1},
    ],
    ids=["adamw", "batchnorm", "accumulate", "ema"],
)
def test_two_processes_are_one(changes: dict[str, object], tmp_path: Path) -> None:
    settings = {**BASE, **changes}
    assert run(tmp_path / "one", 1, settings) == 0
    assert run(tmp_path / "two", 2, settings) == 0
    assert_equal(tmp_path / "two", tmp_path / "one")


def test_two_processes_resume_where_they_died(tmp_path: Path) -> None:
    assert run(tmp_path / "straight", 2, BASE) == 0
    assert run(tmp_path / "broken", 2, BASE, death=2) != 0
    assert run(tmp_path / "broken", 2, BASE) == 0
    mine, theirs = (load_file(tmp_path / name / "weights.st") for name in ("broken", "straight"))
    assert all(torch.equal(mine[name], theirs[name]) for name in mine)
    assert history(tmp_path / "broken") == history(tmp_path / "straight")
