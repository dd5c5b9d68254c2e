"""A registry with versions made by hand, for tests of aliases, audit and deployment."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tasks.registry import store
from tests.registry.conftest import empty_store, quiet  # noqa: F401  a store whose tables are made, no own variables

from . import cases


@pytest.fixture(scope="session")
def good_files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return cases.model_folder(tmp_path_factory.mktemp("good") / "model")


@pytest.fixture(scope="session")
def spoiled_files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A version whose bundle does not answer as it is said to."""
    files = cases.model_folder(tmp_path_factory.mktemp("spoiled") / "model", seed=3)
    cases.spoil_answers(files)
    return files


@pytest.fixture
def root(tmp_path: Path, empty_store: Path, quiet: None, monkeypatch: pytest.MonkeyPatch) -> Path:  # noqa: F811
    monkeypatch.delenv("VISIONMILL_SITE", raising=False)
    return cases.workspace(tmp_path / "ws", empty_store)


@pytest.fixture
def mlflow(root: Path) -> Any:
    return store.client(root)


@pytest.fixture
def add(mlflow: Any, root: Path, good_files: Path) -> Callable[..., str]:
    """Registers a version and returns its number."""
    return lambda files=good_files, **options: cases.add_version(mlflow, root, files, **options)


@pytest.fixture
def heard(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, str]]:
    """What was told: (event, subject)."""
    found: list[tuple[str, str]] = []
    monkeypatch.setattr("tasks.notify.tell", lambda event, subject, text, **_: found.append((event, subject)))
    return found
