"""The flow that follows `champion`: what `visionmill watch` does by itself, with its steps in Prefect's UI.

    python -P -m flows.promotion '{"name": "cells"}'      in a workspace; the deployment `promotion/NAME` runs it too
"""

from __future__ import annotations

from pathlib import Path

from prefect import flow, get_run_logger, tags, task
from prefect.cache_policies import NO_CACHE

from flows import telling
from flows.bookkeeping import BESIDE
from flows.outcome import end_with, run_flow
from tasks.deployment import following
from tasks.registry.promotion import audit


@task(name="look at the aliases", cache_policy=NO_CACHE, retries=2, retry_delay_seconds=5)
def look(root: Path) -> int:
    """Write down what changed since the last look, and tell; returns how many changes."""
    fresh = audit.look(root)
    for entry in fresh:
        get_run_logger().info("%s: %s %s -> %s, by %s (%s)", entry.name, entry.alias, entry.from_version,
                              entry.to_version, entry.who, entry.by)
    return len(fresh)


@task(name="deploy the champion", cache_policy=NO_CACHE, retries=1, retry_delay_seconds=10)
def deploy(root: Path, name: str | None) -> list[str]:
    """Build, try and switch to the champion's bundles, or go back; returns what was done."""
    lines = following.follow(name, root)
    for line in lines or ["nothing to do: what `champion` points at is in use, or was tried"]:
        get_run_logger().info(line)
    return lines


@flow(name="promotion", validate_parameters=False)
def promotion(workspace: str = ".", name: str | None = None) -> list[str]:
    """Bring the bundles of a workspace to where `champion` is. It touches nothing of the line and takes no lock of it.

    Args:
        workspace: folder with `dvc.yaml`.
        name: registered model; the workspace's own when it is left out.

    Returns:
        What was done, in lines.
    """
    root = Path(workspace).resolve()
    with telling.blocks():
        look(root)
        return deploy(root, name)


def main(words: list[str]) -> int:
    """Run the flow with the options of a JSON object; the exit code says how it ended."""
    with tags(BESIDE):
        return run_flow(promotion, words)


if __name__ == "__main__":
    end_with(main, "the next look at the aliases")
