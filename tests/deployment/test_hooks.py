"""MLflow's webhooks: believed when signed, fresh and new; refused at once otherwise."""

from __future__ import annotations

import http.client
import json
import socket
import stat
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tasks.registry.promotion import hooks
from tasks.registry.promotion.hooks import Deliveries, Told
from tasks.registry.promotion.receiver import MOST_BYTES, PATH, Receiver

BODY = {"entity": "model_version_alias", "action": "created", "timestamp": "2026-01-01T00:00:00+00:00",
        "data": {"name": "cells", "alias": "champion", "version": "3"}}
Listening = tuple[Receiver, list[Told]]


@pytest.fixture
def listening(tmp_path: Path) -> Iterator[Listening]:
    heard: list[Told] = []
    server = Receiver(0, hooks.hook_secret(tmp_path), Deliveries(tmp_path / "seen.json"), heard.append,
                      lambda: {"status": "ok"})
    server.start()
    yield server, heard
    server.shutdown()
    server.server_close()


def signed(server: Receiver, body: bytes, delivery: str = "d-1", at: float | None = None) -> dict[str, str]:
    """The headers as MLflow itself makes them."""
    from mlflow.webhooks import delivery as mlflow_delivery
    from mlflow.webhooks.constants import (
        WEBHOOK_DELIVERY_ID_HEADER,
        WEBHOOK_SIGNATURE_HEADER,
        WEBHOOK_TIMESTAMP_HEADER,
    )

    stamp = str(int(time.time() if at is None else at))
    signature = mlflow_delivery._generate_hmac_signature(server.secret, delivery, stamp, body.decode())
    return {WEBHOOK_DELIVERY_ID_HEADER: delivery, WEBHOOK_TIMESTAMP_HEADER: stamp, WEBHOOK_SIGNATURE_HEADER: signature}


def post(server: Receiver, body: bytes, headers: dict[str, str], path: str = PATH) -> tuple[int, Any]:
    link = http.client.HTTPConnection("127.0.0.1", server.port, timeout=30)
    try:
        link.request("POST", path, body, headers)
        answer = link.getresponse()
        return answer.status, json.loads(answer.read())
    finally:
        link.close()


def test_a_signed_delivery_is_taken_and_a_replay_tells_nothing_again(listening: Listening) -> None:
    server, heard = listening
    body = json.dumps(BODY).encode()
    headers = signed(server, body)
    assert post(server, body, headers) == (202, {"status": "taken"})
    assert post(server, body, headers)[0] == 200
    assert heard == [Told("cells", "champion", "3")]


def test_a_replay_is_known_after_a_restart(listening: Listening, tmp_path: Path) -> None:
    server, _ = listening
    body = json.dumps(BODY).encode()
    headers = signed(server, body)
    post(server, body, headers)
    assert hooks.verify(headers, body, server.secret, Deliveries(tmp_path / "seen.json")) is False
    (tmp_path / "seen.json").write_text("[")
    assert hooks.verify(headers, body, server.secret, Deliveries(tmp_path / "seen.json")) is True


@pytest.mark.parametrize("spoil", [
    {hooks.SIGNATURE: "v1,AAAA"}, {hooks.SIGNATURE: ""}, {hooks.SIGNATURE: "v2,é"}, {hooks.DELIVERY: "another"},
    {hooks.DELIVERY: ""}, {hooks.TIMESTAMP: "1"}, {hooks.TIMESTAMP: "now"}, {hooks.TIMESTAMP: ""}])
def test_a_bad_signature_is_refused(listening: Listening, spoil: dict[str, str]) -> None:
    server, heard = listening
    body = json.dumps(BODY).encode()
    headers = {name: value.encode().decode("latin-1") for name, value in {**signed(server, body), **spoil}.items()}
    assert post(server, body, headers)[0] == 401 and heard == []


@pytest.mark.parametrize("off", [-2 * hooks.WINDOW_S, 2 * hooks.WINDOW_S])
def test_a_late_or_early_time_stamp_is_refused_though_it_is_signed(listening: Listening, off: float) -> None:
    server, heard = listening
    body = json.dumps(BODY).encode()
    status, said = post(server, body, signed(server, body, at=time.time() + off))
    assert status == 401 and "time stamp" in said["error"] and heard == []


