"""A project: a folder with params.yaml, dvc.yaml, data.dvc and suite.json, and where its state lives."""

import os
from dataclasses import dataclass
from pathlib import Path

from ann.artifacts import Build
from ann.config import Params, load_params
from ann.errors import ConfigError

STATE_VARIABLE = "ANN_HOME"


@dataclass(frozen=True)
class Project:
    """The absolute paths of one project."""

    root: Path

    @classmethod
    def at(cls, folder: str | Path) -> "Project":
        """Return the project in `folder`.

        Raises:
            ConfigError: there is no params.yaml in it.
        """
        root = Path(folder).resolve()
        if not (root / "params.yaml").is_file():
            raise ConfigError(f"{root} is not a project: it has no params.yaml; go to one, or name it with -C DIR")
        return cls(root)

    @property
    def params_file(self) -> Path:
        return self.root / "params.yaml"

    @property
    def data_file(self) -> Path:
        return self.root / "data.dvc"

    @property
    def flow_file(self) -> Path:
        return self.root / "flows" / "pipeline.py"

    @property
    def build(self) -> Build:
        return Build(self.root / "build")

    @property
    def state(self) -> Path:
        """The state root: `$ANN_HOME`, else `.ann` in the project; always absolute."""
        return Path(os.environ.get(STATE_VARIABLE) or self.root / ".ann").resolve()

    @property
    def run_lock(self) -> Path:
        return self.root / ".ann" / "run.lock"

    @property
    def tracking_uri(self) -> str:
        """`$MLFLOW_TRACKING_URI`, else the absolute URI of the database under the state root."""
        return os.environ.get("MLFLOW_TRACKING_URI") or f"sqlite:///{self.state / 'mlflow.db'}"

    def params(self) -> Params:
        """Read params.yaml."""
        return load_params(self.params_file)
