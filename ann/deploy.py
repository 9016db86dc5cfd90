"""`ann deploy`: send infra/prefect.yaml to a Prefect server, with the schedule of params.yaml."""

import os
import subprocess
import sys

from ann.errors import AnnError, ConfigError
from ann.project import Project

DEPLOYMENTS = "infra/prefect.yaml"
WORK_POOL = "ann"
SERVER_VARIABLE = "PREFECT_API_URL"


def deploy(project: Project) -> None:
    """Create the work pool if it is missing, and every deployment.

    Raises:
        ConfigError: no server is named, or the project has no deployments.
        AnnError: the server refused.
    """
    if not os.environ.get(SERVER_VARIABLE):
        raise ConfigError(
            f"{SERVER_VARIABLE} names no server: start one with `prefect server start`, "
            f"then export {SERVER_VARIABLE}=http://127.0.0.1:4200/api"
        )
    if not (project.root / DEPLOYMENTS).is_file():
        raise ConfigError(f"{project.root / DEPLOYMENTS} does not exist: copy it from another project")
    schedule = project.params().schedule
    environment = {
        **os.environ,
        "ANN_PROJECT": str(project.root),
        "ANN_CRON": schedule.cron,
        "ANN_TIMEZONE": schedule.timezone,
    }
    if not _prefect(["work-pool", "inspect", WORK_POOL], project, environment, check=False):
        _prefect(["work-pool", "create", WORK_POOL, "--type", "process"], project, environment)
    _prefect(["--no-prompt", "deploy", "--all", "--prefect-file", DEPLOYMENTS], project, environment)


def _prefect(arguments: list[str], project: Project, environment: dict[str, str], *, check: bool = True) -> bool:
    """Run a prefect command; return whether it succeeded."""
    command = [sys.executable, "-m", "prefect", *arguments]
    done = subprocess.run(command, cwd=project.root, env=environment, capture_output=True, text=True, check=False)
    if check and done.returncode:
        last = (done.stdout + done.stderr).strip().splitlines()[-1:]
        raise AnnError(f"`prefect {' '.join(arguments)}` failed: {' '.join(last)}")
    return done.returncode == 0
