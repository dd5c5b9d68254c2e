"""What goes between the front and a model's process: eight bytes of lengths, a short JSON head, a body as it is."""

from __future__ import annotations

import asyncio
import json
import socket
import struct
from typing import Any

LENGTHS = struct.Struct("!II")
LARGEST = 2**31


def packed(head: dict[str, Any], body: bytes | bytearray | memoryview = b"") -> bytes:
    """The lengths and the head; the body follows on the wire."""
    text = json.dumps(head).encode()
    return LENGTHS.pack(len(text), len(body)) + text


def send(line: socket.socket, head: dict[str, Any], body: bytes | bytearray | memoryview = b"") -> None:
    """One frame, whole."""
    line.sendall(packed(head, body))
    line.sendall(body)


def receive(line: socket.socket) -> tuple[dict[str, Any], memoryview]:
    """The next frame.

    Raises:
        EOFError: the other side is gone.
    """
    head_bytes, body_bytes = LENGTHS.unpack(_exactly(line, LENGTHS.size))
    return json.loads(bytes(_exactly(line, head_bytes))), _exactly(line, body_bytes)


def _exactly(line: socket.socket, count: int) -> memoryview:
    buffer = memoryview(bytearray(count))
    at = 0
    while at < count:
        read = line.recv_into(buffer[at:])
        if not read:
            raise EOFError
        at += read
    return buffer


async def read(reader: asyncio.StreamReader) -> tuple[dict[str, Any], bytes]:
    """The next frame, on an event loop.

    Raises:
        EOFError: the other side is gone; asyncio.IncompleteReadError is one.
    """
    head_bytes, body_bytes = LENGTHS.unpack(await reader.readexactly(LENGTHS.size))
    head = json.loads(await reader.readexactly(head_bytes))
    return head, await reader.readexactly(body_bytes) if body_bytes else b""
