"""A web server on this machine that says exactly what a test wants, also what no server should."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Callable
from dataclasses import dataclass, field

Headers = dict[str, str]
Answer = Callable[[Headers, socket.socket, int], None]


@dataclass
class Server:
    """Answers by path; `seen` has each request's path and headers (in lower case).

    Attributes:
        answers: of a path, given the headers, the connection and how often it was asked for before.
    """

    answers: dict[str, Answer] = field(default_factory=dict)
    seen: list[tuple[str, Headers]] = field(default_factory=list)

    def __enter__(self) -> Server:
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.port = self._listening.getsockname()[1]
        self._ending = threading.Event()
        threading.Thread(target=self._serve, daemon=True).start()
        return self

    def __exit__(self, *raised: object) -> None:
        self._ending.set()
        self._listening.close()

    def url(self, path: str, host: str = "127.0.0.1") -> str:
        return f"http://{host}:{self.port}{path}"

    def wait(self, seconds: float) -> None:
        """Say nothing for so long, or until the test ends."""
        self._ending.wait(seconds)

    def _serve(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                connection, _ = self._listening.accept()
                threading.Thread(target=self._answer, args=(connection,), daemon=True).start()

    def _answer(self, connection: socket.socket) -> None:
        with connection, contextlib.suppress(OSError):
            asked = b""
            while b"\r\n\r\n" not in asked:
                more = connection.recv(4096)
                if not more:
                    return
                asked += more
            first, *lines = asked.decode("latin-1").split("\r\n\r\n")[0].split("\r\n")
            path = first.split()[1]
            headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
            before = sum(path == other for other, _ in self.seen)
            self.seen.append((path, headers))
            self.answers[path](headers, connection, before)


def reply(body: bytes = b"", status: str = "200 OK", length: int | None = None, **headers: str) -> bytes:
    """The bytes of an answer; `length` is what it says of them, -1 for nothing."""
    said = {"Content-Length": str(len(body) if length is None else length)} if length != -1 else {}
    said |= {name.replace("_", "-"): value for name, value in headers.items()}
    lines = [f"HTTP/1.1 {status}", *(f"{name}: {value}" for name, value in said.items()), "", ""]
    return "\r\n".join(lines).encode() + body


def always(answer: bytes) -> Answer:
    return lambda headers, connection, before: connection.sendall(answer)


def redirect(to: str, status: str = "302 Found") -> Answer:
    return always(reply(status=status, Location=to))
