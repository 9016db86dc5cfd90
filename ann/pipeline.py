"""The runner: one stage at a time through DVC, so that `dvc repro` and a Prefect flow are two doors to one room.

A stage that DVC finds fresh is left alone; one that it has seen with the same inputs is restored from its run cache;
else the stage's function is called in this process and its outputs are committed. dvc.lock and the run cache come out
as `dvc repro` would write them.
"""

import importlib
import json
import logging
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import ExitStack, chdir, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from time import perf_counter
from typing import Any

from dvc.exceptions import DvcException
from dvc.lock import LockError, make_lock
from dvc.repo import Repo, lock_repo
from dvc.repo.reproduce import get_active_graph, plan_repro
from dvc.rwlock import RWLOCK_FILE, RWLOCK_LOCK, rwlock
from dvc.stage import PipelineStage
from dvc.stage.cache import RunCacheNotFoundError
from filelock import FileLock, Timeout

from ann.artifacts import file_sha256, load_json
from ann.config import Params
from ann.config.data import DataParams
from ann.data.sources import format_of, read_file, read_table
from ann.errors import BusyError, ConfigError, DataError, StageError
from ann.lineage import lineage_of
from ann.project import Project
from ann.tracking.presence import holds

log = logging.getLogger("ann.pipeline")

DATA = "data.dvc"
PRELOADED = ("torch._dynamo", "torch.onnx._internal.exporter._core", "onnxscript.optimizer")
"""What torch.onnx imports at its first export."""


@dataclass(frozen=True)
class Outcome:
    """How one stage went."""

    stage: str
    how: str
    """`fresh`, `restored` or `ran`."""
    seconds: float
    """Wall time of the stage's own function; 0 unless it ran."""


