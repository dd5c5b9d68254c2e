"""A pool of pictures and what a teacher says of them, made once."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tasks.data.store.layout import Store
from tests.labelling.ponds import looked_at, pond
from tests.labelling.worlds import COUNT, World


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A workspace with a store, a pool of 24 pictures and its pre-labels."""
    root = tmp_path_factory.mktemp("filled")
    store = Store(root / "store")
    looked_at(pond(store, root / "raw", range(COUNT)), store, root / "work", aldd=False)
    return root


@pytest.fixture
def world(filled: Path, tmp_path: Path) -> World:
    shutil.copytree(filled, tmp_path / "copy")
    return World(tmp_path / "copy")
