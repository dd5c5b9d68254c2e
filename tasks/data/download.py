"""A file from the web, whose server is not trusted: where it leads, how long it takes, how much it sends is checked."""

from __future__ import annotations

import contextlib
import fcntl
import http.client
import ssl
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import BinaryIO
from urllib.parse import urljoin, urlsplit

from tasks.base.errors import DataError
from tasks.base.files import CHUNK, read_json, write_json
from tasks.base.progress import Progress
from tasks.data.dialling import Connection
from tasks.data.table import FULL_DISK

TIMEOUT_S = 30.0
HOPS = 5
TRIES = 3
BACKOFF_S = 1.0
REDIRECTS = (301, 302, 303, 307, 308)
AGAIN = "run it again: where the server can, it goes on from what is there"


class Passing(Exception):
    """A failure that may not be there the next time."""


@dataclass(frozen=True)
class Part:
    """What is there of a file, and of which version of it: a server's ETag."""

    path: Path
    url: str

    @property
    def _notes(self) -> Path:
        return self.path.with_name(self.path.name + ".json")

    @contextmanager
    def opened(self) -> Iterator[BinaryIO]:
        """The file, for one process at a time; bytes are added at its end."""
        with self.path.open("ab") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise DataError("another process is downloading it", mend="wait for it") from None
            yield file

    def known(self) -> tuple[int, str]:
        """Bytes that are there and their ETag; (0, "") where nothing can be gone on with."""
        with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
            notes = read_json(self._notes)
            if notes["url"] == self._digest() and isinstance(notes["etag"], str):
                return self.path.stat().st_size, notes["etag"]
        return 0, ""

    def note(self, etag: str | None) -> None:
        """Keep the ETag, if it promises the same bytes."""
        if etag and not etag.startswith("W/") and etag.isprintable():
            write_json(self._notes, {"url": self._digest(), "etag": etag})
        else:
            self._notes.unlink(missing_ok=True)

    def finish(self, target: Path) -> None:
        self._notes.unlink(missing_ok=True)
        self.path.replace(target)

    def _digest(self) -> str:
        return sha256(self.url.encode()).hexdigest()  # a URL may have a password in it


def is_url(source: str) -> bool:
    return source.lower().startswith(("http://", "https://"))


