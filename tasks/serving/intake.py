"""The pictures of a batch, out of the form in which they came: one file with all bytes, and a list of them."""

from __future__ import annotations

import json
import lzma
import mmap
import struct
import zipfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from tasks.base.files import CHUNK
from tasks.serving.forms import UnknownType, decoded, of_json, plain_type
from tasks.serving.multipart import parts
from tasks.serving.settings import KNOWN, BadRequest

PICTURES, INDEX = "pictures.bin", "index.jsonl"
ZIP = ("application/zip", "application/x-zip-compressed")
ACCEPTED = "application/zip, multipart/form-data or application/json"
JSON_BYTES = 256_000_000  # it is held whole
END, ENTRY = b"PK\x05\x06", b"PK\x01\x02"
ENCRYPTED = 0x1 | 0x40 | 0x2000
RATIO, SMALL = 200, 1 << 20  # unpacked to packed, of members above a MiB
# what macOS and Windows leave in archives and nobody means to send
JUNK = (".DS_Store", "Thumbs.db", "desktop.ini")
NAME = 500  # characters of a client's name that are kept


@dataclass(frozen=True)
class Limits:
    """How much a batch may hold: pictures, bytes of one, bytes of all."""

    pictures: int
    each: int
    all: int


@dataclass
class Blob:
    """Writes pictures one behind the other, and what each is called."""

    pictures: IO[bytes]
    index: IO[str]
    limits: Limits
    count: int = 0
    total: int = 0

    def add(self, name: str, chunks: Iterator[bytes]) -> None:
        """One picture.

        Raises:
            BadRequest: it, or all of them, are too large, or too many.
        """
        if self.count >= self.limits.pictures:
            raise BadRequest(f"the batch has more than {self.limits.pictures:,} pictures")
        size = 0
        for chunk in chunks:
            size += len(chunk)
            if size > self.limits.each:
                raise BadRequest(f"{name[:NAME]!r} has more than {self.limits.each:,} bytes")
            if self.total + size > self.limits.all:
                raise BadRequest(f"the pictures have more than {self.limits.all:,} bytes together")
            self.pictures.write(chunk)
        self.index.write(json.dumps({"name": name[:NAME], "offset": self.total, "bytes": size}) + "\n")
        self.count += 1
        self.total += size


def unpack(request: Path, content_type: str, folder: Path, limits: Limits) -> tuple[int, dict[str, Any]]:
    """Write `pictures.bin` and `index.jsonl` into a folder.

    Returns:
        How many pictures there are, and the settings that the body gives.

    Raises:
        UnknownType: a form that is not read here.
        BadRequest: it is damaged, or against the limits.
    """
    kind = plain_type(content_type)
    with (folder / PICTURES).open("wb") as pictures, (folder / INDEX).open("w", encoding="utf-8") as index:
        blob = Blob(pictures, index, limits)
        if kind in ZIP:
            given = _zip(request, blob)
        elif kind == "multipart/form-data":
            given = _form(request, content_type, blob)
        elif kind == "application/json":
            given = _json(request, blob)
        else:
            raise UnknownType(f"content type {kind!r} is not read here: {ACCEPTED}")
        if not blob.count:
            raise BadRequest("there is no picture in the batch")
    return blob.count, given


def _form(request: Path, content_type: str, blob: Blob) -> dict[str, Any]:
    given = {}
    with request.open("rb") as file:
        if not request.stat().st_size:
            raise BadRequest("the form is empty")
        with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as body:
            for part in parts(body, content_type, blob.limits.pictures + len(KNOWN)):
                if part.file is None and part.name in KNOWN:
                    given[part.name] = body[part.begin:min(part.end, part.begin + CHUNK)].decode("utf-8", "replace")
                else:
                    spans = range(part.begin, part.end, CHUNK)
                    blob.add(part.file or part.name, (body[at:min(at + CHUNK, part.end)] for at in spans))
    return given


def _json(request: Path, blob: Blob) -> dict[str, Any]:
    """{"images": [BASE64 or {"name": …, "image": BASE64}, …]}"""
    if request.stat().st_size > JSON_BYTES:
        raise BadRequest(f"JSON of more than {JSON_BYTES:,} bytes: send a zip or a form")
    content = of_json(request.read_bytes())
    images = content.pop("images", None)
    if not isinstance(images, list):
        raise BadRequest('a batch in JSON is {"images": ["BASE64", …]}')
    for row, image in enumerate(images):
        named = image if isinstance(image, dict) else {"image": image}
        if not isinstance(named.get("name", ""), str):
            raise BadRequest(f"the name of image {row} is no text")
        try:
            (content_of,) = decoded([named.get("image")])
        except BadRequest as error:
            raise BadRequest(str(error).replace("image 0", f"image {row}", 1)) from None
        blob.add(named.get("name", str(row)), iter([bytes(content_of)]))
    return content


def _zip(request: Path, blob: Blob) -> dict[str, Any]:
    if _entries(request) > 2 * blob.limits.pictures + 1000:
        raise BadRequest(f"the archive has far more than {blob.limits.pictures:,} files")
    try:
        with zipfile.ZipFile(request) as opened:
            members = [member for member in opened.infolist() if not member.is_dir() and not _junk(member.filename)]
            for member in members:
                if member.flag_bits & ENCRYPTED:
                    raise BadRequest(f"the archive is encrypted: {member.filename[:NAME]!r}")
                if member.file_size > SMALL and member.file_size > RATIO * max(member.compress_size, 1):
                    raise BadRequest(f"{member.filename[:NAME]!r} unpacks to {member.file_size:,} bytes out of "
                                     f"{member.compress_size:,}: no picture does")
            for member in members:
                with opened.open(member) as source:
                    # the name is told again in the results and never used as a path
                    blob.add(member.filename, iter(lambda source=source: source.read(CHUNK), b""))  # type: ignore[misc]
    except (zipfile.BadZipFile, NotImplementedError, EOFError, zlib.error, lzma.LZMAError, ValueError, struct.error,
            OSError) as error:
        if isinstance(error, BadRequest) or (isinstance(error, OSError) and error.errno is not None):
            raise
        raise BadRequest(f"not a zip archive, or a damaged one: {error}") from None
    return {}


def _junk(name: str) -> bool:
    last = name.replace("\\", "/").rpartition("/")[2]
    return name.startswith("__MACOSX/") or last in JUNK or last.startswith("._")


def _entries(archive: Path) -> int:
    """At most so many files: the directory is counted before a list of them takes memory."""
    found, last = 0, b""
    with archive.open("rb") as file:
        while chunk := file.read(CHUNK):
            found += (last + chunk).count(ENTRY)
            last = chunk[-len(ENTRY) + 1:]
    return found
