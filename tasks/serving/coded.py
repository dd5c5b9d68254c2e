"""Pictures as text. No numpy here: the front reads this too."""

from __future__ import annotations

import base64
import binascii
from typing import Any


class BadPicture(ValueError):
    """What was sent is no picture; the text says why and begins with a verb: `is not base64`."""


def from_base64(text: Any) -> bytes:
    """The bytes behind base64; line breaks and a `data:` head are allowed, bytes are taken as they are.

    Raises:
        BadPicture: it is something else.
    """
    if isinstance(text, bytes):
        return text
    try:
        head, comma, tail = text.partition(",") if text.startswith("data:") else ("", "", text)
        return base64.b64decode("".join((tail if comma else text).split()), validate=True)
    except (binascii.Error, ValueError, TypeError, AttributeError):
        raise BadPicture("is not base64") from None
