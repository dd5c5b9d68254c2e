"""The small server that MLflow's webhooks arrive at. It answers at once; what follows is done elsewhere."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from tasks.registry.promotion import hooks
from tasks.registry.promotion.hooks import Deliveries, Refused, Told

PATH = "/hooks/mlflow"
MOST_BYTES = 65_536  # a delivery has some hundred
PATIENCE_S = 10  # for one that sends slowly
MOST_AT_ONCE = 32


class Receiver(ThreadingHTTPServer):
    """Listens on 127.0.0.1.

    Args:
        port: 0 for one that the system chooses.
        secret: that deliveries are signed with.
        seen: deliveries that came before.
        tell: is called with what a believed delivery says, in the thread of the request: it must return at once.
        health: gives what GET /health answers.

    Raises:
        OSError: the port is taken.
    """

    daemon_threads = True
    request_queue_size = 64

    def __init__(self, port: int, secret: str, seen: Deliveries, tell: Callable[[Told], None],
                 health: Callable[[], dict[str, Any]]) -> None:
        self.secret, self.seen, self.tell, self.health = secret, seen, tell, health
        self.places = threading.BoundedSemaphore(MOST_AT_ONCE)
        super().__init__(("127.0.0.1", port), Handler)

    @property
    def port(self) -> int:
        return int(self.server_address[1])

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def process_request(self, request: Any, client_address: Any) -> None:
        if not self.places.acquire(blocking=False):
            self.shutdown_request(request)  # a lost delivery is found by the next poll
            return
        super().process_request(request, client_address)

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        try:
            super().process_request_thread(request, client_address)
        finally:
            self.places.release()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that goes away in the middle is no news."""

    def start(self) -> None:
        """Serve in a thread that ends with the process."""
        threading.Thread(target=self.serve_forever, daemon=True, name="webhooks").start()


class Handler(BaseHTTPRequestHandler):
    """One request."""

    server: Receiver
    timeout = PATIENCE_S
    server_version, sys_version = "visionmill", ""

    def do_GET(self) -> None:  # noqa: N802  the library's name
        if self.path.partition("?")[0] == "/health":
            self._answer(200, self.server.health())
        else:
            self._answer(404, {"error": "GET /health"})

    def do_POST(self) -> None:  # noqa: N802
        try:
            status, said = self._take()
        except Refused as refusal:
            status, said = refusal.status, {"error": refusal.why}
        self._answer(status, said)

    def _take(self) -> tuple[int, dict[str, Any]]:
        if self.path.partition("?")[0] != PATH:
            raise Refused(404, f"POST {PATH}")
        body = self._body()
        new = hooks.verify(self.headers, body, self.server.secret, self.server.seen)  # type: ignore[arg-type]
        if not new:
            return 200, {"status": "known already"}
        if told := hooks.read(body):
            self.server.tell(told)
        return 202, {"status": "taken"}

    def _body(self) -> bytes:
        length = self.headers.get("Content-Length", "")
        if not (length.isascii() and length.isdigit()) or self.headers.get("Transfer-Encoding"):
            raise Refused(411, "how long it is must be said")
        if int(length) > MOST_BYTES:
            raise Refused(413, f"more than {MOST_BYTES} bytes")
        body = self.rfile.read(int(length))
        if len(body) < int(length):
            raise Refused(400, "it ended early")
        return body

    def _answer(self, status: int, said: dict[str, Any]) -> None:
        content = json.dumps(said).encode()
        self.close_connection = True
        self.send_response(status)
        for name, value in (("Content-Type", "application/json"), ("Content-Length", str(len(content))),
                            ("Connection", "close")):
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *words: Any) -> None:
        """Said by the watch, not by each request."""
