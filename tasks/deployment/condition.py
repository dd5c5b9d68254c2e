"""What may be wrong with a version that `champion` points to: then nothing is deployed and the old bundle stays."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from tasks.base.errors import UserError
from tasks.registry import store, versions

if TYPE_CHECKING:
    from mlflow import MlflowClient


def ailments(mlflow: MlflowClient, version: Any, workspace: Path = Path()) -> list[str]:
    """Reasons not to deploy a version, in words; empty when there are none."""
    return [why for why in (_imported(version), _run(mlflow, version), _files(version, workspace)) if why]


def _imported(version: Any) -> str | None:
    if version.tags.get("visionmill.imported") != "yes":
        return None
    return "it is an imported model: measured on no data of this workspace, asked of no gate"


def _run(mlflow: MlflowClient, version: Any) -> str | None:
    from mlflow.exceptions import MlflowException

    if not version.run_id:
        return None
    try:
        gone = mlflow.get_run(version.run_id).info.lifecycle_stage == "deleted"
    except MlflowException as error:
        if error.error_code != "RESOURCE_DOES_NOT_EXIST":
            raise
        gone = True
    return f"its run {version.run_id} is deleted, so nothing tells where it comes from" if gone else None


def _files(version: Any, workspace: Path) -> str | None:
    try:
        versions.resolve_model(f"models:/{version.name}/{version.version}", "deployed", workspace)
    except UserError as error:
        store.client(workspace)  # raises when it is the store that is away
        return f"it has no files that can be deployed: {error.what}"
    return None
