"""Downloads from servers that stall, lie, and lead elsewhere."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tasks.base.errors import DataError
from tasks.data import dialling, download
from tests.data.server import Headers, Server, always, redirect, reply

BODY = os.urandom(300_000)


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    monkeypatch.setattr(download, "BACKOFF_S", 0.01)
    for name in ("http_proxy", "https_proxy", "all_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    with Server() as started:
        yield started


def get(url: str, folder: Path, **more: Any) -> bytes:
    options = {"max_bytes": 1 << 20, "timeout": 2.0, "allow_private": True} | more
    download.download(url, folder / "file", **options)
    content = (folder / "file").read_bytes()
    (folder / "file").unlink()
    assert not list(folder.iterdir()), "something stayed beside it"
    return content


def fails(url: str, folder: Path, what: str, **more: Any) -> str:
    with pytest.raises(DataError, match=what) as told:
        get(url, folder, **more)
    assert not (folder / "file").exists()
    return str(told.value)


def test_a_file_as_it_is(server: Server, tmp_path: Path) -> None:
    server.answers["/a%20b.zip?x=1"] = always(reply(BODY, Content_Encoding="gzip"))
    assert get(server.url("/a b.zip?x=1#part"), tmp_path) == BODY
    headers = server.seen[0][1]
    assert (headers["accept-encoding"], headers["host"]) == ("identity", f"127.0.0.1:{server.port}")
    assert "range" not in headers and "authorization" not in headers


def test_without_a_length_and_in_chunks(server: Server, tmp_path: Path) -> None:
    server.answers["/open"] = always(reply(BODY, length=-1))
    chunks = b"".join(b"%x\r\n" % len(part) + part + b"\r\n" for part in (BODY[:1000], BODY[1000:], b""))
    server.answers["/chunks"] = always(reply(chunks, length=-1, Transfer_Encoding="chunked"))
    server.answers["/empty"] = always(reply(b""))
    assert get(server.url("/open"), tmp_path) == get(server.url("/chunks"), tmp_path) == BODY
    assert get(server.url("/empty"), tmp_path) == b""


@pytest.mark.parametrize("before", [b"", b"HTTP/1.1 200 OK\r\nContent-", reply(BODY[:1000], length=300_000)])
def test_a_stall(server: Server, tmp_path: Path, before: bytes) -> None:
    def stall(headers: Headers, connection: socket.socket, asked: int) -> None:
        connection.sendall(before)
        server.wait(5)

    server.answers["/a"] = stall
    start = time.monotonic()
    fails(server.url("/a"), tmp_path, "the server sent nothing for 0.3 s", timeout=0.3)
    assert time.monotonic() - start < 2 and len(server.seen) == 1


@pytest.mark.parametrize("before", [b"", b"HTTP/1.1 200 OK\r\nX: ", reply(length=300_000),
                                    reply(length=-1, Transfer_Encoding="chunked")])
def test_a_drip(server: Server, tmp_path: Path, before: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    """Never silent for long, and never done."""
    monkeypatch.setattr(dialling, "WINDOW_S", 0.5)

    def drip(headers: Headers, connection: socket.socket, asked: int) -> None:
        connection.sendall(before)
        for _ in range(100):
            connection.sendall(b"1")
            server.wait(0.05)

    server.answers["/a"] = drip
    fails(server.url("/a"), tmp_path, "too slow: [0-9]+ bytes/s")


def test_fewer_bytes_than_announced(server: Server, tmp_path: Path) -> None:
    server.answers["/a"] = always(reply(BODY, length=len(BODY) + 1))
    fails(server.url("/a"), tmp_path, "ended after 300,000 of 300,001 bytes")
    assert len(server.seen) == download.TRIES + 1
    server.answers["/b"] = always(reply(b"5\r\nabc", length=-1, Transfer_Encoding="chunked"))
    fails(server.url("/b"), tmp_path, "the download failed")


def test_more_bytes_than_announced(server: Server, tmp_path: Path) -> None:
    server.answers["/a"] = always(reply(BODY, length=1000, ETag='"v1"'))
    fails(server.url("/a"), tmp_path, "sent more than the 1,000 bytes that it announced")
    server.answers["/a"] = always(reply(BODY, ETag='"v1"'))
    assert get(server.url("/a"), tmp_path) == BODY  # what was there is not gone on with


def test_more_bytes_than_allowed(server: Server, tmp_path: Path) -> None:
    server.answers["/a"] = always(reply(BODY))
    server.answers["/b"] = always(reply(BODY, length=-1))
    for path in ("/a", "/b"):
        fails(server.url(path), tmp_path, "more than 299,999 bytes", max_bytes=299_999)
    assert get(server.url("/b"), tmp_path, max_bytes=300_000) == BODY


def test_redirects_are_followed_five_times(server: Server, tmp_path: Path) -> None:
    server.answers |= {f"/{k}": redirect(f"/{k + 1}", status) for k, status in enumerate(
        ["301 Moved", "302 Found", "303 See Other", "307 Temporary Redirect", "308 Permanent Redirect"])}
    server.answers["/5"] = always(reply(BODY))
    assert get(server.url("/0"), tmp_path) == BODY
    server.answers["/5"] = redirect("/0")
    fails(server.url("/0"), tmp_path, "more than 5 redirects")


@pytest.mark.parametrize(("to", "what"), [
    ("file:///etc/passwd", "a redirect to file:"), ("ftp://127.0.0.1/a", "a redirect to ftp:"),
    ("gopher://x", "a redirect to gopher:"), ("data:text/plain,x", "a redirect to data:"),
    ("http://[::1", "what is no URL"), ("", "a redirect to nowhere"),
    ("http://x:99999999/", "not an http or https URL")])
def test_redirects_that_are_not_followed(server: Server, tmp_path: Path, to: str, what: str) -> None:
    server.answers["/a"] = redirect(to)
    fails(server.url("/a"), tmp_path, what)
    assert len(server.seen) == 1


def test_a_host_that_is_not_there(server: Server, tmp_path: Path) -> None:
    fails("http://no-such-host.invalid/a", tmp_path, "host 'no-such-host.invalid' is not found")
    fails("http://a..b/a", tmp_path, "is not found")
    free = socket.create_server(("127.0.0.1", 0))
    port = free.getsockname()[1]
    free.close()
    fails(f"http://127.0.0.1:{port}/a", tmp_path, "no connection: .*refused")


@pytest.mark.parametrize("status", ["404 Not Found", "403 Forbidden", "401 Unauthorized", "204 No Content"])
def test_a_refusal_is_not_asked_again(server: Server, tmp_path: Path, status: str) -> None:
    server.answers["/a"] = always(reply(status=status))
    fails(server.url("/a"), tmp_path, f"the server answered {status}")
    assert len(server.seen) == 1


@pytest.mark.parametrize("first", [reply(status="500 Oh"), reply(status="503 Busy"), b"", b"rubbish\r\n\r\n"])
def test_what_may_pass_is_asked_again(server: Server, tmp_path: Path, first: bytes) -> None:
    def answer(headers: Headers, connection: socket.socket, asked: int) -> None:
        connection.sendall(reply(BODY) if asked == 2 else first)

    server.answers["/a"] = answer
    assert get(server.url("/a"), tmp_path) == BODY
    server.answers["/b"] = always(reply(status="500 Oh"))
    fails(server.url("/b"), tmp_path, "the server answered 500 Internal Server Error")


def resumable(server: Server, cut: int, etags: list[str], wrong: str = "") -> None:
    """Breaks off after `cut` bytes the first time; then gives ranges, of the version that `etags` names."""
    def answer(headers: Headers, connection: socket.socket, asked: int) -> None:
        etag = etags[min(asked, len(etags) - 1)]
        if asked == 0:
            connection.sendall(reply(BODY[:cut], length=len(BODY), ETag=etag))
        elif "range" in headers and headers["if-range"] == etag:
            start = int(headers["range"].removeprefix("bytes=").removesuffix("-"))
            said = wrong or f"bytes {start}-{len(BODY) - 1}/{len(BODY)}"
            connection.sendall(reply(BODY[start:], "206 Partial Content", Content_Range=said, ETag=etag))
        else:
            connection.sendall(reply(BODY, ETag=etag))

    server.answers["/a"] = answer


@pytest.mark.parametrize(("etags", "wrong", "asked"), [
    (['"v1"'], "", 2), (['"v1"', '"v2"'], "", 2), (['W/"v1"'], "", 2), (['"v1"'], "bytes 0-99/100", 3)])
def test_what_broke_off_is_gone_on_with(server: Server, tmp_path: Path, etags: list[str], wrong: str,
                                        asked: int) -> None:
    resumable(server, 200_000, etags, wrong)
    assert get(server.url("/a"), tmp_path) == BODY
    ranges = [headers.get("range") for _, headers in server.seen]
    assert len(ranges) == asked and ranges[1] == (None if etags[0].startswith("W/") else "bytes=200000-")


def test_the_next_call_goes_on_too(server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(download, "TRIES", 0)
    resumable(server, 200_000, ['"v1"'])
    fails(server.url("/a"), tmp_path, "ended after 200,000 of 300,000")
    assert get(server.url("/a"), tmp_path) == BODY
    assert server.seen[1][1]["range"] == "bytes=200000-"


def test_a_part_of_another_url_is_not_gone_on_with(server: Server, tmp_path: Path,
                                                   monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(download, "TRIES", 0)
    resumable(server, 200_000, ['"v1"'])
    fails(server.url("/a"), tmp_path, "ended after")
    server.answers["/b"] = always(reply(b"other", ETag='"v1"'))
    assert get(server.url("/b"), tmp_path) == b"other"
    assert "range" not in server.seen[1][1]


def test_one_process_at_a_time(server: Server, tmp_path: Path) -> None:
    server.answers["/a"] = always(reply(BODY))
    with download.Part(tmp_path / ".file.part", "x").opened():
        fails(server.url("/a"), tmp_path, "another process is downloading it")


def test_secrets_are_sent_and_not_told(server: Server, tmp_path: Path) -> None:
    server.answers["/a?key=SECRET"] = always(reply(status="404 Not Found"))
    url = f"http://me:PASS@127.0.0.1:{server.port}/a?key=SECRET"
    told = fails(url, tmp_path, "404")
    assert f"http://127.0.0.1:{server.port}/a?…" in told
    assert "SECRET" not in told and "PASS" not in told
    assert server.seen[0][1]["authorization"] == "Basic bWU6UEFTUw=="
    with Server({"/b": always(reply(BODY))}) as other:
        server.answers["/a?key=SECRET"] = redirect(other.url("/b"))
        assert get(url, tmp_path) == BODY
        assert "authorization" not in other.seen[0][1]


@pytest.mark.parametrize("url", ["http://", "http:///a", "http://[bad/a", "http://x:0x1/", "file:///etc/passwd"])
def test_what_is_no_url(tmp_path: Path, url: str) -> None:
    fails(url, tmp_path, "not an http or https URL")
