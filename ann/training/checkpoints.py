"""A training on disk: killed at any moment, it goes on from there and ends with the same bits.

`<folder>/checkpoint-<step>-<sha256>.safetensors` holds everything: last and best weights, the optimizer, averages,
random state, history. It is written beside, flushed, and renamed, so it is whole or not there; its name is its
checksum. Only the newest is kept.
"""

import json
import logging
import os
import shutil
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from hashlib import sha256
from pathlib import Path
from time import perf_counter
from typing import Any

import torch
from filelock import FileLock, Timeout
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor

from ann.errors import BusyError, StageError
from ann.training.schedules import PlateauState
from ann.training.state import EpochRecord, TrainState

log = logging.getLogger("ann.training")

FORMAT = 1
PAUSE = 100
"""Time between two checkpoints, in times of what one costs: about 1 % of training goes into saving."""
SHORTEST_PAUSE_S = 1.0


@dataclass
class Checkpoints:
    """The checkpoint folder of one training, held by this process alone."""

    folder: Path
    key: str
    run_id: str | None = None
    """The MLflow run that the training writes to."""
    _last_saved: float = field(default_factory=perf_counter)
    _cost_s: float = 0.0
    _read_before: tuple[Path, dict[str, Any], dict[str, Tensor]] | None = None
    """What `facts` read, so that `restore` need not read it again."""

    def due(self) -> bool:
        """Return whether enough time went by since the last one."""
        return perf_counter() - self._last_saved >= max(SHORTEST_PAUSE_S, PAUSE * self._cost_s)

    def save(self, state: TrainState) -> Path:
        """Write the state as the newest checkpoint, and remove the one before."""
        began = perf_counter()
        content = save(_tensors(state), {"ann": json.dumps(self._facts(state))})
        name = f"checkpoint-{state.step:09d}-{sha256(content).hexdigest()[:16]}.safetensors"
        beside = self.folder / f".{name}.tmp"
        with beside.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        beside.replace(self.folder / name)
        _flush_folder(self.folder)
        for old in self.folder.glob("checkpoint-*.safetensors"):
            if old.name != name:
                old.unlink()
        self._last_saved = perf_counter()
        self._cost_s = self._last_saved - began
        return self.folder / name

    def newest(self) -> Path | None:
        """Return the last checkpoint, if there is one."""
        return max(self.folder.glob("checkpoint-*.safetensors"), default=None)

    def facts(self) -> dict[str, Any] | None:
        """Return what the newest checkpoint says about itself, if there is one.

        Raises:
            StageError: it is damaged, or of another training or format.
        """
        path = self.newest()
        if path is None:
            return None
        self._read_before = path, *self._read(path)
        return self._read_before[1]

    def restore(self, state: TrainState) -> bool:
        """Bring `state` to the newest checkpoint; return False where there is none.

        Raises:
            StageError: it is damaged, or of another training, format or device.
        """
        path = self.newest()
        if path is None:
            return False
        held, self._read_before = self._read_before, None
        facts, tensors = held[1:] if held and held[0] == path else self._read(path)
        if facts["device"] != state.device.type:
            raise self._refused(path, f"it was written on {facts['device']}, and this is {state.device.type}")
        try:
            _load(state, facts, tensors)
        except (KeyError, RuntimeError, ValueError) as error:
            raise self._refused(path, f"it does not fit this network ({_short(error)})") from None
        for name, then, now in ((name, facts[name], value()) for name, value in CIRCUMSTANCES.items()):
            if then != now:
                log.warning(
                    "resumed with %s %s, begun with %s: the result may differ in its last bits", name, now, then
                )
        return True

    def _facts(self, state: TrainState) -> dict[str, Any]:
        best = state.best
        return {
            "format": FORMAT,
            "key": self.key,
            "run_id": self.run_id,
            **{name: value() for name, value in CIRCUMSTANCES.items()},
            "device": state.device.type,
            "epoch": state.epoch,
            "done": state.done,
            "losses": state.losses,
            "grad_norm": state.grad_norm,
            "layer_norms": state.layer_norms,
            "accumulate": state.accumulate,
            "stopped_early": state.stopped_early,
            "finished": state.finished,
            "history": [asdict(record) for record in state.history],
            "plateau": asdict(state.plateau) if state.plateau else None,
            "averaged": state.average.count if state.average else None,
            "best": {name: getattr(best, name) for name in BEST},
        }

    def _read(self, path: Path) -> tuple[dict[str, Any], dict[str, Tensor]]:
        content = path.read_bytes()
        if sha256(content).hexdigest()[:16] != path.stem.rsplit("-", 1)[1]:
            raise self._refused(path, "its bytes are not those that its name tells: it is damaged")
        try:
            header = int.from_bytes(content[:8], "little")
            tensors = load(content)
            facts: dict[str, Any] = json.loads(json.loads(content[8 : 8 + header])["__metadata__"]["ann"])
        except (SafetensorError, ValueError, KeyError):
            raise self._refused(path, "it is not a checkpoint of ann") from None
        if facts.get("format") != FORMAT:
            raise self._refused(path, f"its format is {facts.get('format')}, and this version of ann reads {FORMAT}")
        if facts["key"] != self.key:
            raise self._refused(path, f"it belongs to the training {facts['key']}, and this is {self.key}")
        return facts, tensors

    def _refused(self, path: Path, reason: str) -> StageError:
        return StageError(f"{path} cannot be resumed: {reason}; remove {self.folder} to train from the start")


