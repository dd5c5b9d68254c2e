"""Forms with files, as browsers and `curl -F` send them: https://www.rfc-editor.org/rfc/rfc7578."""

from __future__ import annotations

import mmap
from collections.abc import Iterator
from dataclasses import dataclass
from email.message import Message

from tasks.serving.settings import BadRequest

HEAD = 8192  # bytes of a part's own headers
Content = bytes | bytearray | memoryview | mmap.mmap


@dataclass(frozen=True)
class Part:
    """One field of a form.

    Attributes:
        name: of the field.
        file: the client's name of the file, None where the field is none.
        begin, end: of its bytes in the body.
    """

    name: str
    file: str | None
    begin: int
    end: int


def boundary_of(content_type: str) -> bytes:
    """What stands between the parts.

    Raises:
        BadRequest: the header does not say it.
    """
    told = Message()
    told["content-type"] = content_type
    found = told.get_param("boundary")
    if not isinstance(found, str) or not 1 <= len(found) <= 200 or not found.isascii():
        raise BadRequest("the content type of a form needs its boundary: multipart/form-data; boundary=…")
    return found.encode()


def parts(body: bytes | bytearray | mmap.mmap, content_type: str, most: int) -> Iterator[Part]:
    """The fields of a form, nothing copied.

    Raises:
        BadRequest: it is no form, is cut off, or has more than `most` fields.
    """
    mark = b"--" + boundary_of(content_type)
    at = 0 if body[:len(mark)] == mark else body.find(b"\r\n" + mark) + 2
    if at == 1:
        raise BadRequest("the form does not begin with its boundary")
    at += len(mark)
    count = 0
    while body[at:at + 2] != b"--":
        head_end = body.find(b"\r\n\r\n", at, at + HEAD)
        end = body.find(b"\r\n" + mark, head_end + 2) if head_end >= 0 else -1
        if head_end < 0 or end < 0:
            raise BadRequest("the form is cut off, or no form")
        count += 1
        if count > most:
            raise BadRequest(f"the form has more than {most:,} fields")
        name, file = _named(body[at:head_end])
        # an empty part's end may share the break that ends its head
        yield Part(name, file, min(head_end + 4, end), end)
        at = end + 2 + len(mark)


def _named(head: bytes | bytearray) -> tuple[str, str | None]:
    """Name and file name, from `Content-Disposition: form-data; name="a"; filename="b.jpg"`."""
    for line in head.split(b"\r\n"):
        key, _, value = line.partition(b":")
        if key.strip().lower() == b"content-disposition":
            told = Message()
            told["content-disposition"] = value.strip().decode("utf-8", "replace")
            name = told.get_param("name", "", "content-disposition")
            return str(name) if not isinstance(name, tuple) else name[2], told.get_filename()
    return "", None
