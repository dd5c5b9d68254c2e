"""Addresses and tokens that cannot be any, and answers of what is no Label Studio."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tasks.base.errors import UserError
from tasks.base.files import write_json
from tasks.labelling.studio.access import Access, find_access
from tasks.labelling.studio.client import Client, StudioAway
from tests.labelling.studio.asking import Sent, first, prediction
from tests.labelling.studio.fake import Fake


@contextmanager
def saying(body: bytes, more: str = "") -> Iterator[str]:
    """A server that says the same to everybody."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        def serve() -> None:
            while True:
                try:
                    there, _ = listening.accept()
                except OSError:
                    return
                with there:
                    there.recv(1 << 16)
                    head = f"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: {len(body)}\r\n{more}\r\n"
                    there.sendall(head.encode() + body)

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"
        listening.shutdown(socket.SHUT_RDWR)
        thread.join()


def asked(url: str, token: str, ask: Callable[[Client], object]) -> object:
    with Client(Access(url, token)) as client:
        return ask(client)


def test_an_answer_that_cannot_be_unpacked_is_a_server_that_is_away() -> None:
    with saying(b"no gzip", "Content-Encoding: gzip\r\n") as url:
        for token in ("plain", "a.personal.token"):
            with pytest.raises(StudioAway, match="DecodingError"):
                asked(url, token, lambda client: client.get("/api/version"))


@pytest.mark.parametrize("body", [b"[]", b"{}", b'{"access": 3}', b"[" * 100_000, b'{"x": "\\ud800"}', b"\xff"])
def test_answers_of_another_shape_are_told(body: bytes) -> None:
    with saying(body) as url, pytest.raises(UserError, match="is this a Label Studio"):
        asked(url, "a.personal.token", lambda client: client.get("/api/version"))


def test_a_list_without_a_count_is_taken_as_it_is() -> None:
    with saying(b"[]") as url:
        assert asked(url, "plain", lambda client: client.pages("/api/tasks", "tasks")) == []


@pytest.mark.parametrize("url", ["http://", "http://[::1", "http://host:port", "http://host:99999", "host:8080"])
def test_an_address_that_is_none_is_told_before_anybody_is_asked(tmp_path: Path, url: str) -> None:
    named(tmp_path, url, "token")
    with pytest.raises(UserError, match="no address of a Label Studio"):
        find_access(tmp_path)


@pytest.mark.parametrize("token", ["geheim…", "ge heim", "ge\nheim", "ge\theim"])
def test_a_token_that_no_header_holds_is_told_and_not_shown(tmp_path: Path, token: str) -> None:
    named(tmp_path, "http://127.0.0.1:8080", token)
    with pytest.raises(UserError, match="cannot be one") as raised:
        find_access(tmp_path)
    assert "heim" not in str(raised.value)


def test_a_token_out_of_a_file_with_a_last_line_end_is_good(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LABEL_STUDIO_TOKEN", "abc\n")
    named(tmp_path, "http://127.0.0.1:8080", "${LABEL_STUDIO_TOKEN}")
    assert find_access(tmp_path).token == "abc"


def named(workspace: Path, url: str, token: str) -> None:
    (workspace / "conf/site").mkdir(parents=True)
    write_json(workspace / "conf/site/local.yaml", {"labelling": {"url": url, "token": token}})


def test_numbers_and_predictions_that_are_none_are_left_aside(server: Fake, sent: Sent) -> None:
    job, _, desk = sent
    task = first(server, job)
    server.answer(task["id"], prediction(task))
    task["annotations"][0]["lead_time"] = 10 ** 400
    task["predictions"] = 3
    (answer,) = desk.fetch(job)
    assert answer.seconds is None and answer.boxes.num_rows == 2
    desk.give_back(job, job.order[:1], "again")
