"""A bench for each test; its store is the one that the workspace's site names."""

from __future__ import annotations

from pathlib import Path

import pytest

from .bench import Bench, make_bench


@pytest.fixture
def bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Bench:
    made = make_bench(tmp_path)
    made.workspace.mkdir()
    monkeypatch.setenv("VISIONMILL_STORE", str(made.store.root))
    return made
