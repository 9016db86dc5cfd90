"""A Prefect server for one command: started beside the imports, gone with the command.

It runs Prefect's own application under uvicorn, as Prefect's ephemeral server does, on a free loopback port, with its
SQLite file under the state root. Where PREFECT_API_URL is set, that server is used and none is started.
"""

import ctypes
import json
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path
from time import monotonic, sleep
from urllib.error import URLError
from urllib.request import urlopen

import psutil

from ann.artifacts import replace_text
from ann.errors import AnnError
from ann.project import Project

START_TIMEOUT_S = 120
STOP_TIMEOUT_S = 8
PR_SET_PDEATHSIG = 1  # linux/prctl.h


class PrefectServer:
    """A server process; `wait` gives its address, `stop` ends it."""

    def __init__(self, project: Project) -> None:
        """Start the server without waiting for it; one that a killed command left behind is stopped first."""
        self._record = project.state / "prefect" / "server.json"
        self.log = project.state / "logs" / "prefect-server.log"
        for folder in (self._record.parent, self.log.parent):
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        reap_server(self._record)
        port = _free_port()
        self.url = f"http://127.0.0.1:{port}/api"
        application = ["--factory", "prefect.server.api.server:create_app", "--host", "127.0.0.1", "--port", str(port)]
        with self.log.open("w", encoding="utf-8") as log:
            self._process = subprocess.Popen(
                [
                    sys.executable,
                    "-m",
                    "uvicorn",
                    *application,
                    "--log-level",
                    "error",
                    "--timeout-graceful-shutdown",
                    "2",
                ],
                env={**os.environ, "PREFECT_UI_ENABLED": "false", "PREFECT_SERVER_EPHEMERAL_ENABLED": "true"},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                preexec_fn=_die_with_parent if sys.platform == "linux" else None,
            )
        started = psutil.Process(self._process.pid).create_time()
        record = {"pid": self._process.pid, "started": started, "parent": os.getpid()}
        replace_text(self._record, json.dumps(record))

    def wait(self) -> str:
        """Return the API's address once it answers.

        Raises:
            AnnError: the server ended or does not answer in time; the message names its log.
        """
        deadline = monotonic() + START_TIMEOUT_S
        while monotonic() < deadline:
            if self._process.poll() is not None:
                break
            try:
                with urlopen(f"{self.url}/health", timeout=2) as answer:  # noqa: S310 - loopback
                    if answer.status == 200:
                        return self.url
            except (URLError, OSError):
                sleep(0.05)
        self.stop()
        raise AnnError(f"the Prefect server did not start; {self.log} says why (`ann` needs the versions of its lock)")

    def ask_to_stop(self) -> None:
        """Tell the server to end, without waiting for it."""
        self._process.terminate()

    def stop(self) -> None:
        """End the server and wait until it is gone."""
        self.ask_to_stop()
        try:
            self._process.wait(STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._record.unlink(missing_ok=True)


def reap_server(record: Path) -> None:
    """Stop the server that `record` describes if the command that started it is dead."""
    try:
        found = json.loads(record.read_text(encoding="utf-8"))
        server = psutil.Process(found["pid"])
        if abs(server.create_time() - found["started"]) < 1 and not psutil.pid_exists(found["parent"]):
            server.kill()
    except (FileNotFoundError, ValueError, KeyError, psutil.Error):
        return


def _die_with_parent() -> None:
    """Ask Linux to end this process when its parent ends, however that happens."""
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
