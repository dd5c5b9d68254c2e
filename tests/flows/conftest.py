"""One toy installation and one Prefect server for all tests of the flows."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.flows.toy import Toy, make_installation


@pytest.fixture(scope="session")
def installation(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_installation(tmp_path_factory.mktemp("installation"))


@pytest.fixture(scope="session")
def prefect_home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("prefect")


@pytest.fixture(scope="session")
def prefect_api() -> Iterator[str]:
    """Address of the one server: an ephemeral one costs each run 13 s."""
    from flows.environment import quiet

    quiet()
    from prefect.settings import PREFECT_API_URL
    from prefect.testing.utilities import prefect_test_harness

    with prefect_test_harness(server_startup_timeout=180):
        yield str(PREFECT_API_URL.value())


@pytest.fixture
def make_toy(tmp_path: Path, installation: Path, prefect_home: Path) -> Callable[..., Toy]:
    """Makes toy workspaces that run without Prefect, or with a server of their own."""

    def make(name: str = "workspace") -> Toy:
        return Toy(tmp_path / name, installation, prefect_home)

    return make


@pytest.fixture
def toy(make_toy: Callable[..., Toy]) -> Toy:
    return make_toy()


@pytest.fixture
def served_toy(toy: Toy, prefect_api: str) -> Toy:
    """A toy workspace whose flows use the shared server."""
    toy.env["PREFECT_API_URL"] = prefect_api
    return toy
