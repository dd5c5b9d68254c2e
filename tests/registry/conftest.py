"""A session's one SQLite store, and workspaces made from it."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from .cases import commit, log_runs, write_line


@pytest.fixture(scope="session")
def empty_store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A SQLite store with its tables made: making them takes seconds, copying them none."""
    from tasks.registry import store

    folder = tmp_path_factory.mktemp("store")
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("MLFLOW_TRACKING_URI", raising=False)
        store.client(folder)
    return folder / "mlflow.db"


@pytest.fixture
def make_workspace(tmp_path: Path, empty_store: Path, quiet: None) -> Callable[..., Path]:
    """Makes finished workspaces with git, a store of their own, and committed code."""
    return lambda name="cells", **options: build(tmp_path / name, empty_store, **options)


@pytest.fixture(scope="module")
def registered(tmp_path_factory: pytest.TempPathFactory, empty_store: Path) -> Iterator[Path]:
    """One registered workspace for tests that only read it."""
    from tasks.registry.register import register

    with pytest.MonkeyPatch.context() as patch:
        isolate(patch)
        folder = build(tmp_path_factory.mktemp("registered") / "cells", empty_store)
        register(folder)
        yield folder


@pytest.fixture
def quiet(monkeypatch: pytest.MonkeyPatch) -> None:
    """No variable of the person's own reaches the test, and this repository's git state is not the subject."""
    isolate(monkeypatch)


def isolate(patch: pytest.MonkeyPatch) -> None:
    for name in ("MLFLOW_TRACKING_URI", "MLFLOW_REGISTRY_URI", "VISIONMILL_TRACKING", "DVC_STAGE",
                 "VISIONMILL_FLOW_RUN"):
        patch.delenv(name, raising=False)
    patch.setattr("tasks.registry.lineage.PACKAGE", Path("/"))


def build(folder: Path, empty_store: Path, **options: Any) -> Path:
    """A finished workspace."""
    folder.mkdir()
    subprocess.run(["git", "init", "-q", str(folder)], check=True)
    ignored = ("mlflow.db*", "mlruns", ".visionmill", "data", "models", "exports", "results", "runs")
    (folder / ".gitignore").write_text("".join(f"/{name}\n" for name in ignored))
    shutil.copy(empty_store, folder / "mlflow.db")
    write_line(folder, **options)
    log_runs(folder)
    commit(folder)
    return folder
