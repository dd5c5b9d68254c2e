"""Connections to hosts of the open network: the address that was checked is the one that is dialled."""

from __future__ import annotations

import base64
import http.client
import io
import ipaddress
import socket
import ssl
import time
from typing import Any, cast
from urllib.parse import SplitResult, quote, unquote, urlsplit
from urllib.request import getproxies, proxy_bypass

from tasks.base.errors import DataError

WINDOW_S = 60.0  # over which the slowest pace is judged
SLOWEST = 1024  # bytes a second
NAT64 = ipaddress.ip_network("64:ff9b::/96")
IN_URLS = "%/:@!$&'()*+,;=~-._?[]"
IP = ipaddress.IPv4Address | ipaddress.IPv6Address


class Pace:
    """Ends a connection that drips: fewer than `SLOWEST` bytes a second over `WINDOW_S`."""

    def __init__(self) -> None:
        self._since, self._count = time.monotonic(), 0

    def count(self, size: int) -> None:
        self._count += size
        passed = time.monotonic() - self._since
        if passed >= WINDOW_S:
            if self._count < SLOWEST * passed:
                raise DataError(f"the download is too slow: {self._count / passed:,.0f} bytes/s over {passed:.0f} s")
            self._since, self._count = time.monotonic(), 0


class _Raw(io.RawIOBase):
    """A socket's bytes, paced from the first header on."""

    def __init__(self, sock: socket.socket) -> None:
        self._sock, self._pace = sock, Pace()

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        size = self._sock.recv_into(buffer)
        self._pace.count(size)
        return size


class _File(io.BufferedReader):
    def close(self) -> None:
        """Stays open: what comes after the announced length is looked at then."""


class _Socket:
    """What http.client needs of a socket."""

    def __init__(self, sock: socket.socket) -> None:
        self.real = sock
        self.file = _File(_Raw(sock), 1 << 16)

    def makefile(self, mode: str) -> io.BufferedReader:
        return self.file

    def sendall(self, data: bytes) -> None:
        self.real.sendall(data)

    def close(self) -> None:
        """The caller closes `real` when it has read everything."""


class Connection(http.client.HTTPConnection):
    """One request to one URL, through the proxy that the environment names, if any.

    Args:
        url: with a scheme of http or https.
        timeout: seconds to connect, and between two bytes.
        allow_private: the host may be in a private network or on this machine.

    Raises:
        DataError: the host has no address, or none that may be used.
    """

    def __init__(self, url: str, timeout: float, allow_private: bool) -> None:
        self._url, self._private = urlsplit(url), allow_private
        self._secure = self._url.scheme == "https"
        self._proxy = _proxy_of(self._url)
        self.default_port = 443 if self._secure else 80
        super().__init__(cast(str, self._url.hostname), self._url.port or self.default_port, timeout=timeout)
        self._wrapped: _Socket | None = None

    def connect(self) -> None:
        addresses = self._addresses()
        sock = self._dial(addresses)
        try:
            if self._secure:
                if self._proxy:
                    self._tunnel_through(sock, self._proxy)
                sock = ssl.create_default_context().wrap_socket(sock, server_hostname=self.host)
        except BaseException:
            sock.close()
            raise
        self._wrapped = _Socket(sock)
        self.sock = self._wrapped

    def target(self) -> str:
        """What the request line names: a path, or a whole URL for a proxy."""
        query = f"?{quote(self._url.query, safe=IN_URLS)}" if self._url.query else ""
        path = quote(self._url.path or "/", safe=IN_URLS) + query
        whole = self._proxy and not self._secure
        return f"http://{self._url.netloc.rpartition('@')[2]}{path}" if whole else path

    def own_headers(self) -> dict[str, str]:
        """Headers of every request to this URL."""
        login = _authorization(self._url, "Authorization")
        if self._proxy and not self._secure:
            login |= _authorization(self._proxy, "Proxy-Authorization")
        return {"User-Agent": "visionmill", "Accept-Encoding": "identity", "Connection": "close", **login}

    def extra(self) -> bool:
        """Whether bytes come after the end of the answer."""
        if self._wrapped is None:
            return False
        self._wrapped.real.settimeout(0.2)
        try:
            return bool(self._wrapped.file.peek(1))
        except OSError:
            return False

    def hang_up(self) -> None:
        if self._wrapped is not None:
            self._wrapped.real.close()

    def _addresses(self) -> list[Any]:
        if self._proxy:
            # the proxy looks the name up; an address that is written out needs no looking up
            _refuse_literal(self.host, self._private)
            return resolve(cast(str, self._proxy.hostname), self._proxy.port or 80)
        found = resolve(self.host, self.port)
        allowed = [one for one in found if self._private or is_public(one[4][0])]
        if not allowed:
            raise private(self.host)
        return allowed

    def _dial(self, addresses: list[Any]) -> socket.socket:
        failed: OSError | None = None
        for family, kind, protocol, _, address in addresses:
            sock = socket.socket(family, kind, protocol)
            sock.settimeout(self.timeout)
            try:
                sock.connect(address)
                return sock
            except OSError as error:
                sock.close()
                failed = error
        raise failed or OSError("no address")

    def _tunnel_through(self, sock: socket.socket, proxy: SplitResult) -> None:
        lines = [f"CONNECT {self.host}:{self.port} HTTP/1.1", f"Host: {self.host}:{self.port}"]
        lines += [f"{name}: {value}" for name, value in _authorization(proxy, "Proxy-Authorization").items()]
        sock.sendall("\r\n".join([*lines, "", ""]).encode("ascii"))
        answer = b""
        while not answer.endswith(b"\r\n\r\n"):
            byte = sock.recv(1)  # not one more: the next is TLS
            answer += byte
            if not byte or len(answer) > 1 << 16:
                raise ConnectionError("the proxy gave no answer")
        status = answer.split(b"\r\n")[0].decode("latin-1")
        if status.split()[1:2] != ["200"]:
            raise ConnectionError(f"the proxy answered {status!r}")


