"""A training that is interrupted anywhere ends with the bits of one that was not; nothing foreign is resumed."""

import json
import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save
from torch import nn

from ann.config.train import TrainParams
from ann.data.batches import TensorData
from ann.errors import BusyError, StageError
from ann.models.mlp import MLP
from ann.training.checkpoints import Checkpoints, forget_finished, open_checkpoints
from ann.training.fit import FitResult, fit
from ann.training.state import EpochRecord, TrainState

BASE = {"epochs": 5, "batch_size": 16, "early_stopping": {"patience": 50}}
VARIANTS = {
    "adamw": {},
    "momentum": {"optimizer": "momentum"},
    "rmsprop": {"optimizer": "rmsprop"},
    "muon": {"optimizer": "muon"},
    "ema": {"average": "ema"},
    "swa": {"average": {"name": "swa", "start": 0.2}},
    "plateau": {"schedule": {"name": "plateau", "patience": 1}, "optimizer": {"lr": 0.3}},
    "one_cycle": {"schedule": "one_cycle"},
    "accumulate": {"accumulate": 3},
    "balanced": {"sampling": "balanced"},
    "noise": {"augment": ["noise"]},
    "fp16": {"precision": "fp16"},
    "bf16": {"precision": "bf16"},
    "metric": {"early_stopping": {"watch": "accuracy", "window": 2}},
    "full batch": {"optimizer": "gd"},
}


class Killed(BaseException):
    """Stands for a process that ends without a word: nothing in the code under test catches it to save."""


def rows(count: int, seed: int) -> TensorData:
    random = torch.Generator().manual_seed(seed)
    inputs = {"numeric": torch.randn(count, 4, generator=random)}
    return TensorData(inputs, (inputs["numeric"][:, 0] > 0).long() + (inputs["numeric"][:, 1] > 1).long())


TRAIN, VALID = rows(120, 0), rows(50, 1)


def new_network() -> MLP:
    torch.manual_seed(3)
    return MLP(width=4, sizes=[], outputs=3, hidden=[12, 8], norm="batch", dropout=0.3)


def digest(network: nn.Module) -> str:
    return sha256(b"".join(tensor.numpy().tobytes() for tensor in network.state_dict().values())).hexdigest()


class AtStep(Checkpoints):
    """Saves after each of the given steps and then dies."""

    def __init__(self, folder: Path, step: int) -> None:
        super().__init__(folder, "key")
        self._at, self._seen = step, 0

    def due(self) -> bool:
        self._seen += 1
        return self._seen >= self._at

    def save(self, state) -> Path:
        path = super().save(state)
        if self._seen >= self._at:
            raise Killed
        return path


def trained(params: TrainParams, checkpoints: Checkpoints | None, seen: list[EpochRecord]) -> tuple[str, FitResult]:
    network = new_network()
    result = fit(
        network,
        TRAIN,
        VALID,
        params,
        seed=5,
        callbacks=(seen.append,),
        resumed=lambda state: seen.extend(state.history),
        checkpoints=checkpoints,
    )
    return digest(network), result


@pytest.mark.parametrize("name", VARIANTS)
def test_killed_in_the_middle_of_epochs_it_ends_with_the_same_bits(name: str, tmp_path: Path) -> None:
    params = TrainParams(**{**BASE, **VARIANTS[name]})
    straight, result = trained(params, None, [])
    deaths = 0
    for step in (1, 9, 4, 13):  # each counted from where the one before had died
        try:
            trained(params, AtStep(tmp_path, step), [])
        except Killed:
            deaths += 1
    seen: list[EpochRecord] = []
    resumed, after = trained(params, Checkpoints(tmp_path, "key"), seen)
    assert deaths == 4 or name == "full batch"
    assert resumed == straight
    assert after.history == result.history == seen
    assert (after.best_epoch, after.best_loss) == (result.best_epoch, result.best_loss)