def shown(url: str) -> str:
    """A URL for messages: without user, password and query, where secrets stand."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return "a URL that is none"
    host = parts.netloc.rpartition("@")[2]
    return f"{parts.scheme}://{host}{parts.path}" + ("?…" if parts.query else "")


def check_url(url: str) -> None:
    """Raises DataError for what is no http or https URL with a host."""
    try:
        parts = urlsplit(url)
        sound = is_url(url) and bool(parts.hostname) and (parts.port or 1) > 0
    except ValueError:
        sound = False
    if not sound:
        raise DataError("not an http or https URL", where=shown(url), mend="check the URL")


@dataclass(frozen=True)
class Request:
    """What is asked for; see `download`."""

    url: str
    max_bytes: int
    timeout: float
    allow_private: bool


def download(url: str, target: Path, *, max_bytes: int, timeout: float = TIMEOUT_S,
             allow_private: bool = False) -> None:
    """Write what a URL gives to `target`: beside it first (`.NAME.part`, which stays when it fails), then renamed.

    Proxies are taken from the environment. Certificates are verified.

    Args:
        url: http or https; a user name and a password in it are sent to that host alone.
        max_bytes: of the file.
        timeout: seconds without a byte.
        allow_private: hosts may be in private networks or on this machine; else none is connected to, wherever names
            and redirects lead.

    Raises:
        DataError: no answer, a refusal, a redirect to elsewhere, a stall, more or fewer bytes than announced.
        OSError: the disk is full.
    """
    part = Part(target.with_name(f".{target.name}.part"), url)
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        with part.opened() as file:
            _try(part, file, Request(url, max_bytes, timeout, allow_private))
            part.finish(target)
    except DataError as error:
        raise DataError(error.what, where=error.where or shown(url), mend=error.mend or AGAIN) from None


def _try(part: Part, file: BinaryIO, request: Request) -> None:
    """Asks again where that may help, a little later each time."""
    for attempt in range(TRIES + 1):
        try:
            _attempt(part, file, request)
            return
        except (Passing, ConnectionError, http.client.HTTPException, OSError) as error:
            final = _final(error, request)
            if final or attempt == TRIES:
                raise final or DataError(f"the download failed: {error or type(error).__name__}") from None
        time.sleep(BACKOFF_S * 2 ** attempt)


def _final(error: Exception, request: Request) -> Exception | None:
    """The error for what will be so the next time too, None for what may not."""
    if isinstance(error, TimeoutError):
        return DataError(f"the server sent nothing for {request.timeout:g} s")
    if isinstance(error, ssl.SSLCertVerificationError):
        return DataError(f"the server's certificate is not valid: {error.verify_message}")
    if isinstance(error, http.client.InvalidURL):
        return DataError("the URL has characters that no URL may have", mend="check the URL")
    if isinstance(error, ConnectionRefusedError):
        return DataError(f"no connection: {error}")
    if isinstance(error, Passing | ConnectionError | http.client.HTTPException | ssl.SSLError):
        return None
    # a full disk is told by the caller
    return error if isinstance(error, OSError) and error.errno in FULL_DISK else DataError(f"no connection: {error}")


def _attempt(part: Part, file: BinaryIO, request: Request) -> None:
    there, etag = part.known()
    with _answer(request, {"Range": f"bytes={there}-", "If-Range": etag} if there else {}) as (connection, response):
        _check_status(response.status, part)
        start = _start(response, there, etag, part)
        file.truncate(start)
        part.note(response.headers.get("ETag"))
        announced, got = response.length, 0
        _check_size(start + (announced or 0), request)
        progress = Progress((start + (announced or request.max_bytes)) // CHUNK + 1, "downloaded, MiB")
        progress.done = start // CHUNK
        while chunk := response.read1(CHUNK):
            file.write(chunk)
            steps = (start + got + len(chunk)) // CHUNK - (start + got) // CHUNK
            got += len(chunk)
            _check_size(start + got, request)
            if steps:
                progress.step(count=steps)
        file.flush()
        if announced is not None and got < announced:
            raise Passing(f"the connection ended after {start + got:,} of {start + announced:,} bytes")
        if announced is not None and connection.extra():
            part.note(None)
            raise DataError(f"the server sent more than the {start + announced:,} bytes that it announced")


def _start(response: http.client.HTTPResponse, there: int, etag: str, part: Part) -> int:
    """Where in the file the answer's bytes belong."""
    if response.status == 200:
        return 0
    given = response.headers.get("Content-Range", "")
    if not there or not given.startswith(f"bytes {there}-") or response.headers.get("ETag", etag) != etag:
        part.note(None)
        raise Passing(f"the server sent another part than was asked for: {given!r}")
    return there


def _check_status(status: int, part: Part) -> None:
    if status in (200, 206):
        return
    told = f"the server answered {status} {http.client.responses.get(status, '')}".strip()
    if status == 416:
        part.note(None)
    if status in (408, 416, 429) or status >= 500:
        raise Passing(told)
    raise DataError(told, mend="check the URL")


def _check_size(size: int, request: Request) -> None:
    if size > request.max_bytes:
        raise DataError(f"the file has more than {request.max_bytes:,} bytes", mend="get it by hand if it must be")


@contextmanager
def _answer(request: Request, headers: dict[str, str]) -> Iterator[tuple[Connection, http.client.HTTPResponse]]:
    """The answer at the end of all redirects, each of which is checked as the first URL was."""
    url = request.url
    for _ in range(HOPS + 1):
        check_url(url)
        connection = Connection(url, request.timeout, request.allow_private)
        try:
            connection.request("GET", connection.target(), headers={**connection.own_headers(), **headers})
            response = connection.getresponse()
            if response.status not in REDIRECTS:
                yield connection, response
                return
            url = _next(url, response.headers.get("Location"))
        except DataError as error:
            raise DataError(error.what, where=error.where or shown(url), mend=error.mend) from None
        finally:
            connection.hang_up()
    raise DataError(f"more than {HOPS} redirects", where=shown(url), mend="check the URL")


def _next(url: str, location: str | None) -> str:
    if not location:
        raise DataError("a redirect to nowhere", mend="check the URL")
    try:
        there = urljoin(url, location)
        scheme = urlsplit(there).scheme
    except ValueError:
        raise DataError("a redirect to what is no URL", mend="check the URL") from None
    if not is_url(there):
        raise DataError(f"a redirect to {scheme}:, which is not followed", mend="check the URL")
    if urlsplit(url).scheme == "https" != scheme:
        raise DataError("a redirect from https to http, which is not followed", mend="check the URL")
    return there
