"""Environment of every process that we start: no telemetry, our own programs first, logs line by line."""

from __future__ import annotations

import os
import sys
from pathlib import Path

QUIET = {
    "DO_NOT_TRACK": "1",
    "DVC_NO_ANALYTICS": "1",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
    # the default of 20 s is reached on two busy cores
    "PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS": "180",
    "PREFECT_SERVER_ALLOW_EPHEMERAL_MODE": "true",
    # the flow prints its own lines; Prefect's go to its UI
    "PREFECT_LOGGING_HANDLERS_CONSOLE_LEVEL": "CRITICAL",
    # two spinning OpenMP threads collapse under any competition: 86 -> 10 images a second
    "OMP_WAIT_POLICY": "PASSIVE",
}


def quiet() -> None:
    """Set what is not set yet, in this process; before torch, dvc, mlflow or prefect are imported."""
    for name, value in QUIET.items():
        os.environ.setdefault(name, value)
    if mirror := os.environ.get("VISIONMILL_MIRROR"):
        # stages run in the workspace, not where the user typed the name
        os.environ["VISIONMILL_MIRROR"] = str(Path(mirror).expanduser().resolve())
    bin_folder = str(Path(sys.executable).parent)
    paths = os.environ.get("PATH", "").split(os.pathsep)
    if bin_folder not in paths:
        # a virtual environment that is not activated: DVC looks for `visionmill`, MLflow for `uvicorn`
        os.environ.setdefault("VISIONMILL_PATH_BEFORE", os.environ.get("PATH", ""))
        os.environ["PATH"] = os.pathsep.join([bin_folder, *paths])