def test_a_finished_training_is_not_trained_again(tmp_path: Path) -> None:
    params = TrainParams(**BASE)
    first, _ = trained(params, Checkpoints(tmp_path, "key"), [])
    newest = Checkpoints(tmp_path, "key").newest()
    seen: list[EpochRecord] = []
    again, result = trained(params, Checkpoints(tmp_path, "key"), seen)
    assert (again, len(seen)) == (first, 5)
    assert Checkpoints(tmp_path, "key").newest() == newest
    assert Checkpoints(tmp_path, "key").facts()["finished"]
    assert result.history == seen


def test_only_the_newest_checkpoint_is_kept_and_holds_last_and_best(tmp_path: Path) -> None:
    trained(TrainParams(**BASE), Checkpoints(tmp_path, "key"), [])
    files = list(tmp_path.iterdir())
    assert len(files) == 1
    names = {name.split("/")[0] for name in load_file(files[0])}
    assert names == {"network", "best", "optimizer", "random"}


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_saves_between_two_steps_and_ends_training(number: int, tmp_path: Path) -> None:
    params = TrainParams(**BASE)
    straight, _ = trained(params, None, [])

    def interrupt(record: EpochRecord) -> None:
        if record.epoch == 2:
            os.kill(os.getpid(), number)

    network = new_network()
    with pytest.raises(KeyboardInterrupt if number == signal.SIGINT else SystemExit) as raised:
        fit(network, TRAIN, VALID, params, seed=5, callbacks=(interrupt,), checkpoints=Checkpoints(tmp_path, "key"))
    if number == signal.SIGTERM:
        assert raised.value.code == 143
    assert Checkpoints(tmp_path, "key").facts()["epoch"] == 3
    resumed, _ = trained(params, Checkpoints(tmp_path, "key"), [])
    assert resumed == straight
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_a_training_that_diverges_names_its_last_good_checkpoint(tmp_path: Path) -> None:
    network = new_network()
    params = TrainParams(**{**BASE, "epochs": 50, "optimizer": {"name": "sgd", "lr": 90, "weight_decay": 9.0}})
    with pytest.raises(StageError, match=r"training diverged: .* in epoch \d+, step \d+ of 8; .*; the last good check"):
        fit(network, TRAIN, VALID, params, seed=5, checkpoints=Checkpoints(tmp_path, "key"))
    assert all(torch.isfinite(tensor).all() for tensor in load_file(Checkpoints(tmp_path, "key").newest()).values())


def checkpoint(folder: Path) -> Path:
    with pytest.raises(Killed):
        trained(TrainParams(**BASE), AtStep(folder, 5), [])
    return Checkpoints(folder, "key").newest()


@pytest.mark.parametrize("damage", ["flipped", "short", "empty"])
def test_a_damaged_checkpoint_is_refused_with_the_way_out(damage: str, tmp_path: Path) -> None:
    path = checkpoint(tmp_path)
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes({"flipped": bytes(content), "short": content[:-7], "empty": b""}[damage])
    with pytest.raises(StageError, match=r"cannot be resumed: .*damaged; remove .* to train from the start"):
        trained(TrainParams(**BASE), Checkpoints(tmp_path, "key"), [])


def rewritten(path: Path, change) -> None:
    """Write the checkpoint with other facts, under a name that fits its bytes."""
    content = path.read_bytes()
    header = json.loads(content[8 : 8 + int.from_bytes(content[:8], "little")])
    facts = json.loads(header["__metadata__"]["ann"])
    change(facts)
    content = save(load_file(path), {"ann": json.dumps(facts)})
    path.unlink()
    (path.parent / f"checkpoint-000000005-{sha256(content).hexdigest()[:16]}.safetensors").write_bytes(content)


@pytest.mark.parametrize(
    ("facts", "reason"),
    [
        ({"key": "other"}, "it belongs to the training other, and this is key"),
        ({"format": 2}, "its format is 2, and this version of ann reads 1"),
        ({"device": "cuda"}, "it was written on cuda, and this is cpu"),
    ],
)
def test_a_foreign_checkpoint_is_refused_with_the_reason(facts: dict[str, object], reason: str, tmp_path: Path) -> None:
    rewritten(checkpoint(tmp_path), lambda content: content.update(facts))
    with pytest.raises(StageError, match=f"cannot be resumed: {reason}; remove"):
        trained(TrainParams(**BASE), Checkpoints(tmp_path, "key"), [])


