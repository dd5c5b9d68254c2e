"""The arguments of `docker run`, or podman's, for an executor's image."""

from __future__ import annotations

import os
from pathlib import Path

from tasks.plugins.contract import INSIDE
from tasks.plugins.preset import Plugin


def arguments(plugin: Plugin, task: str, given: Path, made: Path) -> list[str]:
    """What starts the container: it sees `given` as /in, which it cannot change, and `made` as /out.

    It has no network unless its file allows it, no more rights than this user, and goes when it ends.
    """
    inside, outside = INSIDE
    gpus = ["--gpus", f'"device={plugin.gpus}"'] if plugin.gpus else []
    if gpus and plugin.engine == "podman":
        gpus = [word for number in plugin.gpus.split(",") for word in ("--device", f"nvidia.com/gpu={number}")]
    alike = ["--userns", "keep-id"] if plugin.engine == "podman" else []
    shared = f"{16 * max(1, len(plugin.gpus.split(',')))}G" if plugin.gpus else "1G"
    variables = [word for name, value in sorted(plugin.environment.items()) for word in ("--env", f"{name}={value}")]
    return [plugin.engine, "run", "--rm", "--init", "--name", task, "--user", f"{os.getuid()}:{os.getgid()}", *alike,
            "-v", f"{given}:{inside}:ro", "-v", f"{made}:{outside}", *gpus, "--shm-size", shared,
            "--security-opt", "no-new-privileges", "--cap-drop", "ALL",
            *([] if plugin.network else ["--network", "none"]), *variables, *plugin.options, plugin.image]


def ending(plugin: Plugin, task: str) -> list[str]:
    """What ends the container: ending the client alone leaves it."""
    return [plugin.engine, "kill", task]
