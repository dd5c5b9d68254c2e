"""Many pictures at once: taken, done in order, kept; none lost and none twice, whatever happens to the server."""

from __future__ import annotations

import asyncio
import io
import json
import os
import signal
import time
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tasks.serving import intake
from tasks.serving.batches import Batches, Results
from tasks.serving.intake import Limits, unpack
from tasks.serving.process import Died, Unopened
from tasks.serving.settings import BadRequest
from tasks.serving.target import Target
from tests.quarters import coloured

from .pictures import bomb, coded, form, text
from .running import Server, serving, wait_for

RED, GREEN = coded(coloured(0)), coded(coloured(1))
TARGET = Target("q", "q", "/q", "0", None, None, ("red", "green"), "onnxruntime")
LIMITS = Limits(100, 1_000_000, 5_000_000)


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory, quarters: Path) -> Iterator[Server]:
    """Batches of at most 300 pictures and 2 MB."""
    with serving(tmp_path_factory.mktemp("batches"), str(quarters), batch_mb=2, batch_pictures=300, request_mb=1,
                 batches=3) as found:
        yield found


def zipped(files: dict[str, bytes], **options: Any) -> bytes:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", options.get("method", zipfile.ZIP_DEFLATED)) as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return content.getvalue()


def begin(server: Server, body: Any, kind: str | None = None, query: str = "") -> Any:
    return server.ask("POST", f"/v1/models/quarters/batches{query}", body, kind)


def rows(server: Server, batch: str) -> list[dict[str, Any]]:
    body = server.ask("GET", f"/v1/batches/{batch}/results").body
    assert not body or body.endswith(b"\n")
    return [json.loads(line) for line in body.splitlines()]


FILES = {"a/red.png": RED, "b green.png": GREEN, "../../etc/notes.txt": b"no picture", "bomb.png": bomb(), "empty": b""}


@pytest.mark.parametrize("sent", ["zip", "form", "json"])
def test_each_form_gives_one_line_a_picture_in_order(small: Server, sent: str) -> None:
    if sent == "zip":
        made = zipped({**FILES, "__MACOSX/._a": b"x", "a/.DS_Store": b"x"}), "application/zip"
    elif sent == "form":
        made = form(FILES)
    else:
        made = {"images": [{"name": name, "image": text(content)} for name, content in FILES.items()]}, None  # type: ignore[assignment]
    reply = begin(small, *made)
    assert reply.status == 202 and reply.headers["location"] == reply.json["url"] and reply.json["total"] == 5
    ended = small.finished(reply.json["id"])
    assert (ended["state"], ended["done"], ended["failed"]) == ("done", 5, 3)
    found = rows(small, ended["id"])
    assert [row["index"] for row in found] == list(range(5)) and [row["name"] for row in found] == list(FILES)
    assert found[0]["detections"] == small.predict(RED).json["detections"]
    assert found[1]["detections"][0]["class"] == "green" and found[1]["sha256"] == ended["sha256"]
    assert "not a picture" in found[2]["error"] and "too many pixels" in found[3]["error"]
    assert "0 bytes" in found[4]["error"]
    place = small.folder / ".visionmill/serve/batches" / ended["id"]
    assert {file.name for file in place.iterdir()} == {"batch.json", "results.jsonl", "ended.json"}


def test_settings_hold_for_all_pictures(small: Server) -> None:
    reply = begin(small, *form({"a": coded(coloured(0, 1, 0))}, {"thresholds": '{"red": 0.99}'}), "?max_detections=1")
    (row,) = rows(small, small.finished(reply.json["id"])["id"])
    assert [found["class"] for found in row["detections"]] == ["green"]


@pytest.mark.parametrize(("body", "kind", "status", "reason"), [
    (b"PK no", "application/zip", 400, "not a zip archive"), (zipped({}), "application/zip", 400, "no picture"),
    (zipped({"a": b"x"})[:40], "application/zip", 400, "not a zip archive"), (b"", "application/zip", 400, "not a zip"),
    (zipped({"a": b"\0" * 1_500_000}), "application/zip", 400, "unpacks to"),
    (zipped({f"{n}": b"x" for n in range(301)}), "application/zip", 400, "more than 300 pictures"),
    (zipped({f"{n}": b"" for n in range(3000)}), "application/zip", 400, "far more than 300"),
    (*form({}), 400, "no picture"), (b"", "multipart/form-data; boundary=b", 400, "empty"),
    (form({"a": b"x"})[0][:-30], form({})[1], 400, "cut off"), (b"{}", "application/json", 400, "batch in JSON"),
    (b'{"images": ["!"]}', "application/json", 400, "image 0"), (RED, "image/png", 415, "application/zip"),
    (b'{"images": [{"name": 3, "image": "QQ=="}]}', "application/json", 400, "name of image 0"),
    (b"\0" * 2_100_000, "application/zip", 413, "more than 2,000,000")],
    ids=lambda value: f"{len(value)} bytes" if isinstance(value, bytes) else None)  # a zip holds the time
