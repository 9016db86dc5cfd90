"""`ann run`: ask DVC, start Prefect beside the imports, run the project's flow, tell what came out."""

import gc
import importlib.util
import os
import sys
from contextlib import ExitStack
from datetime import UTC, datetime
from time import time
from types import ModuleType

import psutil

from ann.config import override_params
from ann.errors import ConfigError
from ann.pipeline import Outcome, Pipeline, run_lock
from ann.project import Project
from ann.report.summary import print_summary
from ann.server import PrefectServer

SERVER_VARIABLE = "PREFECT_API_URL"


def run_project(project: Project, overrides: list[str]) -> None:
    """Bring the project up to date, and print a summary.

    Raises:
        AnnError: a stage, the configuration or the data has a mistake that the user can mend.
        BusyError: the project is being run already.
    """
    with run_lock(project), ExitStack() as ending:
        if overrides:
            override_params(project.params_file, overrides)
        pipeline = Pipeline(project)
        if pipeline.pull_data():
            print(f"fetched {project.params().data.path}, which {project.data_file.name} tracks")
        if stale := pipeline.stale():
            server = None if os.environ.get(SERVER_VARIABLE) else PrefectServer(project)
            if server:
                ending.callback(server.stop)
            outcomes = _run_flow(pipeline, stale, server)
        else:
            outcomes = []
            _record(pipeline)
        print_summary(project)
    _print_times(outcomes)


def _run_flow(pipeline: Pipeline, stale: list[str], server: PrefectServer | None) -> list[Outcome]:
    """Run the project's own flow, against the server that was started for it or the one that is set."""
    os.environ["PREFECT_LOGGING_LEVEL"] = "CRITICAL"  # a stage's error is told once, by the command
    pipeline.track_data()
    names = pipeline.stages()
    first = min((names.index(name) for name in stale if name in names), default=0)
    pipeline.preload(names[first:])
    if server:
        os.environ[SERVER_VARIABLE] = server.url
    flow = load_flow(pipeline.project)
    _collect_garbage_again()
    if server:
        server.wait()
    outcomes: list[Outcome] = flow.run_here(str(pipeline.project.root))
    if server:
        server.ask_to_stop()
    return outcomes


def _record(pipeline: Pipeline) -> None:
    """Nothing is stale: make sure that MLflow knows."""
    if pipeline.recorded():
        print("nothing to do: every stage is up to date")
    else:
        print("every stage is up to date; writing the results into MLflow, which does not hold them")
        pipeline.preload(["register"])
        _collect_garbage_again()
        pipeline.adopt()


def _collect_garbage_again() -> None:
    """End what the command began: what the imports made stays for good and is not looked through again."""
    gc.freeze()
    gc.enable()


def load_flow(project: Project) -> ModuleType:
    """Import the project's flows/pipeline.py by its path.

    Raises:
        ConfigError: it is not there.
    """
    if not project.flow_file.is_file():
        raise ConfigError(f"{project.flow_file} does not exist: copy it from another project, or run `dvc repro`")
    spec = importlib.util.spec_from_file_location("ann_project_flow", project.flow_file)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


def _print_times(outcomes: list[Outcome]) -> None:
    """Print the wall time of this process beside the stages' own."""
    wall = time() - psutil.Process().create_time()
    own = sum(outcome.seconds for outcome in outcomes)
    ended = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    print(f"\n{ended}  {wall:.1f} s = {own:.1f} s in stages + {wall - own:.1f} s around them (imports, Prefect, DVC)")
