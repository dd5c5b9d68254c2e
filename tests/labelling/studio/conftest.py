"""A stand-in for Label Studio for each test, and the real one once, where it is installed."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from flows.services import studio
from tasks.base.files import write_json
from tasks.labelling.studio.access import Access, find_access
from tasks.labelling.studio.desk import StudioDesk
from tests.labelling.studio.asking import Sent
from tests.labelling.studio.fake import TOKEN, Fake, fake
from tests.labelling.studio.made import make_job
from tests.servers import Server, answers, free_port


@pytest.fixture
def server() -> Iterator[Fake]:
    with fake() as running:
        yield running


@pytest.fixture
def workspace(server: Fake, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A workspace whose own Label Studio is the stand-in."""
    monkeypatch.delenv("VISIONMILL_SITE", raising=False)
    write_json(tmp_path / ".visionmill/studio.json",
               {"url": server.url, "token": TOKEN, "folder": str(tmp_path / "served")})
    return tmp_path


@pytest.fixture
def sent(workspace: Path) -> Sent:
    job, pictures = make_job(workspace, 5)
    desk = StudioDesk(job, workspace, patience_s=0)
    desk.send(job, pictures, workspace)
    return job, pictures, desk


class Real:
    """Label Studio as `visionmill up` starts it, in a workspace of its own."""

    def __init__(self, workspace: Path) -> None:
        self.workspace, port = workspace, free_port()
        self.url = f"http://127.0.0.1:{port}"
        self.server = Server([sys.executable, "-P", "-m", "flows.services.studio", str(port)],
                             lambda: answers(f"{self.url}/health"), log=workspace / "label-studio.log")

    @property
    def access(self) -> Access:
        return find_access(self.workspace)


@pytest.fixture(scope="package")
def real(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Real]:
    folder = studio.environment_folder()
    if studio.python_of(folder) is None:
        pytest.skip(f"no Label Studio in {folder}: visionmill up --with label-studio installs it, or name one: "
                    f"{studio.FOLDER}=FOLDER")
    made = Real(tmp_path_factory.mktemp("studio"))
    try:
        made.server.start()
        yield made
    finally:
        made.server.end()
