"""Runs that the store does not know (made on another machine, or while it was away) are logged again from records."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tasks.base.files import digest_value
from tasks.registry import runs, store

if TYPE_CHECKING:
    from mlflow import MlflowClient


def ensure_run(mlflow: MlflowClient, record: Mapping[str, Any], workspace: Path) -> tuple[str, bool]:
    """Id of the run of a record, logged again if it is not in the store; True when it had to be."""
    if record["run_id"] and exists(mlflow, record["run_id"]):
        return record["run_id"], False
    key = digest_value(record)
    found = mlflow.search_runs([store.experiment(mlflow, workspace)], f"tags.`visionmill.record` = '{key}'",
                               max_results=1)
    if found:
        return found[0].info.run_id, False
    return _log_again(mlflow, record, key, workspace), True


def exists(mlflow: MlflowClient, run_id: str) -> bool:
    from mlflow.exceptions import MlflowException

    try:
        return mlflow.get_run(run_id).info.lifecycle_stage == "active"
    except MlflowException:
        return False


def line_run(mlflow: MlflowClient, line: str, children: list[str], workspace: Path) -> str:
    """Id of the run that stands for the whole line; the runs in `children` are shown under it."""
    place = store.experiment(mlflow, workspace)
    query = f"tags.`visionmill.line` = '{line}' and tags.`visionmill.kind` = 'line'"
    found = mlflow.search_runs([place], query, max_results=1)
    if found:
        parent = found[0].info.run_id
    else:
        tags = {"visionmill.line": line, "visionmill.kind": "line", "mlflow.source.name": "visionmill"}
        parent = mlflow.create_run(place, tags=tags, run_name=f"line {line[:8]}").info.run_id
        mlflow.set_terminated(parent)
    for child in children:
        mlflow.set_tag(child, "mlflow.parentRunId", parent)
    return parent


def _log_again(mlflow: MlflowClient, record: Mapping[str, Any], key: str, workspace: Path) -> str:
    more = {"visionmill.restored_from": record["run_id"] or "record", "visionmill.record": key}
    run_id = runs.create_run(mlflow, record, workspace, **more)
    runs.log_metrics(mlflow, run_id, {(name, point["step"]): (point["value"], point["time"])
                                      for name, points in record["metrics"].items() for point in points})
    for entry in record["datasets"]:
        runs.log_dataset(mlflow, run_id, entry)
    for entry in record["artifacts"]:
        if (workspace / entry["path"]).exists():
            runs.log_path(mlflow, run_id, workspace / entry["path"], entry["folder"])
    mlflow.set_terminated(run_id, record["status"], record["ended"])
    return run_id
