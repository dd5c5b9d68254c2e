"""A server that follows an alias: new requests go to the new version, none is lost, a broken one does not take over."""

from __future__ import annotations

import http.server
import json
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tasks.registry.adopted import adopt
from tasks.serving.following import Away, mark_of
from tasks.serving.resolving import address_of
from tasks.serving.target import Target
from tests.quarters import write_quarters
from tests.registry.conftest import empty_store, isolate  # noqa: F401  a store whose tables are made

from .pictures import coded, text
from .running import WAIT_S, Server, serving, wait_for


@pytest.fixture(scope="module")
def registry(tmp_path_factory: pytest.TempPathFactory, empty_store: Path) -> Iterator[Path]:  # noqa: F811
    """Two versions of `cells` that differ in a class's name; `champion` is the first."""
    import shutil

    from tasks.registry import store

    with pytest.MonkeyPatch.context() as patch:
        isolate(patch)
        workspace = tmp_path_factory.mktemp("registry") / "cells"
        workspace.mkdir()
        shutil.copy(empty_store, workspace / "mlflow.db")
        for name in (b'"red"', b'"bed"'):
            made = tmp_path_factory.mktemp("made")
            file = write_quarters(made / "model.onnx")
            file.write_bytes(file.read_bytes().replace(b'"red"', name))
            (made / "imported.json").write_text("{}")
            adopt("cells", made, {}, line="0123", workspace=workspace)
        store.client(workspace).set_registered_model_alias("cells", "champion", "1")
        yield workspace


def say(registry: Path, alias: str, version: str | None) -> None:
    from tasks.registry import store

    client = store.client(registry)
    if version is None:
        client.delete_registered_model_alias("cells", alias)
    else:
        client.set_registered_model_alias("cells", alias, version)


def asked(server: Server) -> Any:
    reply = server.predict(coded(), name="cells")
    assert reply.status == 200, reply
    return reply.json


def test_no_request_is_lost_while_the_alias_moves(registry: Path) -> None:
    with serving(registry, "cells@champion", "pinned=cells/1", "--follow", "0.2") as server:
        first = asked(server)
        assert (first["version"], first["detections"][0]["class"]) == ("1", "red")
        seen: list[str] = []
        ending = threading.Event()

        def keep_asking() -> None:
            while not ending.is_set():
                seen.append(asked(server)["version"])

        people = [threading.Thread(target=keep_asking) for _ in range(3)]
        for person in people:
            person.start()
        try:
            say(registry, "champion", "2")
            wait_for(lambda: "2" in seen)
            count = len(seen)
            wait_for(lambda: len(seen) > count + 50)
        finally:
            ending.set()
            for person in people:
                person.join(WAIT_S)
        assert set(seen) == {"1", "2"} and set(seen[-20:]) == {"2"}
        assert asked(server)["detections"][0]["class"] == "bed"
        assert server.predict(coded(), name="pinned").json["version"] == "1"
        assert "version 2 answers now" in (registry / "log").read_text()


def test_an_alias_that_goes_leaves_its_version(registry: Path) -> None:
    say(registry, "champion", "2")
    with serving(registry, "cells@champion", "--follow", "0.2") as server:
        assert asked(server)["version"] == "2"
        say(registry, "champion", None)
        warning = wait_for(lambda: server.get("/health")["models"]["cells"]["warning"])
        assert "no alias 'champion' any more" in warning and asked(server)["version"] == "2"
        say(registry, "champion", "1")
        wait_for(lambda: asked(server)["version"] == "1")
        assert wait_for(lambda: server.get("/health")["models"]["cells"]["warning"] is None)


def test_a_version_without_its_file_does_not_take_over(registry: Path) -> None:
    from tasks.registry.versions import resolve_model

    say(registry, "champion", "1")
    file = resolve_model("models:/cells/2", workspace=registry)
    aside = file.with_suffix(".aside")
    with serving(registry, "cells@champion", "--follow", "0.2") as server:
        file.rename(aside)
        try:
            say(registry, "champion", "2")
            warning = wait_for(lambda: server.get("/health")["models"]["cells"]["warning"])
            assert "carries no deployed model" in warning and asked(server)["version"] == "1"
        finally:
            aside.rename(file)


def test_an_adopted_version_is_one_that_mlflow_serves_by_itself(registry: Path) -> None:
    import mlflow
    import pandas as pd

    from tasks.registry.versions import global_uri, resolve_model

    with global_uri(registry):
        loaded = mlflow.pyfunc.load_model("models:/cells/2")
    answer = loaded.predict(pd.DataFrame({"image": [text(coded())]}))
    assert answer.classes[0] == ["bed", "green"] and len(answer.boxes[0]) == 2
    code = (resolve_model("models:/cells/2", "all", registry) / "served.py").read_text()
    assert "from tasks" not in code and "import tasks" not in code