def resolve(host: str, port: int) -> list[Any]:
    """The addresses of a host, as `socket.getaddrinfo` gives them.

    Raises:
        DataError: it has none.
    """
    try:
        return socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (socket.gaierror, UnicodeError) as error:
        why = error.strerror if isinstance(error, socket.gaierror) else "not a host name"
        raise DataError(f"host {host!r} is not found: {why}", mend="check the URL and the network") from None


def is_public(address: str) -> bool:
    """Whether an IP address is of the open network, also the IPv4 address that an IPv6 one stands for."""
    found: IP = ipaddress.ip_address(address.partition("%")[0])
    if isinstance(found, ipaddress.IPv6Address):
        inner = found.ipv4_mapped or found.sixtofour or (found.teredo or (None, None))[1]
        if found in NAT64:
            inner = ipaddress.IPv4Address(int(found) & 0xFFFFFFFF)
        if inner is not None:
            return is_public(str(inner))
    return found.is_global and not found.is_multicast and not found.is_reserved


def is_private(url: str) -> bool:
    """Whether a URL names a host of a private network, or this machine."""
    parts = urlsplit(url)
    try:
        return not any(is_public(one[4][0]) for one in resolve(parts.hostname or "", parts.port or 80))
    except DataError:
        return False  # a proxy may know it


def private(host: str) -> DataError:
    """The error for a host of a private network."""
    return DataError(f"host {host!r} is in a private network or on this machine",
                     mend="if you trust it: --allow-private")


def _refuse_literal(host: str, allow_private: bool) -> None:
    try:
        public = is_public(host)
    except ValueError:
        public = host.lower() != "localhost"
    if not public and not allow_private:
        raise private(host)


def _proxy_of(url: SplitResult) -> SplitResult | None:
    named = getproxies().get(url.scheme)
    if not named or not url.hostname or proxy_bypass(url.hostname):
        return None
    proxy = urlsplit(named if "://" in named else f"http://{named}")
    return proxy if proxy.scheme == "http" and proxy.hostname else None


def _authorization(url: SplitResult, header: str) -> dict[str, str]:
    if not url.username:
        return {}
    pair = f"{unquote(url.username)}:{unquote(url.password or '')}"
    return {header: "Basic " + base64.b64encode(pair.encode()).decode("ascii")}
