"""Wall time of the commands, and what of it is not the stages' own: `python -m benchmarks.pipeline`.

Every figure is of whole processes in a clean clone. A warm run has the state root of earlier runs and a seed that none
of them had, so that each stage is computed.
"""

import argparse
import os
import re
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from time import monotonic, sleep
from urllib.error import URLError
from urllib.request import urlopen

from benchmarks.clone import clone, run
from benchmarks.rows import measured, save

TIMES = re.compile(r"([\d.]+) s = ([\d.]+) s in stages \+ ([\d.]+) s around")


def measure(repeats: int) -> None:
    """Measure each command `repeats` times."""
    note = f"{repeats} runs of the Adult project, median and range"
    with clone() as root:
        run(root, "ann", "run", "-S", "seed=100")
        alone = [_times(run(root, "ann", "run", "-S", f"seed={101 + i}")) for i in range(repeats)]
        with _server(root) as url:
            served = [
                _times(run(root, "ann", "run", "-S", f"seed={201 + i}", PREFECT_API_URL=url)) for i in range(repeats)
            ]
        idle = [_wall(root, "ann", "run") for _ in range(repeats)]
        helped = [_wall(root, "ann", "--help") for _ in range(repeats)]
    for row, values, limit in (
        ("warm run, wall", [wall for wall, _, _ in alone], 60),
        ("warm run, around the stages, no server", [around for _, _, around in alone], 10),
        ("warm run, around the stages, with a server", [around for _, _, around in served], 6),
        ("run with nothing to do", idle, 3),
        ("ann --help", helped, 0.3),
    ):
        save(
            "pipeline",
            measured(
                values, row=row, unit="s", bar=f"<= {limit}", met=lambda x, limit=limit: x <= limit, seeds=[], note=note
            ),
        )


def _times(output: str) -> tuple[float, float, float]:
    found = TIMES.search(output)
    assert found is not None, output
    wall, own, around = (float(text) for text in found.groups())
    return wall, own, around


def _wall(root: Path, *command: str) -> float:
    before = monotonic()
    run(root, *command)
    return monotonic() - before


@contextmanager
def _server(root: Path) -> Iterator[str]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [sys.executable, "-m", "prefect", "server", "start", "--port", str(port), "--no-ui"]
    env = {**os.environ, "PREFECT_HOME": str(root / ".ann" / "prefect"), "PREFECT_SERVER_ANALYTICS_ENABLED": "false"}
    process = subprocess.Popen(command, env=env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    url = f"http://127.0.0.1:{port}/api"
    try:
        for _ in range(300):
            try:
                urlopen(f"{url}/health", timeout=2).close()
                break
            except (URLError, OSError):
                sleep(0.2)
        yield url
    finally:
        process.terminate()
        process.wait()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=5, help="runs of each")
    parser.add_argument("--quick", action="store_true", help="one run of each")
    arguments = parser.parse_args()
    measure(1 if arguments.quick else arguments.repeats)
