"""`visionmill lineage` and `visionmill status --html` through their doors, over one synthetic store."""

from __future__ import annotations

import json
import platform
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest

from benchmarks.lineage import make
from flows import cli, projecting
from flows.commands import status
from flows.workspace import leave_note
from tasks.registry import store
from tasks.registry.tracing.history import history


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    with pytest.MonkeyPatch.context() as patch:
        for name in ("MLFLOW_TRACKING_URI", "MLFLOW_REGISTRY_URI", "PREFECT_API_URL", "VISIONMILL_SITE"):
            patch.delenv(name, raising=False)
        yield make(tmp_path_factory.mktemp("store") / "cells", 12, 120)


@pytest.fixture(autouse=True)
def entered(workspace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(workspace)


def test_lineage_as_text_page_and_json(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    page, file = tmp_path / "lineage.html", tmp_path / "lineage.json"
    assert cli.main(["lineage", "--html", str(page), "--json", str(file)]) == 0
    said = capsys.readouterr().out
    # the champion, since nobody named another
    assert said.startswith("cells version 11 (champion)") and "models:/cells/1: " in said and "scores 0.50" in said
    assert json.loads(file.read_text())["version"]["version"] == "11" and "From the pictures" in page.read_text()


def test_lineage_of_a_picture_forwards_and_backwards(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["lineage", "1", "--picture", "p00003.jpg"]) == 0
    assert "p00003.jpg: train, 640 x 480 px" in capsys.readouterr().out
    assert cli.main(["lineage", "--picture", "p00301.jpg"]) == 0
    said = capsys.readouterr().out
    # that picture came with the split of version 11
    assert "cells/12 (candidate): test" in said and "cells/11 (champion): test" in said and "cells/10" not in said
    assert cli.main(["lineage", "--picture", "nobody.jpg"]) == 0
    assert "in none of the 12 versions" in capsys.readouterr().out


@pytest.mark.parametrize(("words", "said"), [
    (["lineage", "99"], "has no version 99"), (["lineage", "nobody"], "no alias 'nobody'"),
    (["lineage", "--html", "."], "that is a folder"), (["lineage", "--picture", "."], "that is a folder"),
    (["status", "--html", "."], "that is a folder"), (["lineage", "nuts/1"], "no version of 'nuts'")])
def test_what_a_user_gets_wrong(words: list[str], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(words) == 2 and said in capsys.readouterr().err


def test_the_history_counts_data_by_its_tables(workspace: Path) -> None:
    told = history(workspace)
    assert [row["version"] for row in told["versions"]] == [str(n) for n in range(1, 13)]
    assert [row["pictures"] for row in told["versions"]] == [300] * 10 + [320] * 2
    assert told["versions"][11]["boxes"] == 1280 and told["versions"][3]["gate"].startswith("refused")
    assert list(told["reports"])[:2] == ["11", "12"] and len(told["reports"]) == 6


def test_the_project_page(workspace: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    leave_note("last_run", {"finished": "2026-11-22 09:33:56", "exit_code": 0, "outcomes": []}, workspace)
    assert cli.main(["status", "--html", str(tmp_path / "project.html")]) == 0
    assert "project.html" in capsys.readouterr().out
    page = (tmp_path / "project.html").read_text()
    assert "12 versions" in page and "ended well" in page and str(workspace) in page


def test_the_page_is_an_artefact_when_asked(workspace: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["status", "--log"]) == 0
    run = capsys.readouterr().out.split()[-1]
    mlflow = store.client(workspace)
    assert [file.path for file in mlflow.list_artifacts(run)] == ["project.html"]
    assert mlflow.get_run(run).data.metrics["versions"] == 12


class Server(BaseHTTPRequestHandler):
    """Answers as Prefect's server does."""

    answer: Any = []
    asked: list[Any] = []

    def do_POST(self) -> None:
        self.asked.append((self.path, json.loads(self.rfile.read(int(self.headers["Content-Length"])))))
        text = json.dumps(self.answer).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    def log_message(self, *words: object) -> None:
        pass


@pytest.fixture
def prefect(monkeypatch: pytest.MonkeyPatch) -> Iterator[type[Server]]:
    server = HTTPServer(("127.0.0.1", 0), Server)
    Server.asked.clear()
    monkeypatch.setenv("PREFECT_API_URL", f"http://127.0.0.1:{server.server_port}/api")
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield Server
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def test_flow_runs_of_this_workspace_alone(workspace: Path, prefect: type[Server]) -> None:
    prefect.answer = [{"name": "odd-lynx", "state_name": "Completed", "start_time": "2026-11-22T02:00:00Z",
                       "total_run_time": 61.5}, {"name": "no-start", "state_type": "SCHEDULED", "start_time": None}]
    first, second = projecting.flow_runs(workspace)
    assert first["state"] == "Completed" and first["seconds"] == 61.5 and first["started"] == 1795312800000
    assert second["state"] == "SCHEDULED" and second["started"] is None
    path, body = prefect.asked[0]
    tag = f"workspace:{platform.node()}:{workspace}"
    assert path == "/api/flow_runs/filter" and body["flow_runs"]["tags"]["all_"] == [tag]


@pytest.mark.parametrize("answer", [{"detail": "no"}, ["a text"], None])
def test_a_server_that_answers_nonsense(answer: Any, workspace: Path, prefect: type[Server]) -> None:
    prefect.answer = answer
    assert projecting.flow_runs(workspace) == []


def test_a_server_that_is_away(workspace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PREFECT_API_URL", "http://127.0.0.1:9/api")
    assert projecting.flow_runs(workspace) == []


def test_the_tag_is_the_one_that_flows_have(workspace: Path) -> None:
    from flows.bookkeeping import workspace_tag

    assert projecting.tag_of(workspace) == workspace_tag(workspace.resolve())


def test_status_tells_the_last_retraining(workspace: Path) -> None:
    assert status.last_retrain(workspace) == []
    leave_note("last_retrain", {"finished": "2026-11-22 02:00:00", "reasons": [{"kind": "new data", "text": "raw"}],
                                "outcome": "registered", "error": None}, workspace)
    assert status.last_retrain(workspace) == ["retrain    2026-11-22 02:00:00, registered; raw"]
    leave_note("last_retrain", ["of another release"], workspace)
    assert status.last_retrain(workspace) == []
    assert status.deployed(workspace) == [] and status.services(workspace) == []
