"""A toy line that can be retrained, and what the tests of that do to it."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest

from flows.workspace import note
from tests.flows.toy import ROOT, Toy, make_installation

DVC = [sys.executable, "-P", "-m", "dvc"]


@pytest.fixture(scope="module", name="retraining")
def make_retraining(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The toy's stages and registry, and beside them all of `tasks/` that drift and telling need."""
    folder = make_installation(tmp_path_factory.mktemp("retraining"))
    for path in (ROOT / "tasks").rglob("*.py"):
        to = folder / path.relative_to(ROOT)
        if not to.exists():
            to.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(path, to)
    # the toy's own has no more than the status needs
    shutil.copy(ROOT / "tasks/registry/versions.py", folder / "tasks/registry/versions.py")
    return folder


@pytest.fixture(scope="module", name="finished")
def make_finished(tmp_path_factory: pytest.TempPathFactory, retraining: Path, prefect_home: Path,
                  prefect_api: str) -> Path:
    """A toy line that has run and is registered, committed, its source tracked by DVC."""
    toy = Toy(tmp_path_factory.mktemp("finished") / "line", retraining, prefect_home)
    toy.env |= {"PREFECT_API_URL": prefect_api}
    subprocess.run([*DVC, "add", "-q", "raw.txt"], cwd=toy.path, check=True)
    done = toy.run("visionmill", "run")
    assert done.returncode == 0, done.stdout
    git(toy.path, "add", "-A")
    git(toy.path, "-c", "user.name=a", "-c", "user.email=a@b", "commit", "-qm", "the line")
    toy.ran()
    return toy.path


@pytest.fixture(name="line")
def make_line(tmp_path: Path, finished: Path, retraining: Path, prefect_home: Path, prefect_api: str) -> Toy:
    """A copy of it; no remote, no site of its own."""
    toy = Toy(tmp_path / "made", retraining, prefect_home)
    shutil.rmtree(toy.path)
    toy.path = Path(shutil.copytree(finished, tmp_path / "line", symlinks=True))
    toy.env |= {"PREFECT_API_URL": prefect_api, "VISIONMILL_TRACKING": "off", "HOME": str(tmp_path),
                "AWS_EC2_METADATA_DISABLED": "true", "GIT_CONFIG_NOSYSTEM": "1"}
    toy.env.pop("VISIONMILL_SITE", None)
    return toy


def git(folder: Path, *words: str) -> str:
    return subprocess.run(["git", *words], cwd=folder, check=True, capture_output=True, text=True).stdout.strip()


def site(toy: Toy, **sections: Any) -> None:
    """A site of the workspace's own; JSON is YAML."""
    path = toy.path / "conf/site/local.yaml"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(sections))


def new_data(toy: Toy) -> None:
    (toy.path / "raw.txt").unlink()  # it may be a link into the cache
    (toy.path / "raw.txt").write_text("seven eight nine ten\n")


def left(toy: Toy) -> dict[str, Any]:
    return note("last_retrain", toy.path)


@pytest.fixture(name="posts")
def make_posts() -> Iterator[Posts]:
    with Posts() as server:
        yield server


class Posts:
    """A webhook that keeps what it gets."""

    def __enter__(self) -> Posts:
        self.seen: list[dict[str, Any]] = []
        seen = self.seen

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                seen.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
                self.send_response(204)
                self.end_headers()

            def log_message(self, *words: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}/hook"
        Thread(target=self.server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *raised: object) -> None:
        self.server.shutdown()
        self.server.server_close()
