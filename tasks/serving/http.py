"""Bodies in, answers out: how much is read, how long it may take, and what a client is told. ASGI, nothing else."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from typing import Any

Scope = Mapping[str, Any]
Message = Mapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[dict[str, Any]], Awaitable[None]]

# what a client still sends after it was refused is read and thrown away up to this, else it sees no answer
SPARE_BYTES, SPARE_S = 256_000_000, 10.0


class Refused(Exception):
    """An answer that is an error.

    Attributes:
        status: of HTTP.
        headers: beside the usual ones.
    """

    def __init__(self, status: int, text: str, **headers: str) -> None:
        super().__init__(text)
        self.status, self.headers = status, {name.replace("_", "-"): value for name, value in headers.items()}


class Gone(Exception):
    """The client closed the connection."""


class Request:
    """One request.

    Args:
        stall_s: a client that sends nothing for so long is cut off.
        upload_s: the whole body must be there after so long.

    Attributes:
        method, path, query: of its first line.
        whole: the body has been read to its end.
    """

    def __init__(self, scope: Scope, receive: Receive, send: Send, stall_s: float, upload_s: float) -> None:
        self.method, self.path = str(scope["method"]), str(scope["path"])
        self.query = scope["query_string"].decode("latin-1")
        self.headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
        self.receive, self._send = receive, send
        self._stall_s, self._upload_s = stall_s, upload_s
        self.whole = self.headers.get("content-length", "0") == "0" and "transfer-encoding" not in self.headers

    @property
    def type(self) -> str:
        """Content type."""
        return self.headers.get("content-type", "")

    def length(self, most: int) -> int | None:
        """What the body is said to have, None where nothing is said.

        Raises:
            Refused: more than `most` bytes, before one of them was read.
        """
        said = self.headers.get("content-length")
        if said is None:
            return None
        if int(said) > most:
            raise Refused(413, f"the body has {int(said):,} bytes, more than {most:,}")
        return int(said)

    async def chunks(self, most: int) -> AsyncIterator[bytes]:
        """The body as it comes.

        Raises:
            Refused: too large, or too slow.
            Gone: the client left.
        """
        self.length(most)
        end, count = time.monotonic() + self._upload_s, 0
        while not self.whole:
            left = min(self._stall_s, end - time.monotonic())
            try:
                message = await asyncio.wait_for(self.receive(), max(left, 0.001))
            except TimeoutError:
                raise Refused(408, "the body did not arrive in time") from None
            if message["type"] == "http.disconnect":
                raise Gone
            self.whole = not message.get("more_body")
            count += len(message["body"])
            if count > most:
                raise Refused(413, f"the body has more than {most:,} bytes")
            if message["body"]:
                yield message["body"]

    async def answer(self, status: int, body: bytes, kind: str = "application/json", **headers: str) -> None:
        """Send the answer. Where the body was not read, the client is heard out and then let go."""
        named = {"content-type": kind, "content-length": str(len(body)), **headers}
        if not self.whole:
            named["connection"] = "close"
        lines = [(name.replace("_", "-").encode(), value.encode("latin-1", "replace")) for name, value in named.items()]
        await self._send({"type": "http.response.start", "status": status, "headers": lines})
        await self._send({"type": "http.response.body", "body": body, "more_body": not self.whole})
        if not self.whole:
            if "expect" not in self.headers:
                await self._hear_out()
            await self._send({"type": "http.response.body", "body": b""})

    async def _hear_out(self) -> None:
        end, count = time.monotonic() + SPARE_S, 0
        while count < SPARE_BYTES and (left := end - time.monotonic()) > 0:
            try:
                message = await asyncio.wait_for(self.receive(), min(left, self._stall_s))
            except TimeoutError:
                return
            if message["type"] == "http.disconnect" or not message.get("more_body"):
                return
            count += len(message["body"])

    async def tell(self, status: int, value: Any, **headers: str) -> None:
        """Send plain data as JSON."""
        await self.answer(status, json.dumps(value, ensure_ascii=False, indent=1).encode() + b"\n", **headers)

    async def stream(self, status: int, kind: str, chunks: AsyncIterator[bytes]) -> None:
        """Send what comes, however much it is."""
        head = [(b"content-type", kind.encode())]
        await self._send({"type": "http.response.start", "status": status, "headers": head})
        async for chunk in chunks:
            await self._send({"type": "http.response.body", "body": chunk, "more_body": True})
        await self._send({"type": "http.response.body", "body": b""})
