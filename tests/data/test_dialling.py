"""Which hosts are connected to, and how: addresses, proxies, certificates."""

from __future__ import annotations

import socket
import ssl
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tasks.data import dialling
from tasks.data.dialling import is_private, is_public
from tests.data.server import Server, always, redirect, reply
from tests.data.test_download import BODY, fails, get, server

__all__ = ["server"]  # a fixture


PRIVATE = ["127.0.0.1", "127.8.9.1", "10.0.0.1", "192.168.1.1", "172.16.0.1", "169.254.169.254", "0.0.0.0", "224.0.0.1",
           "255.255.255.255", "100.64.0.1", "192.0.2.1", "::1", "::", "fe80::1", "fe80::1%eth0", "fd00::1", "ff02::1",
           "::ffff:127.0.0.1", "::ffff:10.0.0.1", "64:ff9b::7f00:1", "2002:7f00:1::", "2001:db8::1"]


@pytest.mark.parametrize("address", PRIVATE)
def test_addresses_that_are_not_public(address: str) -> None:
    assert not is_public(address)


@pytest.mark.parametrize("address", ["1.1.1.1", "93.184.216.34", "2606:4700:4700::1111", "::ffff:1.1.1.1",
                                     "64:ff9b::101:101", "2002:101:101::"])
def test_addresses_that_are_public(address: str) -> None:
    assert is_public(address)


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "2130706433", "0x7f.1", "127.1"])
def test_a_private_host_is_not_asked(server: Server, tmp_path: Path, host: str) -> None:
    server.answers["/a"] = always(reply(BODY))
    fails(server.url("/a", host), tmp_path, r"private network[\s\S]*--allow-private", allow_private=False)
    assert not server.seen
    assert get(server.url("/a", host), tmp_path) == BODY


def named(monkeypatch: pytest.MonkeyPatch, **answers: list[str]) -> list[str]:
    """A resolver that gives these addresses, one after the other if asked again; and a dial that goes home."""
    asked: list[str] = []
    dialled: list[str] = []
    connect = socket.socket.connect

    def resolve(host: str, port: int) -> list[Any]:
        asked.append(host)
        address = answers[host.split(".")[0]][min(asked.count(host), len(answers[host.split(".")[0]])) - 1]
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port))]

    def home(self: socket.socket, address: tuple[str, int]) -> None:
        dialled.append(address[0])
        connect(self, ("127.0.0.1", address[1]))

    monkeypatch.setattr(dialling, "resolve", resolve)
    monkeypatch.setattr(socket.socket, "connect", home)
    return dialled


def test_a_public_host_that_leads_home(server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    dialled = named(monkeypatch, public=["1.2.3.4"], inside=["10.0.0.1"], localhost=["127.0.0.1"])
    for to in ("http://inside.test:{}/b", "http://localhost:{}/b"):
        server.answers["/a"] = redirect(to.format(server.port))
        server.answers["/b"] = always(reply(BODY))
        told = fails(server.url("/a", "public.test"), tmp_path, "private network", allow_private=False)
        assert "/b" in told
    assert [path for path, _ in server.seen] == ["/a", "/a"] and set(dialled) == {"1.2.3.4"}


def test_a_name_is_looked_up_once(server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Public when it is checked and private when it is dialled: the address that was checked is the one dialled."""
    dialled = named(monkeypatch, rebinding=["1.2.3.4", "127.0.0.1"])
    server.answers["/a"] = always(reply(BODY))
    assert get(server.url("/a", "rebinding.test"), tmp_path, allow_private=False) == BODY
    assert dialled == ["1.2.3.4"]


def test_which_urls_name_a_private_host(monkeypatch: pytest.MonkeyPatch) -> None:
    named(monkeypatch, public=["1.2.3.4"], inside=["10.0.0.1"])
    assert is_private("http://inside.test:81/a") and not is_private("https://public.test/a")
    monkeypatch.undo()
    assert is_private("http://localhost/a") and not is_private("http://no-such-host.invalid/a")


def test_a_proxy_is_asked(server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", f"http://me:PASS@127.0.0.1:{server.port}")
    server.answers["http://data.invalid/a"] = always(reply(BODY))
    assert get("http://data.invalid/a", tmp_path, allow_private=False) == BODY
    assert server.seen[0][1]["proxy-authorization"] == "Basic bWU6UEFTUw=="
    fails("http://10.0.0.1/a", tmp_path, "private network", allow_private=False)
    server.answers["data.invalid:443"] = always(b"HTTP/1.1 403 No\r\n\r\n")
    monkeypatch.setenv("https_proxy", f"http://127.0.0.1:{server.port}")
    fails("https://data.invalid/a", tmp_path, "the proxy answered 'HTTP/1.1 403 No'")


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Signed by itself, for 127.0.0.1."""
    folder = tmp_path_factory.mktemp("tls")
    subprocess.run(["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "1", "-subj", "/CN=test",
                    "-addext", "subjectAltName=IP:127.0.0.1", "-keyout", folder / "both.pem", "-out",
                    folder / "certificate.pem"], check=True, capture_output=True)
    with (folder / "both.pem").open("ab") as both:
        both.write((folder / "certificate.pem").read_bytes())
    return folder


def test_certificates_are_verified(server: Server, tmp_path: Path, certificate: Path,
                                   monkeypatch: pytest.MonkeyPatch) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate / "both.pem")
    plain = server._answer

    def secure(connection: socket.socket) -> None:
        try:
            plain(context.wrap_socket(connection, server_side=True))
        except OSError:
            connection.close()

    monkeypatch.setattr(server, "_answer", secure)
    server.answers["/a"] = always(reply(BODY))
    server.answers["/down"] = redirect("http://127.0.0.1/a")
    url = server.url("/a").replace("http:", "https:")
    fails(url, tmp_path, "certificate is not valid")
    assert not server.seen
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate / "certificate.pem"))
    assert get(url, tmp_path) == BODY
    fails(url.replace("/a", "/down"), tmp_path, "from https to http")
