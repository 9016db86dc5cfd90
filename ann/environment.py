"""Environment variables that must be set before the libraries behind the pipeline are imported.

Telemetry is off, pickles are refused, results are JSON, and every cache lies under the state root, which only its
owner may read. What the user has set stays.
"""

import os
from pathlib import Path

SWITCHES = {
    "CUBLAS_WORKSPACE_CONFIG": ":4096:8",
    "DO_NOT_TRACK": "1",
    "DVC_NO_ANALYTICS": "1",
    "GX_ANALYTICS_ENABLED": "false",
    "KINETO_LOG_LEVEL": "5",
    "MLFLOW_ALLOW_PICKLE_DESERIALIZATION": "false",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2",
    "MLFLOW_LOGGING_LEVEL": "WARNING",
    "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
    "MPLBACKEND": "Agg",
    "PREFECT_LOGGING_LEVEL": "WARNING",
    "PREFECT_RESULTS_DEFAULT_SERIALIZER": "json",
    "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
    "PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS": "120",
}


def prepare_environment(state: Path) -> None:
    """Set every switch that is not set, and point the libraries' homes below the state root."""
    state.mkdir(parents=True, exist_ok=True, mode=0o700)
    set_switches()
    homes = {"PREFECT_HOME": state / "prefect", "DVC_SITE_CACHE_DIR": state / "dvc-site", "MPLCONFIGDIR": state / "mpl"}
    for name, path in homes.items():
        os.environ.setdefault(name, str(path))


def set_switches() -> None:
    """Set every switch that is not set, for a command without a project."""
    for name, value in SWITCHES.items():
        os.environ.setdefault(name, value)
