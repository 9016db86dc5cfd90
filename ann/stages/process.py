"""Run one stage as a process of its own, which is how `dvc repro` runs it."""

import sys
from collections.abc import Callable

from ann.config import Params
from ann.environment import prepare_environment
from ann.errors import EXIT_INTERRUPTED, EXIT_USER_ERROR, AnnError
from ann.project import Project

Stage = Callable[[Params, Project], None]


def stage_process(run: Stage) -> None:
    """Run a stage in the project in the current folder; a user's mistake ends with one message and exit code 2."""
    try:
        project = Project.at(".")
        prepare_environment(project.state)
        run(project.params(), project)
    except AnnError as error:
        print(f"error: {error}", file=sys.stderr)
        raise SystemExit(EXIT_USER_ERROR) from None
    except KeyboardInterrupt:
        print("interrupted; run the same command again to go on", file=sys.stderr)
        raise SystemExit(EXIT_INTERRUPTED) from None
