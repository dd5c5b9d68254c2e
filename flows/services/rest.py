"""JSON over HTTP with nothing but the standard library: importing Prefect's client takes 1.5 s."""

from __future__ import annotations

import json
import time
import urllib.error
import urllib.request
from typing import Any
from urllib.parse import urlsplit

# Prefect's answer when two wrote to its SQLite file at once: nothing happened, it may be asked again
BUSY = 503
PAUSES = (0.2, 0.5, 1.0, None)
LOOPBACK = {"127.0.0.1", "localhost", "::1"}


class Away(OSError):
    """A service does not answer, or not as itself."""


def call(url: str, body: Any = None, *, method: str | None = None, timeout_s: float = 5.0) -> Any:
    """The decoded answer of one request; a body makes it a POST.

    Raises:
        Away: nobody answers there, or with an error; the message has the reason.
    """
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(url, data=data, method=method, headers={"Content-Type": "application/json"})
    try:
        text = _patiently(request, timeout_s)
    except urllib.error.HTTPError as error:
        raise Away(f"{error.code}: {error.read(500).decode(errors='replace')}") from error
    except (OSError, ValueError) as error:
        raise Away(str(getattr(error, "reason", error))) from error
    try:
        return json.loads(text) if text.strip() else None
    except ValueError:
        return text.decode(errors="replace")


def answers(url: str, timeout_s: float = 2.0) -> bool:
    """Whether a GET of this address ends well."""
    try:
        call(url, timeout_s=timeout_s)
    except Away:
        return False
    return True


def _patiently(request: urllib.request.Request, timeout_s: float) -> bytes:
    for pause in PAUSES:
        try:
            with _opener(request.full_url).open(request, timeout=timeout_s) as answer:
                return answer.read()
        except urllib.error.HTTPError as error:
            if error.code != BUSY or pause is None:
                raise
        time.sleep(pause)
    raise AssertionError("the last pause ends the loop")


def _opener(url: str) -> urllib.request.OpenerDirector:
    # a proxy of the environment must not be asked for this machine
    local = urlsplit(url).hostname in LOOPBACK
    return urllib.request.build_opener(urllib.request.ProxyHandler({} if local else None))
