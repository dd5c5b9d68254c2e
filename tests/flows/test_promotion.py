"""The flow `promotion`: the library's steps as tasks, and Prefect's blocks told of what the site wants told."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from tests.deployment import cases
from tests.deployment.conftest import add, good_files, mlflow, root  # noqa: F401  a registry with versions made by hand
from tests.registry.conftest import empty_store, quiet  # noqa: F401


@pytest.fixture
def chat() -> Iterator[tuple[str, list[bytes]]]:
    bodies: list[bytes] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            bodies.append(self.rfile.read(int(self.headers.get("Content-Length", 0))))
            self.send_response(200)
            self.end_headers()

        def log_message(self, *words: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_address[1]}/hook", bodies
    server.shutdown()
    server.server_close()


def test_the_flow_deploys_and_tells_the_blocks(prefect_api: str, root: Path, mlflow: Any, add: Any,  # noqa: F811
                                               chat: tuple[str, list[bytes]]) -> None:
    from prefect.blocks.notifications import CustomWebhookNotificationBlock

    from flows.promotion import promotion
    from tasks.registry.promotion import audit

    url, bodies = chat
    CustomWebhookNotificationBlock(name="team", url=url, json_data={"text": "{{subject}}"}).save("team", overwrite=True)
    block = "custom-webhook/team"
    cases.write_site(root, notify={"blocks": [block]})
    add()
    audit.look(root)
    mlflow.set_registered_model_alias(cases.NAME, "champion", "1")
    assert promotion(workspace=str(root)) == ["cells version 1: cpu-fp32 ok: 2 pictures"]
    assert promotion(workspace=str(root)) == []
    told = b"".join(bodies)
    assert b"cells version 1 is champion" in told and b"cells version 1 is deployed" in told and len(bodies) == 2


@pytest.mark.slow
def test_the_watch_runs_the_flow_where_prefect_is_and_itself_where_it_fails(
        prefect_api: str, root: Path, mlflow: Any, add: Any, monkeypatch: pytest.MonkeyPatch,  # noqa: F811
        capsys: pytest.CaptureFixture[str]) -> None:
    from prefect.client.orchestration import get_client

    from flows.watching import Watch

    monkeypatch.setenv("PREFECT_API_URL", prefect_api)
    watch = Watch(root)
    add()
    watch.step()
    mlflow.set_registered_model_alias(cases.NAME, "champion", add())
    watch.step()
    assert watch.state["status"] == "ok" and cases.tags(mlflow, "2")["deployed.cpu-fp32"] == "ok"
    with get_client(sync_client=True) as client:
        runs = [run for run in client.read_flow_runs() if run.parameters.get("workspace") == str(root)]
    assert [run.state_name for run in runs] == ["Completed"] and "beside-the-line" in runs[0].tags
    mlflow.set_registered_model_alias(cases.NAME, "champion", "1")
    monkeypatch.setattr(watch, "_flow", lambda api: False)
    begun = time.monotonic()
    watch.step()
    assert cases.tags(mlflow, "1")["deployed.cpu-fp32"] == "ok" and time.monotonic() - begun < 300
