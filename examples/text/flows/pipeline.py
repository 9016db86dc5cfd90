"""The pipeline as a Prefect flow: one task a stage, in this process, in the order of dvc.yaml.

This file is the project's: add tasks before or after the stages as you like. `ann run` starts it with a server beside
it; a deployment starts it on a worker.
"""

import sys
from functools import cache
from pathlib import Path
from typing import Any

from prefect import flow, runtime, task
from prefect.artifacts import create_markdown_artifact, create_table_artifact
from prefect.client.schemas import State
from prefect.settings import PREFECT_FLOWS_HEARTBEAT_FREQUENCY, temporary_settings

from ann.environment import prepare_environment
from ann.errors import AnnError
from ann.pipeline import Outcome, Pipeline, run_lock
from ann.project import Project
from ann.report.summary import metric_rows, stage_line, summary_markdown


def may_pass(_task: Any, _run: Any, state: State) -> bool:
    """Retry what a moment may mend, a lost connection say; not what the user must mend."""
    try:
        state.result()
    except AnnError:
        return False
    except (ConnectionError, TimeoutError, OSError):
        return True
    except Exception:  # noqa: BLE001 - a defect stays one when tried again
        return False
    return False


def lineage_key() -> str:
    """Name the flow run by the key of the network that it trains."""
    return opened(str(Path(runtime.flow_run.parameters.get("project", ".")).resolve())).key


@cache
def opened(project: str) -> Pipeline:
    """Open the project in a folder once; it reads its files afresh whenever it is asked."""
    return Pipeline(Project.at(project))


@task(retries=2, retry_delay_seconds=[2, 10], retry_condition_fn=may_pass)
def run_stage(name: str, project: str) -> Outcome:
    """Bring one stage up to date; return how it went."""
    outcome = opened(project).run(name)
    print(stage_line(outcome.stage, outcome.how, outcome.seconds), flush=True)
    return outcome


@flow(name="pipeline", flow_run_name=lineage_key)
def pipeline(project: str = ".") -> list[Outcome]:
    """Run every stage of the project in `project`; return how each went."""
    root = Project.at(project)
    prepare_environment(root.state)
    with run_lock(root):
        runner = opened(str(root.root))
        runner.track_data()
        done = [run_stage.with_options(name=name)(name, str(root.root)) for name in runner.stages()]
        if not runner.recorded():
            runner.adopt()
    create_table_artifact(table=metric_rows(root), key="metrics", description="Test metrics of the shipped file")
    create_markdown_artifact(markdown=summary_markdown(root), key="summary")
    return done


def run_here(project: str) -> list[Outcome]:
    """Run the flow in this process, which tells its end itself: without the heartbeat, whose end takes a second."""
    with temporary_settings({PREFECT_FLOWS_HEARTBEAT_FREQUENCY: None}):
        return pipeline(project)


if __name__ == "__main__":
    from ann.cli import main

    raise SystemExit(main(["-C", str(Path(__file__).resolve().parent.parent), "run", *sys.argv[1:]]))
