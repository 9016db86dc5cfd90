"""A clean clone of this repository to measure in, with the bundled data pulled."""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from benchmarks.rows import REPOSITORY

BIN = Path(sys.executable).parent


@contextmanager
def clone() -> Iterator[Path]:
    """Yield a clone of HEAD with its own state root; it is removed afterwards."""
    with TemporaryDirectory() as folder:
        root = Path(folder) / "project"
        subprocess.run(["git", "clone", "-q", REPOSITORY, root], check=True)
        run(root, "dvc", "pull", "-q", "data.dvc")
        yield root


def run(root: Path, *command: str, **environment: str) -> str:
    """Run a command of this environment in `root` with the clone's own source, and return what it printed."""
    env = {**os.environ, **environment, "PATH": f"{BIN}{os.pathsep}{os.environ['PATH']}", "PYTHONPATH": str(root)}
    done = subprocess.run(command, cwd=root, env=env, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"{' '.join(command)} failed:\n{done.stdout}{done.stderr}")
    return done.stdout