def test_what_is_no_batch(small: Server, body: bytes, kind: str, status: int, reason: str) -> None:
    before = len(small.get("/v1/batches")["batches"])
    reply = begin(small, body, kind)
    assert reply.status == status and reason in reply.json["error"], reply
    assert len(small.get("/v1/batches")["batches"]) == before
    assert not list((small.folder / ".visionmill/serve/batches").glob(".upload-*"))


def test_wrong_settings_are_told_at_once(small: Server) -> None:
    reply = begin(small, *form({"a": RED}), "?thresholds=%7B%22blue%22:0.5%7D")
    assert reply.status == 400 and "no class 'blue'" in reply.json["error"]


def test_a_batch_that_is_cancelled_and_one_too_many(small: Server) -> None:
    small.predict(RED)
    (pid,) = wait_for(lambda: small.processes())
    os.kill(pid, signal.SIGSTOP)  # nothing goes on
    try:
        made = [begin(small, *form({str(n): RED for n in range(20)})).json for _ in range(3)]
        refused = begin(small, *form({"a": RED}))
        assert refused.status == 429 and refused.headers["retry-after"]
        for one in made:
            told = small.ask("DELETE", one["url"])
            assert told.status == 200 and told.json["state"] == "cancelled"
    finally:
        os.kill(pid, signal.SIGCONT)
    assert small.get(made[0]["url"])["state"] == "cancelled" and rows(small, made[2]["id"]) == []
    assert small.ask("DELETE", made[0]["url"]).json["state"] == "removed"
    assert small.ask("GET", made[0]["url"]).status == 404
    assert small.finished(begin(small, *form({"a": RED})).json["id"])["state"] == "done"


def test_people_are_answered_while_a_batch_runs(small: Server) -> None:
    batch = begin(small, *form({str(n): RED for n in range(250)})).json
    seen = []
    while small.get(batch["url"])["state"] != "done":
        assert small.predict(GREEN).status == 200
        seen.append(small.get(batch["url"])["done"])
    assert len(rows(small, batch["id"])) == 250 and seen == sorted(seen)


def test_a_server_that_is_killed_finishes_after_its_next_start(tmp_path: Path, quarters: Path) -> None:
    pictures = {f"{n}.png": RED if n % 2 else GREEN for n in range(400)}
    made: list[str] = []
    for wanted in (30, 150, 300):
        with serving(tmp_path, str(quarters)) as server:
            if not made:
                made = [begin(server, *form(pictures)).json["id"] for _ in range(2)]
            while server.get(f"/v1/batches/{made[0]}")["done"] < wanted:
                time.sleep(0.02)
            os.killpg(server.process.pid, signal.SIGKILL)
            server.process.wait()
    with serving(tmp_path, str(quarters)) as server:
        for batch in made:
            ended = server.finished(batch)
            assert (ended["state"], ended["done"], ended["failed"]) == ("done", 400, 0)
            found = rows(server, batch)
            assert [(row["index"], row["name"]) for row in found] == list(enumerate(pictures))
            assert [row["detections"][0]["class"] for row in found] == ["green", "red"] * 200


def test_a_torn_line_is_written_again(tmp_path: Path) -> None:
    file = tmp_path / "results.jsonl"
    file.write_bytes(b'{"index": 0}\n{"index": 1, "error": "x"}\n{"index": 2, "na')
    with Results(file) as results:
        assert (results.lines, results.errors) == (2, 1)
        results.add({"index": 2})
    assert [json.loads(line)["index"] for line in file.read_bytes().splitlines()] == [0, 1, 2]


