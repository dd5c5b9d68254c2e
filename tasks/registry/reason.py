"""Why a line ran, as a tag of its run and of the version that came of it."""

from __future__ import annotations

from pathlib import Path

from tasks.registry import store

REASON = "visionmill.reason"


def tag_reason(run_id: str, name: str, version: str, reason: str, workspace: Path) -> None:
    """Tag the line's run, and its version.

    Raises:
        UserError: the store cannot be reached.
    """
    if not store.enabled():
        return
    with store.told_in_words("the reason of a run was noted", workspace):
        mlflow = store.client(workspace)
        mlflow.set_tag(run_id, REASON, reason[:5000])
        mlflow.set_model_version_tag(name, str(version), REASON, reason[:5000])