CIRCUMSTANCES: dict[str, Callable[[], object]] = {"torch": lambda: torch.__version__, "threads": torch.get_num_threads}
"""What the last bits of a sum depend on."""
BEST = ("value", "epoch", "reference", "waited", "recent")


@contextmanager
def open_checkpoints(folder: Path, key: str) -> Iterator[Checkpoints]:
    """Hold the folder for this process; the operating system frees it when the process dies.

    Raises:
        BusyError: another process trains into it.
    """
    folder.mkdir(parents=True, exist_ok=True)
    owner = folder / "owner"
    try:
        with FileLock(folder / "lock", blocking=False):
            owner.write_text(f"{os.getpid()} on {socket.gethostname()}", encoding="utf-8")
            for torn in folder.glob(".checkpoint-*.tmp"):
                torn.unlink()
            yield Checkpoints(folder, key)
    except Timeout:
        holder = owner.read_text(encoding="utf-8") if owner.exists() else "unknown"
        raise BusyError(f"network {key} is being trained by process {holder}; wait for it, or stop it") from None


def forget_finished(root: Path, keep: str) -> None:
    """Remove the folders of finished trainings, except that of the key `keep`; unfinished ones can still be resumed."""
    for folder in root.iterdir():
        if folder.name == keep or not folder.is_dir():
            continue
        try:
            with open_checkpoints(folder, folder.name) as checkpoints:
                facts = checkpoints.facts()
            if facts and facts["finished"]:
                shutil.rmtree(folder)
        except (BusyError, StageError):  # not ours to judge now; its own training will tell
            continue


def _tensors(state: TrainState) -> dict[str, Tensor]:
    parts: dict[str, dict[str, Tensor]] = {
        "network": state.network.state_dict(),
        "optimizer": state.optimizer.tensors(),
        "best": state.best.weights,
        "average": state.average.tensors() if state.average else {},
        "scale": {"scale": state.scale.scale, "streak": state.scale.streak} if state.scale else {},
        "random": {"cpu": torch.get_rng_state()},
    }
    if state.device.type == "cuda":
        parts["random"]["cuda"] = torch.cuda.get_rng_state(state.device)
    return {
        f"{part}/{name}": tensor.detach().to("cpu", copy=True).contiguous()
        for part, tensors in parts.items()
        for name, tensor in tensors.items()
    }


def _load(state: TrainState, facts: dict[str, Any], tensors: dict[str, Tensor]) -> None:
    parts: dict[str, dict[str, Tensor]] = {}
    for path, tensor in tensors.items():
        part, name = path.split("/", 1)
        parts.setdefault(part, {})[name] = tensor.to(state.device)
    state.network.load_state_dict(parts["network"])
    state.optimizer.load_tensors(parts.get("optimizer", {}))
    if state.average:
        state.average.load_tensors(parts["average"], facts["averaged"])
    if state.scale:
        state.scale.scale.copy_(parts["scale"]["scale"])
        state.scale.streak.copy_(parts["scale"]["streak"])
    for name in BEST:
        setattr(state.best, name, facts["best"][name])
    state.best.weights = parts.get("best", {})
    state.plateau = PlateauState(**facts["plateau"]) if facts["plateau"] else None
    state.epoch, state.done, state.losses = facts["epoch"], facts["done"], facts["losses"]
    state.grad_norm, state.layer_norms = facts["grad_norm"], facts["layer_norms"]
    state.accumulate, state.stopped_early = facts["accumulate"], facts["stopped_early"]
    state.history = [EpochRecord(**record) for record in facts["history"]]
    torch.set_rng_state(parts["random"]["cpu"].cpu())
    if state.device.type == "cuda":
        torch.cuda.set_rng_state(parts["random"]["cuda"].cpu(), state.device)


def _flush_folder(folder: Path) -> None:
    """A rename lasts through a power cut only when its folder was flushed."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _short(error: Exception) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[min(1, len(lines) - 1)] if lines else type(error).__name__
