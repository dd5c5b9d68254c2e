"""Which picture a task of Label Studio is about: it renames what is uploaded and writes addresses, not names."""

from __future__ import annotations

import posixpath
import re
from typing import Any
from urllib.parse import quote, unquote

from tasks.data.pictures import SUFFIXES

USUAL = ("image", "img")
ADDRESS = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+://[^/?#]*/?")
LOCAL = re.compile(r"/data/local-files/?\?d=")
DRIVE = re.compile(r"^[A-Za-z]:(?=[\\/])")
# put before the name of an uploaded file
UPLOADED = re.compile(r"[0-9a-f]{8}-(?=.)")


def picture_key(data: dict[str, Any]) -> str | None:
    """The key of a task's `data` that names its picture: the usual ones, else the first that looks like it."""
    for key in USUAL:
        if isinstance(data.get(key), str) and data[key].strip():
            return key
    return next((key for key, value in data.items() if isinstance(value, str) and _is_picture(value)), None)


def names_of(address: str) -> list[str]:
    """Names, relative, that the picture may have here; the likelier first.

    `/data/upload/1/0a1b2c3d-a%20b.jpg`, `/data/local-files/?d=folder/a.jpg`, `s3://bucket/folder/a.jpg`, an address
    with a query, or a plain name. One that is the picture itself (`data:image/png;base64,…`) has none.
    """
    if address.startswith("data:"):
        return []
    prefix = LOCAL.search(address) or ADDRESS.match(address)
    rest = address[prefix.end():] if prefix else address
    if prefix or rest.startswith("/"):
        short = re.split("&" if prefix and prefix.re is LOCAL else "[?#]", rest)[0]
        forms = [unquote(rest), rest, unquote(short), short]
    else:  # a plain name may hold what would end an address
        forms = [rest, unquote(rest)]
    found = [DRIVE.sub("", form).replace("\\", "/").lstrip("/") for form in forms]
    original = [posixpath.join(posixpath.dirname(name), UPLOADED.sub("", posixpath.basename(name), count=1))
                for name in found]
    return [name for name in dict.fromkeys(found + original) if name]


def address_of(name: str) -> str:
    """The address of a file below Label Studio's document root."""
    return f"/data/local-files/?d={quote(name)}"


def _is_picture(value: str) -> bool:
    return any(posixpath.splitext(name)[1].lower() in SUFFIXES for name in names_of(value))