def test_a_checkpoint_of_another_network_is_refused(tmp_path: Path) -> None:
    checkpoint(tmp_path)
    network = MLP(width=4, sizes=[], outputs=3, hidden=[12, 9], norm="batch", dropout=0.3)
    with pytest.raises(StageError, match=r"does not fit this network \(size mismatch.*remove"):
        fit(network, TRAIN, VALID, TrainParams(**BASE), seed=5, checkpoints=Checkpoints(tmp_path, "key"))


def test_a_file_that_is_no_checkpoint_is_refused(tmp_path: Path) -> None:
    content = save({"x": torch.zeros(1)})
    (tmp_path / f"checkpoint-000000001-{sha256(content).hexdigest()[:16]}.safetensors").write_bytes(content)
    with pytest.raises(StageError, match="it is not a checkpoint of ann"):
        Checkpoints(tmp_path, "key").facts()


def test_a_torn_file_beside_is_never_read_and_goes(tmp_path: Path) -> None:
    torn = tmp_path / ".checkpoint-000000009-0123456789abcdef.safetensors.tmp"
    torn.write_bytes(b"half")
    with open_checkpoints(tmp_path, "key") as checkpoints:
        assert checkpoints.newest() is None
        assert not torn.exists()


def test_the_second_training_into_one_folder_is_refused_and_names_the_first(tmp_path: Path) -> None:
    with (
        open_checkpoints(tmp_path, "key"),
        pytest.raises(BusyError, match=rf"network key is being trained by process {os.getpid()} on "),
        open_checkpoints(tmp_path, "key"),
    ):
        pass


def test_the_one_who_is_told_of_a_resumed_training_learns_where_it_goes_on(tmp_path: Path) -> None:
    checkpoint(tmp_path)
    seen: list[tuple[int, int, int]] = []

    def resumed(state: TrainState) -> None:
        seen.append((state.epoch, state.done, len(state.history)))

    for _ in range(2):  # the second goes on from the end
        fit(
            new_network(),
            TRAIN,
            VALID,
            TrainParams(**BASE),
            seed=5,
            resumed=resumed,
            checkpoints=Checkpoints(tmp_path, "key"),
        )
    assert seen == [(1, 5, 0), (6, 0, 5)]


def test_another_number_of_threads_or_version_of_torch_is_told(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    rewritten(checkpoint(tmp_path), lambda content: content.update({"threads": 7, "torch": "1.0"}))
    trained(TrainParams(**BASE), Checkpoints(tmp_path, "key"), [])
    assert "resumed with threads 1, begun with 7: the result may differ in its last bits" in caplog.text
    assert f"resumed with torch {torch.__version__}, begun with 1.0" in caplog.text


def test_a_training_that_goes_on_as_it_began_warns_of_nothing(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    checkpoint(tmp_path)
    trained(TrainParams(**BASE), Checkpoints(tmp_path, "key"), [])
    assert not caplog.text


def test_a_checkpoint_whose_facts_were_asked_for_is_read_from_the_disk_once(tmp_path: Path) -> None:
    path = checkpoint(tmp_path)
    straight, _ = trained(TrainParams(**BASE), None, [])
    checkpoints = Checkpoints(tmp_path, "key")
    assert checkpoints.facts()["done"] == 5
    path.write_bytes(b"")
    assert trained(TrainParams(**BASE), checkpoints, [])[0] == straight


@contextmanager
def folder(root: Path, key: str, epochs: int | None) -> Iterator[None]:
    (root / key).mkdir()
    if epochs is None:
        with pytest.raises(Killed):
            fit(new_network(), TRAIN, VALID, TrainParams(**BASE), seed=1, checkpoints=AtStep(root / key, 3))
    else:
        fit(new_network(), TRAIN, VALID, TrainParams(**BASE), seed=1, checkpoints=Checkpoints(root / key, key))
    yield


def test_finished_trainings_are_forgotten_and_unfinished_ones_kept(tmp_path: Path) -> None:
    with folder(tmp_path, "old", 5), folder(tmp_path, "now", 5), folder(tmp_path, "key", None):
        forget_finished(tmp_path, keep="now")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["key", "now"]
