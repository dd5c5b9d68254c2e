"""One server for the tests that only ask."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from .running import Server, serving


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, quarters: Path) -> Iterator[Server]:
    """Answers with the hand-made detector as `quarters`; its process stays for a minute."""
    with serving(tmp_path_factory.mktemp("serving"), str(quarters), "--idle", "60") as found:
        yield found
