"""Secrets of one workspace, made once and readable by their owner alone."""

from __future__ import annotations

import base64
import contextlib
import os
from pathlib import Path

from flows.workspace import NOTES


def hook_key(workspace: Path) -> str:
    """The key that MLflow's server encrypts the secrets of its webhooks with: 32 random bytes in base64."""
    path = workspace / NOTES / "hook-key"
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(f".hook-key.{os.getpid()}")
    if not path.exists():
        with os.fdopen(os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
            file.write(base64.urlsafe_b64encode(os.urandom(32)))
        with contextlib.suppress(FileExistsError):
            # a link refuses to replace: two that make it at once keep the first one's
            os.link(beside, path)
        beside.unlink()
    return path.read_text(encoding="utf-8").strip()
