"""Who is told, how often it is tried, and that nothing of it stops a run or prints a secret."""

from __future__ import annotations

import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from tasks import notify
from tasks.base.files import write_json
from tasks.base.site import Notify

SECRET = "t0ken-of-the-chat"


class Chat:
    """A webhook on loopback that answers with the given status codes in turn, the last one for ever."""

    def __init__(self) -> None:
        self.answers, self.bodies, self.hang = [200], [], threading.Event()
        chat = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                chat.bodies.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
                status = chat.answers.pop(0) if len(chat.answers) > 1 else chat.answers[0]
                if status == 0:
                    chat.hang.wait(60)
                    return
                self.send_response(status)
                self.send_header("Location", "http://127.0.0.1:1/elsewhere")
                self.end_headers()

            def log_message(self, *words: Any) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}/hook/{SECRET}"


@pytest.fixture
def chat() -> Iterator[Chat]:
    made = Chat()
    yield made
    made.hang.set()
    made.server.shutdown()
    made.server.server_close()


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(notify, "PAUSES_S", (0.05, 0.05))
    monkeypatch.delenv("VISIONMILL_SITE", raising=False)


@pytest.fixture
def workspace(tmp_path: Path) -> Callable[..., Path]:
    def make(**told: Any) -> Path:
        write_json(tmp_path / "conf/site/local.yaml", {"notify": told})
        return tmp_path

    return make


def send(root: Path, event: Any = "deployed") -> None:
    notify.tell(event, "cells version 3\nis deployed", "All is well.", facts={"version": "3"}, workspace=root)


def test_a_webhook_gets_the_whole_message(chat: Chat, workspace: Callable[..., Path]) -> None:
    root = workspace(webhooks=[chat.url])
    send(root)
    (body,) = chat.bodies
    assert sorted(body) == ["event", "facts", "subject", "text", "when", "workspace"]
    assert (body["event"], body["subject"]) == ("deployed", "cells version 3 is deployed")
    assert body["facts"] == {"version": "3"}
    assert body["workspace"] == root.name and body["when"].endswith("+00:00")


def test_only_events_that_are_wanted_are_told(chat: Chat, workspace: Callable[..., Path]) -> None:
    send(workspace(webhooks=[chat.url], on=["failed"]))
    assert chat.bodies == []
    send(workspace(webhooks=[chat.url], on=["failed"]), "failed")
    assert len(chat.bodies) == 1


@pytest.mark.parametrize(("answers", "tries", "lost"), [([500, 500, 200], 3, False), ([500], 3, True), ([404], 3, True),
                                                        ([302], 3, True), ([204], 1, False)])
def test_it_is_tried_three_times(chat: Chat, workspace: Callable[..., Path], answers: list[int], tries: int, lost: bool,
                                 capsys: pytest.CaptureFixture[str]) -> None:
    chat.answers = answers
    send(workspace(webhooks=[chat.url]))
    said = capsys.readouterr().err
    assert len(chat.bodies) == tries and ("nobody was told" in said) is lost
    assert SECRET not in said and (not lost or f"it answered {answers[0]}" in said)


