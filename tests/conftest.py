"""Fixtures that every test may use."""

from __future__ import annotations

import os
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def mirror() -> Path:
    """The folder with real pictures that `VISIONMILL_MIRROR` names; the test is skipped where there is none."""
    named = os.environ.get("VISIONMILL_MIRROR")
    if not named:
        pytest.skip("VISIONMILL_MIRROR is not set: real pictures are not there")
    folder = Path(named).resolve()
    assert (folder / "datasets").is_dir(), f"VISIONMILL_MIRROR={named} has no datasets/"
    return folder
