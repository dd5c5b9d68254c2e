"""Fixtures that every test may use."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import settings

# before torch is imported: threads that spin while they wait starve the tests beside them
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

# the same inputs each time: what a run finds is then a change's doing; `make test-all` draws others
settings.register_profile("same", derandomize=True)
settings.register_profile("other")
settings.load_profile("same")

# what takes minutes begins first, so that no worker is left alone with it at the end
LONG = ("tests/test_line.py", "tests/compress/", "tests/flows/")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    place = {name: at for at, name in enumerate(LONG)}
    items.sort(key=lambda item: next((place[name] for name in LONG if item.nodeid.startswith(name)), len(LONG)))


@pytest.fixture(scope="session")
def mirror() -> Path:
    """The folder with real pictures that `VISIONMILL_MIRROR` names; the test is skipped where there is none."""
    named = os.environ.get("VISIONMILL_MIRROR")
    if not named:
        pytest.skip("VISIONMILL_MIRROR is not set: real pictures are not there")
    folder = Path(named).resolve()
    assert (folder / "datasets").is_dir(), f"VISIONMILL_MIRROR={named} has no datasets/"
    return folder


@pytest.fixture(scope="session")
def quarters(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An ONNX detector made by hand; see tests/quarters.py."""
    from .quarters import write_quarters

    return write_quarters(tmp_path_factory.mktemp("quarters") / "quarters.onnx")