def test_one_that_hangs_holds_nothing_up_for_long_and_the_others_are_told(
        chat: Chat, workspace: Callable[..., Path], capsys: pytest.CaptureFixture[str],
        monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(notify, "LIMIT_S", 2.0)
    other = Chat()
    chat.answers = [0]
    begun = time.monotonic()
    send(workspace(webhooks=[chat.url, other.url], timeout_s=600))
    assert time.monotonic() - begun < 30 and len(other.bodies) == 1
    said = capsys.readouterr().err
    assert said.count("nobody was told") == 1 and "webhook 1/127.0.0.1" in said and SECRET not in said
    other.server.shutdown()
    other.server.server_close()


@pytest.mark.parametrize("url", ["http://127.0.0.1:1/" + SECRET, "ftp://127.0.0.1/" + SECRET, "no address",
                                 "http://[::" + SECRET, "file:///etc/passwd"])
def test_an_address_that_is_none_is_a_warning(url: str, workspace: Callable[..., Path],
                                              capsys: pytest.CaptureFixture[str]) -> None:
    send(workspace(webhooks=[url]))
    said = capsys.readouterr().err
    assert said.count("warning:") == 1 and SECRET not in said


def test_a_broken_site_is_a_warning(workspace: Callable[..., Path], capsys: pytest.CaptureFixture[str]) -> None:
    send(workspace(webhooks=["${NOT_SET_ANYWHERE}"]))
    send(workspace(webhooks="no list"))
    assert capsys.readouterr().err.count("nobody was told") == 2


class Post:
    """A mail server of one letter, as small as SMTP allows."""

    def __init__(self, refuse: bytes = b"") -> None:
        self.socket = socket.create_server(("127.0.0.1", 0))
        self.socket.settimeout(60)
        self.port = self.socket.getsockname()[1]
        self.said: list[str] = []
        self.letter, self.refuse = "", refuse
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        while True:
            try:
                link, _ = self.socket.accept()
            except OSError:
                return
            with link, link.makefile("rwb") as file:
                self._talk(file)

    def _talk(self, file: Any) -> None:
        def answer(text: bytes) -> None:
            file.write(text + b"\r\n")
            file.flush()

        answer(b"220 here")
        for line in file:
            verb, space, rest = line.decode().strip().partition(" ")
            words = verb.upper() + space + rest
            self.said.append(words)
            if words.startswith("EHLO"):
                answer(b"250-here\r\n250 AUTH PLAIN")
            elif self.refuse and words.startswith("AUTH"):
                answer(self.refuse)
            elif words.startswith("AUTH"):
                answer(b"235 welcome")
            elif words == "DATA":
                answer(b"354 go on")
                self.letter = b"".join(iter(lambda: file.readline(), b".\r\n")).decode()
                answer(b"250 taken")
            elif words == "QUIT":
                answer(b"221 bye")
                return
            else:
                answer(b"250 well")


def test_a_letter_is_sent(workspace: Callable[..., Path]) -> None:
    post = Post()
    send(workspace(emails=["ana@example.org", "bo@example.org"], smtp=f"smtp://mill:s%40fe@127.0.0.1:{post.port}",
                   sender="mill@example.org"))
    assert [w for w in post.said if w.startswith("RCPT")] == ["RCPT TO:<ana@example.org>", "RCPT TO:<bo@example.org>"]
    assert "Subject: [visionmill] cells version 3 is deployed" in post.letter and "All is well." in post.letter
    assert any(words.startswith("AUTH PLAIN") for words in post.said)
    post.socket.close()


def test_a_mail_server_that_refuses_is_a_warning_without_the_password(
        workspace: Callable[..., Path], capsys: pytest.CaptureFixture[str]) -> None:
    post = Post(refuse=b"535 wrong password " + SECRET.encode())
    send(workspace(emails=["ana@example.org"], smtp=f"smtp://mill:{SECRET}@127.0.0.1:{post.port}"))
    said = capsys.readouterr().err
    assert "the mail server answered 535" in said and SECRET not in said
    post.socket.close()


def test_a_password_is_not_sent_in_the_open() -> None:
    with pytest.raises(notify.smtplib.SMTPNotSupportedError):
        notify.login_allowed(notify.urlsplit("smtp://mill:safe@mail.example.org"), tls=False)
    notify.login_allowed(notify.urlsplit("smtp://mail.example.org"), tls=False)
    notify.login_allowed(notify.urlsplit("smtp://mill:safe@mail.example.org"), tls=True)


def test_more_ways_are_asked_too(workspace: Callable[..., Path], monkeypatch: pytest.MonkeyPatch,
                                 capsys: pytest.CaptureFixture[str]) -> None:
    heard: list[str] = []

    def ways(wanted: Notify, body: Any) -> dict[str, notify.Way]:
        return {"good": lambda seconds: heard.append(body["subject"]), "bad": lambda seconds: 1 / 0}

    monkeypatch.setattr(notify, "MORE", [ways])
    send(workspace())
    assert heard == ["cells version 3 is deployed"] and "by bad: ZeroDivisionError" in capsys.readouterr().err
