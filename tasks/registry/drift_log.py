"""A look for drift as an MLflow run of the workspace: its p-values as metrics, its page as an artefact."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tasks.base.files import write_atomic, write_json
from tasks.registry import lineage, runs, store

KIND = "visionmill.kind"


def log_look(look: Mapping[str, Any], page: str, workspace: Path) -> str | None:
    """Log a look; returns the run's id, None where nothing is tracked.

    Args:
        look: `Look.to_json()`.
        page: the HTML text.

    Raises:
        UserError: the store cannot be reached.
    """
    numbers = {"drift": float(look["verdict"] == "drift"), "counted": float(look["pictures"]["counted"]),
               "alarms": float(sum(test["alarm"] for test in look["tests"]))}
    numbers |= {f"p/{test['name']}": float(test["p"]) for test in look["tests"]}
    numbers |= {f"gap/{test['name']}": float(test["gap"]) for test in look["tests"] if test["gap"] is not None}
    if look["far_share"] is not None:
        numbers["far_share"] = float(look["far_share"])
    tags = {"visionmill.verdict": look["verdict"], "visionmill.data_hash": look["reference_digest"]}
    params = {name: look[name] for name in ("false_alarm", "folder", "reference", "model", "seed")}
    return log_kind("drift", numbers, tags, params, {"drift.html": page, "drift.json": look}, workspace)


def log_kind(kind: str, numbers: Mapping[str, float], tags: Mapping[str, str], params: Mapping[str, Any],
             files: Mapping[str, Any], workspace: Path) -> str | None:
    """One finished run with the tag `visionmill.kind`, which is no part of a line.

    Args:
        files: by name; a text as it is, anything else as JSON.

    Raises:
        UserError: the store cannot be reached.
    """
    if not store.enabled():
        return None
    now = int(time.time() * 1000)
    with store.told_in_words(f"a run of kind {kind} was logged", workspace):
        mlflow = store.client(workspace)
        every = lineage.lineage_tags(workspace) | {KIND: kind} | dict(tags)
        run_id = mlflow.create_run(store.experiment(mlflow, workspace), start_time=now, run_name=kind,
                                   tags={runs.clean(name): str(value) for name, value in every.items()}).info.run_id
        runs.log_params(mlflow, run_id, params)
        runs.log_metrics(mlflow, run_id, {(runs.clean(name), 0): (value, now) for name, value in numbers.items()})
        with tempfile.TemporaryDirectory(prefix="visionmill-") as folder:
            for name, content in files.items():
                path = Path(folder) / name
                write_atomic(path, content) if isinstance(content, str) else write_json(path, content)
                runs.log_path(mlflow, run_id, path, None)
        mlflow.set_terminated(run_id, "FINISHED", end_time=int(time.time() * 1000))
    return run_id