def test_what_was_on_its_way_goes_and_what_is_old_goes(tmp_path: Path) -> None:
    batches = Batches(tmp_path, 7)
    kept = []
    for _ in range(2):
        upload = batches.upload()
        (upload / "request").write_bytes(zipped({"a.png": RED}))
        kept.append(batches.accept(upload, "application/zip", "", TARGET, LIMITS))
    kept[0].end("done")
    kept[1].end("failed", "why")
    batches.upload()
    old = time.time() - 8 * 86_400
    os.utime(kept[0].folder / "ended.json", (old, old))
    again = Batches(tmp_path, 7)
    assert list(again.known) == [kept[1].id] == [path.name for path in tmp_path.iterdir()]
    assert again.known[kept[1].id].told()["reason"] == "why" and again.open() == []


@pytest.mark.parametrize(("change", "reason"), [
    (lambda raw: raw.replace(b"PK\1\2\x14\3\x14\0\0\0", b"PK\1\2\x14\3\x14\0\1\0"), "encrypted"),
    (lambda raw: raw.replace(RED[20:60], b"\0" * 40), "damaged"), (lambda raw: raw[:-10], "damaged")])
def test_damaged_archives(tmp_path: Path, change: Any, reason: str) -> None:
    raw = change(zipped({"a.png": RED}, method=zipfile.ZIP_STORED))
    (tmp_path / "request").write_bytes(raw)
    with pytest.raises(BadRequest, match=reason):
        unpack(tmp_path / "request", "application/zip", tmp_path, LIMITS)


def test_an_archive_whose_headers_lie(tmp_path: Path) -> None:
    raw = zipped({"a.png": b"\0" * 3_000_000})
    size = (3_000_000).to_bytes(4, "little")
    (tmp_path / "request").write_bytes(raw.replace(size, (1000).to_bytes(4, "little")))
    with pytest.raises(BadRequest, match="damaged|more than"):
        unpack(tmp_path / "request", "application/zip", tmp_path, LIMITS)


def test_limits_of_one_and_of_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "request").write_bytes(form({"a": b"x" * 500, "b": b"x" * 600})[0])
    for limits, reason in ((Limits(9, 550, 9999), "'b' has more"), (Limits(9, 999, 1000), "together"),
                           (Limits(1, 999, 9999), "more than 1 pictures")):
        with pytest.raises(BadRequest, match=reason):
            unpack(tmp_path / "request", form({})[1], tmp_path, limits)
    monkeypatch.setattr(intake, "JSON_BYTES", 10)
    with pytest.raises(BadRequest, match="send a zip"):
        unpack(tmp_path / "request", "application/json", tmp_path, LIMITS)


async def ran(folder: Path, script: list[Any], count: int = 3, **changed: Any) -> Any:
    """A batch of `count` pictures, done by made-up processes."""
    from dataclasses import replace

    from tasks.serving.running import Runner

    from .test_pool import house_of

    house, log = house_of(script=script)
    batches = Batches(folder / "batches", 7)
    upload = batches.upload()
    (upload / "request").write_bytes(zipped({str(n): b"{}" for n in range(count)}))
    target = replace(house.targets["a"], **changed)
    batch = batches.accept(upload, "application/zip", "", target, LIMITS)
    runner = Runner(house, Batches(folder / "batches", 7))
    runner.begin()
    batch = runner.batches.known[batch.id]
    while batch.state in ("waiting", "running"):
        await asyncio.sleep(0.01)
    await runner.close()
    await house.close()
    return batch, log


def test_a_picture_that_ends_its_process_twice_is_told_and_the_rest_goes_on(tmp_path: Path) -> None:
    batch, log = asyncio.run(ran(tmp_path, [Died(), Died()]))
    assert (batch.state, batch.done, batch.failed) == ("done", 3, 1) and log.count("start") == 3
    lines = [json.loads(line) for line in (batch.folder / "results.jsonl").read_text().splitlines()]
    assert [line["index"] for line in lines] == [0, 1, 2] and "ended twice" in lines[0]["error"]


def test_a_batch_whose_model_does_not_open_fails_with_its_reason(tmp_path: Path,
                                                                 monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tasks.serving.running.REST_S", 0.01)
    batch, _ = asyncio.run(ran(tmp_path, [Unopened("cut off")] * 9, 1))
    assert batch.state == "failed" and "cut off" in batch.reason
    batch, _ = asyncio.run(ran(tmp_path / "again", [Unopened("busy")], 1))
    assert batch.state == "done"


def test_a_batch_of_a_workspace_that_was_moved_finds_its_file_by_its_hash(tmp_path: Path) -> None:
    batch, log = asyncio.run(ran(tmp_path, [], path="/where/it/was.onnx"))
    assert batch.state == "done" and batch.target.path == "/a" and log.count("start") == 1
