"""What a clean resolve of dependencies must still do with real Prefect servers; `pip check` sees neither."""

import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.error import URLError
from urllib.request import Request, urlopen

import pytest

pytestmark = [pytest.mark.slow, pytest.mark.e2e]

FLOW = """
from prefect import flow, task

@task
def double(x):
    return 2 * x

@flow
def small():
    return double(21)

if __name__ == "__main__":
    print("answer", small())
"""


@pytest.fixture
def server(tmp_path: Path) -> Iterator[str]:
    """The address of a Prefect server of the test's own."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    url = f"http://127.0.0.1:{port}/api"
    with (tmp_path / "server.log").open("w") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "prefect", "server", "start", "--port", str(port), "--no-ui"],
            env={**os.environ, "PREFECT_HOME": str(tmp_path / "prefect")},
            stdout=log,
            stderr=log,
        )
        try:
            _wait(lambda: urlopen(f"{url}/health", timeout=2).close() is None, 90)
            yield url
        finally:
            process.terminate()
            process.wait(30)


def _wait(answered, seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while True:
        try:
            if answered():
                return
        except (URLError, OSError):
            pass
        assert time.monotonic() < deadline
        time.sleep(0.2)


def _post(url: str, body: dict) -> list:
    request = Request(url, data=json.dumps(body).encode(), headers={"content-type": "application/json"})
    with urlopen(request, timeout=10) as answer:
        return json.load(answer)


def test_a_flow_runs_with_no_server_set(tmp_path: Path, command) -> None:
    (tmp_path / "small.py").write_text(FLOW)
    done = command("python", "small.py", cwd=tmp_path, PREFECT_HOME=str(tmp_path / "prefect"))
    assert done.returncode == 0, done.stderr
    assert "answer 42" in done.stdout


def test_the_nightly_deployment_gets_scheduled_runs_in_its_time_zone(project: Path, server: str, command) -> None:
    repository = Path(__file__).resolve().parent.parent.parent
    (project / "infra").mkdir()
    (project / "infra" / "prefect.yaml").write_text((repository / "infra" / "prefect.yaml").read_text())
    params = (project / "params.yaml").read_text()
    (project / "params.yaml").write_text(params.replace("schedule: {}", "schedule: {timezone: Europe/Berlin}"))
    done = command("ann", "deploy", cwd=project, PREFECT_API_URL=server)
    assert done.returncode == 0, done.stderr
    [deployment] = _post(f"{server}/deployments/filter", {})
    schedule = deployment["schedules"][0]["schedule"]
    assert (schedule["cron"], schedule["timezone"]) == ("0 3 * * *", "Europe/Berlin")
    scheduled = {"flow_runs": {"state": {"type": {"any_": ["SCHEDULED"]}}}}
    _wait(lambda: len(_post(f"{server}/flow_runs/filter", scheduled)) > 0, 60)
    assert command("ann", "deploy", cwd=project, PREFECT_API_URL=server).returncode == 0


def test_a_worker_runs_the_deployment_and_the_run_is_named_by_its_key(built: Path, server: str, command) -> None:
    repository = Path(__file__).resolve().parent.parent.parent
    (built / "infra").mkdir()
    (built / "infra" / "prefect.yaml").write_text((repository / "infra" / "prefect.yaml").read_text())
    assert command("ann", "deploy", cwd=built, PREFECT_API_URL=server).returncode == 0
    home = str(built / ".ann" / "prefect")
    asked = command("prefect", "deployment", "run", "pipeline/nightly", cwd=built, PREFECT_API_URL=server)
    assert asked.returncode == 0, asked.stderr
    done = command(
        *("prefect", "worker", "start", "--pool", "ann", "--run-once"),
        cwd=built,
        PREFECT_API_URL=server,
        PREFECT_HOME=home,
    )
    assert done.returncode == 0, done.stderr
    runs = _post(f"{server}/flow_runs/filter", {"flow_runs": {"state": {"type": {"any_": ["COMPLETED"]}}}})
    key = json.loads((built / "build" / "train" / "summary.json").read_text())["lineage"]["key"]
    assert [run["name"] for run in runs] == [key]
    tasks = _post(f"{server}/task_runs/filter", {})
    assert len(tasks) == 7
    artifacts = {artifact["key"] for artifact in _post(f"{server}/artifacts/filter", {})}
    assert {"metrics", "summary"} <= artifacts
