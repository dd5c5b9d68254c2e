"""What the audit and the deployment know of a version, as plain data for lineage and for the project page."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from tasks.base.errors import VisionmillError


def audit(name: str, version: str | None = None, workspace: Path = Path()) -> list[dict[str, Any]]:
    """The changes of a model's aliases, oldest first, or of those that a version took part in; empty where the
    audit's table cannot be reached."""
    from tasks.registry.promotion.audit import entries

    try:
        found = [asdict(entry) for entry in entries(name, workspace)]
    except VisionmillError:
        return []
    return [one for one in found if version is None or version in (one["from_version"], one["to_version"])]


def where(name: str, version: str | None = None, workspace: Path = Path()) -> list[dict[str, Any]]:
    """What is deployed of a model, or of one version of it; empty where nothing is or the site cannot be read."""
    try:
        from tasks.deployment import placed
    except ImportError:
        return []

    try:
        found: list[dict[str, Any]] = [dict(one) for one in placed(workspace)]
    except VisionmillError:
        return []
    return [one for one in found if _is(one, "name", name) and (version is None or _is(one, "version", version))]


def _is(one: Mapping[str, Any], key: str, value: str) -> bool:
    return str(one.get(key, value)) == value