class Pipeline:
    """The stages of one project, in DVC's order."""

    def __init__(self, project: Project) -> None:
        """Open the project.

        Raises:
            ConfigError: params.yaml is wrong, or the folder is no DVC project.
        """
        self.project = project
        project.params()
        logging.getLogger("dvc").setLevel(logging.ERROR)
        try:
            self.repo = Repo(str(project.root))
        except DvcException:
            raise ConfigError(
                f"{project.root} is not a DVC project: run `git init` and `dvc init` there; an unpacked ZIP has no .git"
            ) from None
        if os.path.realpath(self.repo.root_dir) != str(project.root):
            raise ConfigError(f"{project.root} has no .dvc folder of its own: run `dvc init --subdir` there")

    @property
    def params(self) -> Params:
        """The parameters as params.yaml holds them now."""
        return self.project.params()

    @property
    def key(self) -> str:
        """The lineage key that training with the present data, parameters and code has."""
        return lineage_of("train", self.params, self.project).key

    def stages(self) -> list[str]:
        """Return the names of all stages of the project's dvc.yaml, in the order in which `dvc repro` takes them."""
        with self.locked():
            order = plan_repro(get_active_graph(self.repo.index.graph))
        return [stage.name for stage in order if isinstance(stage, PipelineStage) and stage.path_in_repo == "dvc.yaml"]

    def stale(self) -> list[str]:
        """Return what DVC finds changed: stages, and data.dvc when the data differs from it."""
        with self.locked():
            return list(self.repo.status([*self.stages(), *self._tracked()]))

    def recorded(self) -> bool:
        """Return whether MLflow holds the run and the version of what lies in `build/`."""
        build = self.project.build
        if not (build.model.exists() and build.train_summary.exists()):
            return False
        key = load_json(build.train_summary)["lineage"]["key"]
        return holds(self.project, key=key, name=self.params.register_.name, sha256=file_sha256(build.model))

    def preload(self, stages: list[str]) -> None:
        """Import what the stages need, so that their own time holds no imports."""
        for name in stages:
            self._function(name)
        if {"compress", "export"} & set(stages):
            for module in PRELOADED:
                importlib.import_module(module)

    def pull_data(self) -> bool:
        """Fetch the data that data.dvc tracks where it is not there yet; return whether anything was fetched.

        Raises:
            DataError: no remote holds it.
        """
        if (self.project.root / self.params.data.path).exists() or not self._tracked():
            return False
        with self.locked():
            try:
                self.repo.pull(targets=[DATA])
            except DvcException as error:
                reason = " ".join(line.strip() for line in str(error).splitlines() if "://error.dvc.org" not in line)
                raise DataError(
                    f"{self.params.data.path} is not there, and `dvc pull {DATA}` could not fetch it: {reason}; "
                    f"add a remote that holds it, or put the data back"
                ) from None
        return True

    def track_data(self) -> None:
        """Bring data.dvc up to the data, as `dvc repro` does.

        Raises:
            DataError: the data is not there.
        """
        with self.locked():
            if not (tracked := self._tracked()) or not self.repo.status(tracked):
                return
            if not (self.project.root / self.params.data.path).exists():
                raise DataError(f"{self.params.data.path} is not there, but {DATA} tracks it: run `dvc pull {DATA}`")
            self.repo.commit(DATA, force=True)

    def run(self, name: str) -> Outcome:
        """Bring one stage up to date.

        Raises:
            AnnError: the stage found a mistake of the user's.
            StageError: an input changed while the stage ran; its outputs are not committed.
            BusyError: another process works on the same files.
        """
        with self.locked():
            if not self.repo.status([name]):
                return Outcome(name, "fresh", 0.0)
            [stage] = self.repo.stage.collect(name)
            if self._restore(stage):
                return Outcome(name, "restored", 0.0)
            before = _inputs(stage)
        with self._files_locked(stage):
            started = perf_counter()
            self._function(name)(self.params, self.project)
            seconds = perf_counter() - started
        with self.locked():
            [stage] = self.repo.stage.collect(name)
            changed = sorted(path for path, value in _inputs(stage).items() if before.get(path) != value)
            if changed:
                raise StageError(
                    f"{', '.join(changed)} changed while {name} ran: its outputs are not committed; run again"
                )
            self.repo.commit(name, force=True)
        return Outcome(name, "ran", seconds)

    def adopt(self) -> None:
        """Write what lies in `build/` into an MLflow store that does not hold it; nothing is computed again."""
        self._function("register")(self.params, self.project)
        with self.locked():
            self.repo.commit("register", force=True)

    def _tracked(self) -> list[str]:
        return [DATA] if self.project.data_file.exists() else []

    def _restore(self, stage: Any) -> bool:
        if not all(dep.exists for dep in stage.deps):  # the stage itself tells best what is missing
            return False
        stage.remove_outs(ignore_remove=False, force=False)  # as `dvc repro` does; what is persistent stays
        try:
            self.repo.stage_cache.restore(stage)
        except RunCacheNotFoundError:
            return False
        self.repo.commit(stage.addressing, force=True)
        return True

    def _function(self, name: str) -> Callable[[Params, Project], None]:
        try:
            run: Callable[[Params, Project], None] = importlib.import_module(f"ann.stages.{name}").run
        except ModuleNotFoundError as error:
            if error.name != f"ann.stages.{name}":
                raise
            raise ConfigError(f"dvc.yaml: stage {name!r} is none of ann's; run it with `dvc repro {name}`") from None
        return run

    @contextmanager
    def _files_locked(self, stage: Any) -> Iterator[None]:
        """Hold DVC's own locks on the stage's files, so that a `dvc repro` beside us waits or refuses."""
        reads, writes = ([item.fs_path for item in items] for items in (stage.deps, stage.outs))
        with ExitStack() as held:
            with self.locked():
                held.enter_context(rwlock(self.repo.tmp_dir, self.repo.fs, "ann run", reads, writes, hardlink=False))
            yield

    @contextmanager
    def locked(self) -> Iterator[Repo]:
        """Hold DVC's lock on the project, in its folder (where DVC resolves names), with the files read afresh."""
        try:
            with chdir(self.project.root), lock_repo(self.repo):
                _discard_torn_rwlock(Path(self.repo.tmp_dir))
                yield self.repo
        except LockError as error:
            raise BusyError(f"DVC: {error}") from None
        except DvcException as error:
            raise DataError(f"DVC: {error}") from None


