"""Pictures as clients send them."""

from __future__ import annotations

import base64
import io
import struct
import zlib
from typing import Any

import numpy as np
from PIL import Image

from tests.quarters import coloured


def coded(picture: np.ndarray | None = None, form: str = "PNG", **options: Any) -> bytes:
    content = io.BytesIO()
    Image.fromarray(coloured(0, 1) if picture is None else picture).save(content, form, **options)
    return content.getvalue()


def text(content: bytes) -> str:
    return base64.b64encode(content).decode()


def chunk(name: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))


def bomb(side: int = 50_000) -> bytes:
    """A PNG of a hundred bytes that says it is `side` × `side`."""
    header = struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)
    chunks = chunk(b"IHDR", header), chunk(b"IDAT", zlib.compress(b"\0" * 9)), chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunks)


def form(files: dict[str, bytes], fields: dict[str, str] | None = None, mark: str = "b0undary") -> tuple[bytes, str]:
    """Body and content type of multipart/form-data."""
    lines = []
    for name, value in (fields or {}).items():
        head = f'Content-Disposition: form-data; name="{name}"'
        lines += [f"--{mark}\r\n{head}\r\n\r\n{value}\r\n".encode()]
    for name, content in files.items():
        head = f'Content-Disposition: form-data; name="image"; filename="{name}"\r\nContent-Type: image/png'
        lines += [f"--{mark}\r\n{head}\r\n\r\n".encode(), content, b"\r\n"]
    return b"".join([*lines, f"--{mark}--\r\n".encode()]), f"multipart/form-data; boundary={mark}"