@pytest.mark.parametrize(("word", "name", "address"), [
    ("cells@champion", None, "models:/cells@champion"), ("cells/3", None, "models:/cells/3"),
    ("a=cells/latest", "a", "models:/cells/latest"), ("models:/cells/3", None, "models:/cells/3"),
    ("nuts=/x/y.onnx", "nuts", "/x/y.onnx"), ("/x/y.onnx", None, "/x/y.onnx"), ("", None, "")])
def test_words_of_the_command(word: str, name: str | None, address: str) -> None:
    assert address_of(word) == (name, address)


def target(address: str, path: str = "/nothing.onnx") -> Target:
    return Target("cells", address, path, "0", "1", None, ("a",), "onnxruntime")


def test_a_registry_behind_http(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    answers = {"champion": (200, {"model_version": {"version": "7"}}), "gone": (404, {}), "bad": (200, {}),
               "broken": (500, {})}
    seen: list[str] = []

    class Registry(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:  # noqa: N802
            seen.append(str(self.headers["Authorization"]))
            status, body = answers[self.path.rpartition("=")[2]]
            self.send_response(status)
            self.end_headers()
            self.wfile.write(json.dumps(body).encode())

        def log_message(self, *_: object) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Registry) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        monkeypatch.setenv("MLFLOW_REGISTRY_URI", f"http://127.0.0.1:{server.server_port}")
        monkeypatch.setenv("MLFLOW_TRACKING_USERNAME", "ann")
        monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", "secret")
        assert mark_of(target("models:/cells@champion"), tmp_path) == "7" and seen == ["Basic YW5uOnNlY3JldA=="]
        for alias, reason in (("gone", "no alias"), ("bad", "cannot be reached"), ("broken", "answers 500")):
            with pytest.raises(Away, match=reason):
                mark_of(target(f"models:/cells@{alias}"), tmp_path)
        server.shutdown()
    with pytest.raises(Away, match="cannot be reached"):
        mark_of(target("models:/cells@champion"), tmp_path)


def test_what_never_moves_and_what_may(tmp_path: Path, quarters: Path) -> None:
    assert mark_of(target("models:/cells/3"), tmp_path) is None
    (tmp_path / "v1").mkdir()
    (tmp_path / "v2").mkdir()
    for name in ("v1", "v2"):
        (tmp_path / name / "model.onnx").write_bytes(quarters.read_bytes())
    (tmp_path / "current").symlink_to("v1")
    followed = target(str(tmp_path / "current"), str(tmp_path / "v1/model.onnx"))
    before = mark_of(followed, tmp_path)
    time.sleep(0.01)
    (tmp_path / "next").symlink_to("v2")
    (tmp_path / "next").replace(tmp_path / "current")
    assert mark_of(followed, tmp_path) != before
    (tmp_path / "current").unlink()
    with pytest.raises(Away, match="gone"):
        mark_of(followed, tmp_path)


def test_what_can_be_served(tmp_path: Path, quarters: Path) -> None:
    """A file, a bundle and a model folder, each with a name of its own; no torch is imported for the last."""
    from tasks.base.files import write_json
    from tasks.bundle.make import make_bundle
    from tasks.serving.resolving import resolve

    bundle = make_bundle(str(quarters), tmp_path / "bundle")
    folder = tmp_path / "trained"
    write_json(folder / "model.json", {"problem": "detect", "classes": ["a"], "schema": 1})
    (folder / "model.safetensors").write_bytes(b"")
    found = resolve([str(quarters), f"second={bundle}", str(folder)], tmp_path)
    assert [one.name for one in found] == ["quarters", "second", "trained"]
    assert [one.runtime for one in found] == ["onnxruntime", "onnxruntime", "torch"]
    assert found[0].sha256 == found[1].sha256 and found[1].path == str(bundle / "model.onnx")
    assert found[0].classes == ("red", "green") and Target.of(json.loads(json.dumps(found[0].plain()))) == found[0]


@pytest.mark.parametrize(("word", "reason"), [
    ("kinds.onnx", "'classify'"), ("nothing.onnx", "no such model"), ("cells@champion", "no version of 'cells'"),
    ("models:/", "is no address"), ("empty", "no model here")])
def test_what_cannot_be_served(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, word: str, reason: str) -> None:
    from tasks.base.errors import UserError
    from tasks.serving.resolving import resolve
    from tests.runtime.test_cascade import write_colour_classifier

    isolate(monkeypatch)
    monkeypatch.chdir(tmp_path)
    write_colour_classifier(tmp_path / "kinds.onnx")
    (tmp_path / "empty").mkdir()
    place = word if "@" in word or ":" in word else str(tmp_path / word)
    with pytest.raises(UserError, match=reason):
        resolve([place], tmp_path)
