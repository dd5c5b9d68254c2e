"""Tags of a version, and lines of ours in its description: where a reviewer in MLflow reads what happened to it."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mlflow import MlflowClient

LONGEST_TAG = 5000  # characters that every store of MLflow takes
LONGEST_TEXT = 99_000
GONE = {"RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"}


def version_of(mlflow: MlflowClient, name: str, version: str | None) -> Any | None:
    """A version with its tags and aliases, None when it is not there any more."""
    from mlflow.exceptions import MlflowException

    if version is None:
        return None
    try:
        return mlflow.get_model_version(name, version)
    except MlflowException as error:
        if error.error_code not in GONE:
            raise
        return None


def tag(mlflow: MlflowClient, name: str, version: str, key: str, value: str) -> None:
    """Set a tag; a version that is gone needs none."""
    from mlflow.exceptions import MlflowException

    try:
        mlflow.set_model_version_tag(name, version, key, value[:LONGEST_TAG])
    except MlflowException as error:
        if error.error_code not in GONE:
            raise


def remark(mlflow: MlflowClient, name: str, version: str, subject: str, text: str | None) -> None:
    """Put one line on a version's description, in place of an earlier one on that subject; None takes it away."""
    found = version_of(mlflow, name, version)
    if found is None:
        return
    before = found.description or ""
    rest = re.sub(rf"^> \*\*{re.escape(subject)}\*\*: .*\n*", "", before, flags=re.MULTILINE)
    line = "" if text is None else f"> **{subject}**: {' '.join(text.split())}\n\n"
    after = (line + rest)[:LONGEST_TEXT]
    if after != before:
        mlflow.update_model_version(name, version, after)