def test_another_body_than_the_signed_one_is_refused(listening: Listening) -> None:
    server, heard = listening
    headers = signed(server, json.dumps(BODY).encode())
    assert post(server, json.dumps({**BODY, "action": "deleted"}).encode(), headers)[0] == 401 and heard == []


@pytest.mark.parametrize("body", [b"no json", b"[]", b"{}", b'{"entity": "model_version_alias", "action": "created"}',
                                  b'{"entity": "model_version_alias", "action": "created", "data": 3}',
                                  b"[" * 50_000, b"\xff\xfe"[:0] + b"null"])
def test_what_is_not_json_as_mlflow_sends_it_is_400(listening: Listening, body: bytes) -> None:
    server, heard = listening
    assert post(server, body, signed(server, body))[0] == 400 and heard == []


def test_other_events_are_taken_and_mean_nothing(listening: Listening) -> None:
    server, heard = listening
    body = json.dumps({**BODY, "entity": "prompt_alias"}).encode()
    assert post(server, body, signed(server, body))[0] == 202 and heard == []
    gone = json.dumps({**BODY, "action": "deleted", "data": {"name": "cells", "alias": "champion"}}).encode()
    assert post(server, gone, signed(server, gone, "d-2"))[0] == 202
    assert heard == [Told("cells", "champion", None)]


def get(server: Receiver, path: str) -> tuple[int, Any]:
    link = http.client.HTTPConnection("127.0.0.1", server.port, timeout=30)
    try:
        link.request("GET", path)
        answer = link.getresponse()
        return answer.status, json.loads(answer.read())
    finally:
        link.close()


def raw(server: Receiver, text: bytes) -> bytes:
    with socket.create_connection(("127.0.0.1", server.port), timeout=30) as link:
        link.sendall(text)
        return link.recv(200)


def test_a_huge_body_is_refused_before_it_is_read(listening: Listening) -> None:
    server, _ = listening
    head = f"POST {PATH} HTTP/1.1\r\nHost: x\r\nContent-Length: "
    assert b" 413 " in raw(server, f"{head}{MOST_BYTES + 1}\r\n\r\n".encode())
    assert b" 413 " in raw(server, f"{head}{10**30}\r\n\r\n".encode())
    for length in ("-1", "x", "1_0"):
        assert b" 411 " in raw(server, f"{head}{length}\r\n\r\n".encode())
    assert b" 411 " in raw(server, f"POST {PATH} HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n".encode())


def test_health_other_paths_and_rubbish(listening: Listening) -> None:
    server, _ = listening
    assert get(server, "/health") == (200, {"status": "ok"})
    assert post(server, b"{}", {}, "/elsewhere")[0] == 404
    assert b" 404 " in raw(server, b"GET / HTTP/1.0\r\n\r\n")
    assert b"400" in raw(server, b"\x00\x01\x02 rubbish\r\n\r\n")
    assert b" 200 " in raw(server, b"GET /health HTTP/1.0\r\n\r\n")


def test_many_that_hang_leave_the_receiver_alive(listening: Listening) -> None:
    server, _ = listening
    hanging = [socket.create_connection(("127.0.0.1", server.port), timeout=30) for _ in range(60)]
    for link in hanging:
        link.close()
    end = time.monotonic() + 60
    while time.monotonic() < end:
        try:
            if b" 200 " in raw(server, b"GET /health HTTP/1.0\r\n\r\n"):
                return
        except OSError:
            time.sleep(0.2)
    pytest.fail("it does not answer any more")


def test_the_secret_is_made_once_and_for_its_owner_alone(tmp_path: Path) -> None:
    secret = hooks.hook_secret(tmp_path)
    assert len(secret) == 44 and hooks.hook_secret(tmp_path) == secret
    file = tmp_path / ".visionmill" / hooks.SECRET
    assert stat.S_IMODE(file.stat().st_mode) == 0o600 and [p.name for p in file.parent.iterdir()] == [hooks.SECRET]


def test_only_a_server_on_this_machine_is_asked_to_call() -> None:
    check: Callable[[str], bool] = hooks.can_reach
    assert check("http://127.0.0.1:5000") and check("http://localhost:5000") and not check("https://mlflow.example.org")