@contextmanager
def run_lock(project: Project) -> Iterator[None]:
    """Allow one run in a project at a time; the process that holds it may enter again.

    Raises:
        BusyError: another process is running it.
    """
    path = project.run_lock
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    owner = path.with_suffix(".pid")
    lock = FileLock(path, blocking=False, is_singleton=True)
    try:
        lock.acquire()
    except Timeout:
        pid = owner.read_text(encoding="utf-8").strip() if owner.exists() else "unknown"
        raise BusyError(
            f"{project.root} is being run by process {pid}: wait for it, or stop it with `kill {pid}`"
        ) from None
    owner.write_text(str(os.getpid()), encoding="utf-8")
    try:
        yield
    finally:
        lock.release()


def _discard_torn_rwlock(folder: Path) -> None:
    """Remove DVC's list of files in use where a killed process left it torn; DVC writes it in place.

    Whoever writes it holds its guard, so one that is torn under the guard has no writer any more.
    """
    file = folder / RWLOCK_FILE
    if _whole_json(file):
        return
    with make_lock(str(folder / RWLOCK_LOCK), tmp_dir=str(folder)):
        if not _whole_json(file):
            file.unlink()
            log.warning("%s was left torn by a process that was killed; it is removed", file)


def _whole_json(file: Path) -> bool:
    try:
        json.loads(file.read_bytes())
    except FileNotFoundError:
        return True
    except ValueError:
        return False
    return True


def _inputs(stage: Any) -> dict[str, Any]:
    """Return the present hash of each dependency; for a params file the values that the stage reads."""
    stage.save_deps(allow_missing=True)
    return {str(dep): dep.hash_info.value for dep in stage.deps}


def add_data(project: Project, files: list[Path]) -> list[Path]:
    """Copy each file or folder into data/ under a dated name, track data/ with DVC, and return the new paths.

    They must have the columns of what is there; nothing is kept when one is refused.

    Raises:
        DataError: a file does not exist or cannot be part of the data set.
    """
    params = project.params().data
    folder = project.root / params.path
    if folder.suffix:
        raise ConfigError(f"data.path: {params.path} names one file; files can only be added to a folder, such as data")
    for file in files:
        _require_data(file, params)
    stamp = datetime.now(UTC).strftime("%Y-%m-%dT%H%M%SZ")
    targets = [folder / f"{stamp}-{file.resolve().name}" for file in files]
    for target in targets:
        if target.exists() or targets.count(target) > 1:
            raise DataError(f"{target.name} would be there twice: rename a file, or add one after the other")
    made = not folder.exists()
    folder.mkdir(exist_ok=True)
    try:
        for file, target in zip(files, targets, strict=True):
            _copy_whole(file, target, project)
        read_table(params, project)
        with Pipeline(project).locked() as repo:
            repo.add(str(folder))
    except BaseException:
        for target in targets:
            _remove(target)
        if made:
            _remove(folder)
        raise
    return targets


def _require_data(file: Path, data: DataParams) -> None:
    """Raise DataError where a file or folder cannot be part of the data set, as far as it can be told alone."""
    if not file.exists():
        raise DataError(f"{file} does not exist")
    if file.is_file() and format_of(file) in ("csv", "parquet"):
        read_file(file, data)
    if file.is_dir() and not any(format_of(path) for path in file.rglob("*") if path.is_file()):
        raise DataError(f"{file} holds no file that can be read: add a folder of tables, images or sounds")


def _copy_whole(file: Path, target: Path, project: Project) -> None:
    """Copy through a neighbour of the data folder, in which a torn file would become data."""
    beside = project.root / f".{target.name}.tmp"
    try:
        if file.is_dir():
            shutil.copytree(file, beside)
        else:
            shutil.copyfile(file, beside)
        beside.replace(target)
    finally:
        _remove(beside)


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    path.unlink(missing_ok=True)
